//! Returns as many bytes as the event says.

use lambda_runtime::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |event| {
        let bytes = gateway::told(&event, "bytes").and_then(|bytes| bytes.as_u64()).unwrap_or_default();
        Ok("x".repeat(usize::try_from(bytes)?).into())
    })
    .await
}
