//! Takes `INIT_MS` milliseconds to start.

use std::time::Duration;

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    println!("starting");
    tokio::time::sleep(Duration::from_millis(std::env::var("INIT_MS")?.parse()?)).await;
    gateway::run(async |_| Ok(json!({ "statusCode": 200 }))).await
}
