//! `mark_read`: the user has read messages of the other participant.

mod handler;

use handler::State;
use realtime::{Connections, Push};
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = State {
        store: Store::from_env(&sdk)?,
        connections: Connections::from_env(&sdk)?,
        push: Push::from_env(&sdk)?,
    };
    edge::warm_up([
        Box::pin(state.store.warm_up(Use::MarkRead)),
        Box::pin(state.connections.warm_up()),
        Box::pin(state.push.warm_up()),
    ])
    .await;
    edge::websocket::serve(&state.push, async |caller, frame| handler::handle(&state, caller, frame).await)
        .await
}
