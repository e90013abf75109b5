//! `edit_message`, `delete_message`, `add_reaction` and `remove_reaction`: changes a message, then pushes it.

mod handler;

use aws::Deliveries;
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
        deliveries: Deliveries::from_env(&sdk)?,
        max_per_minute: environment::parsed_or("MAX_MESSAGES_PER_MINUTE", 600)?,
    };
    edge::warm_up(async {
        tokio::join!(
            state.store.warm_up([&store::LOCK_CONVERSATION_OF, &store::CHANGE_MESSAGE]),
            state.connections.warm_up(),
            state.push.warm_up(),
            state.deliveries.warm_up()
        )
    })
    .await;
    edge::websocket::serve(&state.push, async |caller, frame| handler::handle(&state, caller, frame).await)
        .await
}
