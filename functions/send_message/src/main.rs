//! `send_message`: store a message, then tell the others.

mod handler;

use edge::env;
use handler::State;
use realtime::{Connections, Push};
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let state = State {
        store: Store::new(env::secret("DATABASE_URL", &sdk)?)?,
        connections: Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?),
        push: Push::new(&sdk, &env::required("PUSH_ENDPOINT")?),
        max_per_minute: env::parsed_or("MAX_MESSAGES_PER_MINUTE", 600)?,
    };
    edge::websocket::run_frames(
        async |caller, frame| handler::handle(&state, caller, frame).await,
        async |connection, frames| state.push.hang_up(connection, frames).await,
    )
    .await
}
