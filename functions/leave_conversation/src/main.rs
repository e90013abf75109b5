//! `leave_conversation`: a connection does not want the messages of a conversation any more.

mod handler;

use realtime::{Connections, Push};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let push = Push::from_env(&sdk)?;
    let state = Connections::from_env(&sdk)?;
    edge::warm_up([Box::pin(state.warm_up())]).await;
    edge::websocket::serve(&push, async |caller, frame| handler::handle(&state, caller, frame).await).await
}
