//! `$connect`: a connection opens.

mod handler;

use std::time::Duration;

use edge::env;
use handler::State;
use realtime::{Announcer, Connections, PresenceAudience, Push};
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let state = State {
        store: Store::new(env::secret("DATABASE_URL", &sdk)?)?,
        announcer: Announcer {
            connections: Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?),
            push: Push::new(&sdk, &env::required("PUSH_ENDPOINT")?),
            audience: env::parsed_or("PRESENCE_AUDIENCE", PresenceAudience::Contacts)?,
        },
        lease: Duration::from_secs(env::parsed_or("LEASE_SECONDS", 720)?),
        max_connections: env::parsed_or("MAX_CONNECTIONS_PER_USER", 20)?,
    };
    edge::websocket::run_connect(async |caller, profile| handler::handle(&state, caller, profile).await).await
}
