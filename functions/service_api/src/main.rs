//! The service API: what backends do, `/service/...`.

mod answer;
mod conversations;
mod erasure;
mod handler;
mod messages;
mod request;
mod state;
mod users;

use aws::Deliveries;
use edge::token::ServiceVerifier;
use realtime::Announcer;
use state::State;
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State {
        store: Store::from_env(&sdk)?,
        announcer: Announcer::from_env(&sdk)?,
        deliveries: Deliveries::from_env(&sdk)?,
        max_participants: environment::parsed_or("MAX_PARTICIPANTS", 1000)?,
    };
    let verifier = ServiceVerifier::from_env(&sdk)?;
    edge::warm_up([
        Box::pin(verifier.warm_up()),
        Box::pin(state.store.warm_up(Use::Any)),
        Box::pin(state.announcer.warm_up()),
        Box::pin(state.deliveries.warm_up()),
    ])
    .await;
    edge::http::run(verifier, request::read, |(), asked| handler::handle(state, asked)).await
}
