//! `sweep_connections`: takes users offline whose connections are gone. Invoked on a schedule.

mod handler;

use handler::State;
use realtime::Announcer;
use serde::de::IgnoredAny;
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State { store: Store::from_env(&sdk)?, announcer: Announcer::from_env(&sdk)? };
    edge::task::run("sweep_connections", async |_: IgnoredAny| handler::handle(state).await).await
}
