//! `$disconnect`: a connection is closed.

mod handler;

use std::time::Duration;

use edge::env;
use realtime::Connections;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = realtime::load_sdk_config().await;
    let lease = Duration::from_secs(env::parsed_or("LEASE_SECONDS", 720)?);
    let connections = Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?, lease);
    edge::websocket::run_disconnect(async |caller| handler::handle(&connections, caller).await).await
}
