//! `$default`: frames that no other route takes.

mod handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    edge::websocket::unrouted(handler::handle).await
}
