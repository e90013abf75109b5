//! `edit_message`, `delete_message`, `add_reaction` and `remove_reaction`: changes a message, then pushes it.

mod handler;

use aws::Deliveries;
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
        deliveries: Deliveries::from_env(&sdk)?,
        max_per_minute: environment::parsed_or("MAX_MESSAGES_PER_MINUTE", 600)?,
    };
    edge::warm_up([
        Box::pin(state.store.warm_up(Use::ChangeMessage)),
        Box::pin(state.connections.warm_up()),
        Box::pin(state.push.warm_up()),
        Box::pin(state.deliveries.warm_up()),
    ])
    .await;
    edge::websocket::serve(&state.push, async |caller, frame| handler::handle(&state, caller, frame).await)
        .await
}
