//! Returns `ANSWER`, or the answer in the event, or a success.

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| match std::env::var("ANSWER") {
        Ok(answer) => Ok(serde_json::from_str(&answer)?),
        Err(_) => Ok(gateway::told(&event, "answer").unwrap_or_else(|| json!({ "statusCode": 200 }))),
    })
    .await
}
