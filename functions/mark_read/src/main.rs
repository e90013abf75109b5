//! `mark_read`: the user has read messages of the other participant.

mod handler;

use handler::State;
use realtime::{Connections, Push};
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = State {
        store: Store::from_env(&sdk)?,
        connections: Connections::from_env(&sdk)?,
        push: Push::from_env(&sdk)?,
    };
    edge::warm_up(async {
        tokio::join!(
            state.store.warm_up([&store::MARK_READ]),
            state.connections.warm_up(),
            state.push.warm_up()
        )
    })
    .await;
    edge::websocket::serve(&state.push, async |caller, frame| handler::handle(&state, caller, frame).await)
        .await
}
