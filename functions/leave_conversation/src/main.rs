//! `leave_conversation`: a connection no longer wants a conversation's messages.

mod handler;

use realtime::{Connections, Push};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let push = Push::from_env(&sdk)?;
    let state = Connections::from_env(&sdk)?;
    edge::websocket::serve(&push, async |caller, frame| handler::handle(&state, caller, frame).await).await
}
