//! `typing_start` and `typing_stop`: the user started or stopped typing.

mod handler;

use handler::State;
use realtime::{Connections, Push};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = State { connections: Connections::from_env(&sdk)?, push: Push::once_from_env(&sdk)? };
    edge::warm_up([Box::pin(state.connections.warm_up()), Box::pin(state.push.warm_up())]).await;
    edge::websocket::serve_one_way(&state.push, async |caller, frame| {
        handler::handle(&state, caller, frame).await
    })
    .await
}
