//! Posts to the connection that is being opened, and returns the status of the post.

use lambda_runtime::Error;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let endpoint = std::env::var("PUSH_ENDPOINT")?;
    let client = reqwest::Client::new();
    gateway::run(async |event| {
        let id = event["requestContext"]["connectionId"].as_str().unwrap_or_default();
        let url = format!("{endpoint}/@connections/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let answer = client.post(url).body("are you there?").send().await?;
        Ok(json!({ "statusCode": answer.status().as_u16() }))
    })
    .await
}
