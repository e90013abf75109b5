//! Fails, with `MESSAGE` if that is set.

use lambda_runtime::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |_| {
        Err(std::env::var("MESSAGE").unwrap_or_else(|_| "it crashed on purpose".to_owned()).into())
    })
    .await
}
