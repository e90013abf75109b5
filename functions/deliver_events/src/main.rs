//! `deliver_events`: tells backends what has happened. Started by the functions that write events, and on a
//! schedule.

mod data;
mod handler;
mod not_sent;
mod webhook;

use std::time::Duration;

use handler::{Asked, State};
use store::Store;
use webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = &State {
        store: Store::from_env(&sdk)?,
        webhook: Webhook::from_env(&sdk)?,
        unread_after: Duration::from_secs(environment::parsed_or("UNREAD_AFTER_SECONDS", 30)?),
        source: format!(
            "/switchboard/{}",
            environment::optional("STACK_NAME").unwrap_or_else(|| "switchboard".to_owned())
        ),
    };
    edge::task::run("deliver_events", async |asked: Asked| handler::handle(state, asked).await).await
}
