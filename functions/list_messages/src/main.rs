//! `GET /api/conversations/{conversationId}/messages`: the messages of a conversation.

mod handler;

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
    };
    let verifier = Verifier::from_env(&sdk)?;
    edge::warm_up([
        Box::pin(verifier.warm_up()),
        Box::pin(state.store.warm_up(Use::ReadHistory)),
        Box::pin(state.connections.warm_up()),
        Box::pin(state.push.warm_up()),
    ])
    .await;
    edge::http::run(verifier, handler::read, |claims, page| handler::handle(state, claims, page)).await
}
