//! `$disconnect`: a connection is closed.

mod handler;

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
    };
    edge::websocket::run_disconnect(async |caller| handler::handle(&state, caller).await).await
}
