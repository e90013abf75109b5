//! `leave_conversation`: a connection no longer wants a conversation's messages.

mod handler;

use edge::env;
use realtime::{Connections, Push};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let push = Push::new(&sdk, &env::required("PUSH_ENDPOINT")?);
    let connections = Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?);
    edge::websocket::run_frames(
        async |caller, frame| handler::handle(&connections, caller, frame).await,
        async |connection, frames| push.hang_up(connection, frames).await,
    )
    .await
}
