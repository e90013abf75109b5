//! `ping`: a connection is alive.

mod handler;

use std::time::Duration;

use edge::env;
use handler::State;
use realtime::{Connections, Push};
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let push = Push::new(&sdk, &env::required("PUSH_ENDPOINT")?);
    let state = State {
        store: Store::new(env::secret("DATABASE_URL", &sdk)?)?,
        connections: Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?),
        lease: Duration::from_secs(env::parsed_or("LEASE_SECONDS", 720)?),
    };
    edge::websocket::run_frames(
        async |caller, frame| handler::handle(&state, caller, frame).await,
        async |connection, frames| push.hang_up(connection, frames).await,
    )
    .await
}
