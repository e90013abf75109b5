//! `POST /api/conversations/find-or-create`: the conversation of two users.

mod handler;

use aws::Deliveries;
use edge::token::Verifier;
use handler::State;
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State {
        store: Store::from_env(&sdk)?,
        deliveries: Deliveries::from_env(&sdk)?,
        max_per_minute: environment::parsed_or("MAX_CONVERSATIONS_PER_MINUTE", 60)?,
    };
    let verifier = Verifier::from_env(&sdk)?;
    edge::warm_up([
        Box::pin(verifier.warm_up()),
        Box::pin(state.store.warm_up(Use::FindOrCreate)),
        Box::pin(state.deliveries.warm_up()),
    ])
    .await;
    edge::http::run(verifier, edge::http::json_body, |claims, body| handler::handle(state, claims, body))
        .await
}
