//! Writes its event to its log.

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| {
        println!("{}", json!({ "event": event }));
        Ok(json!({ "statusCode": 200 }))
    })
    .await
}
