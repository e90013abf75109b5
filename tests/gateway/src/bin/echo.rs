//! Returns its event and its client context.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let mut payload = event.payload;
        if let Some(context) = event.context.client_context {
            payload["clientContext"] = serde_json::to_value(context)?;
        }
        println!("echoed");
        Ok::<_, Error>(json!({ "statusCode": 200, "body": payload.to_string() }))
    }))
    .await
}
