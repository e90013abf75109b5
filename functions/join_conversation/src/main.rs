//! `join_conversation`: a connection wants the messages of a conversation.

mod handler;

use handler::State;
use realtime::{Connections, Push};
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let push = Push::from_env(&sdk)?;
    let state = State { store: Store::from_env(&sdk)?, connections: Connections::from_env(&sdk)? };
    edge::warm_up([
        Box::pin(state.store.warm_up(Use::ParticipationOf)),
        Box::pin(state.connections.warm_up()),
    ])
    .await;
    edge::websocket::serve(&push, async |caller, frame| handler::handle(&state, caller, frame).await).await
}
