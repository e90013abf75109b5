//! `GET /api/conversations`: the conversations of the caller.

mod handler;

use edge::token::Verifier;
use handler::State;
use realtime::Connections;
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State { store: Store::from_env(&sdk)?, connections: Connections::from_env(&sdk)? };
    let verifier = Verifier::from_env(&sdk)?;
    edge::warm_up([
        Box::pin(verifier.warm_up()),
        Box::pin(state.store.warm_up(Use::ConversationsOf)),
        Box::pin(state.connections.warm_up()),
    ])
    .await;
    edge::http::run(verifier, handler::read, |claims, page| handler::handle(state, claims, page)).await
}
