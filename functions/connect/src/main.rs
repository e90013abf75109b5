//! `$connect`: a connection opens.

mod handler;

use handler::State;
use realtime::{Announcer, lease_from_env};
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = State {
        store: Store::from_env(&sdk)?,
        announcer: Announcer::from_env(&sdk)?,
        lease: lease_from_env()?,
        max_connections: environment::parsed_or("MAX_CONNECTIONS_PER_USER", 20)?,
    };
    edge::warm_up([Box::pin(state.store.warm_up(Use::Welcome)), Box::pin(state.announcer.warm_up())]).await;
    edge::websocket::connect(async |caller, identity, profile| {
        handler::handle(&state, caller, identity, profile).await
    })
    .await
}
