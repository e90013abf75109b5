//! Exits in the middle of an event, with the status that the event says.

use lambda_runtime::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| {
        let status = gateway::told(&event, "status").and_then(|status| status.as_i64());
        std::process::exit(i32::try_from(status.unwrap_or_default())?)
    })
    .await
}
