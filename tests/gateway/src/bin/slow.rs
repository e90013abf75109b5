//! Takes as long as the event says, then returns the body of the event.

use lambda_runtime::Error;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event: Value| {
        gateway::wait(&event).await;
        Ok(json!({ "statusCode": 200, "body": event["body"], "process": std::process::id() }))
    })
    .await
}
