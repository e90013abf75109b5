//! `apply_retention`: removes messages that are older than they may be. Invoked on a schedule.

mod handler;

use handler::State;
use serde::de::IgnoredAny;
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State {
        store: Store::from_env(&sdk)?,
        days: environment::parsed_or::<u16>("RETENTION_DAYS", 0)?.into(),
    };
    edge::task::run("apply_retention", async |_: IgnoredAny| handler::handle(state).await).await
}
