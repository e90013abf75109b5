//! `typing_start` and `typing_stop`: somebody types, or stops.

mod handler;

use edge::env;
use handler::State;
use realtime::{Connections, Push};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let state = State {
        connections: Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?),
        push: Push::once(&sdk, &env::required("PUSH_ENDPOINT")?),
    };
    edge::websocket::run_one_way(
        async |caller, frame| handler::handle(&state, caller, frame).await,
        async |connection, frame| _ = state.push.post(connection, frame.into()).await,
        async |connection, frames| state.push.hang_up(connection, frames).await,
    )
    .await
}
