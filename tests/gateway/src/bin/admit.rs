//! An authorizer of an HTTP API. Allows requests that say `yes`, and returns how often it was asked.

use std::sync::atomic::{AtomicU64, Ordering};

use lambda_runtime::Error;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    gateway::run(async |event| {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
        let context = json!({ "asked": asked, "b": true, "list": [1, "two"], "routeArn": event["routeArn"] });
        Ok(match event["identitySource"][0].as_str() {
            Some("yes") => json!({ "isAuthorized": true, "context": context }),
            Some("nonsense") => Value::Array(Vec::new()),
            _ => json!({ "isAuthorized": false }),
        })
    })
    .await
}
