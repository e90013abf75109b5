//! Conversations and their participants: `POST /api/conversations` and the routes below
//! `/api/conversations/{conversationId}`, except its messages.

mod handler;
mod request;

use aws::Deliveries;
use edge::token::Verifier;
use handler::State;
use realtime::{Connections, Push};
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State {
        store: Store::from_env(&sdk)?,
        connections: Connections::from_env(&sdk)?,
        push: Push::from_env(&sdk)?,
        deliveries: Deliveries::from_env(&sdk)?,
        max_per_minute: environment::parsed_or("MAX_CONVERSATIONS_PER_MINUTE", 60)?,
        max_participants: environment::parsed_or("MAX_PARTICIPANTS", 1000)?,
    };
    let verifier = Verifier::from_env(&sdk)?;
    edge::warm_up([
        Box::pin(verifier.warm_up()),
        Box::pin(state.store.warm_up(Use::Any)),
        Box::pin(state.connections.warm_up()),
        Box::pin(state.push.warm_up()),
        Box::pin(state.deliveries.warm_up()),
    ])
    .await;
    edge::http::run(verifier, request::read, |claims, asked| handler::handle(state, claims, asked)).await
}
