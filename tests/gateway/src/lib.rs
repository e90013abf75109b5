//! Small functions that make the behaviour of API Gateway and Lambda visible. `template.yaml` has their
//! routes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

/// Runs `handle` on the payload of every event, one after the other, as Lambda does.
///
/// # Errors
///
/// The Runtime API of Lambda cannot be reached.
pub async fn run<F: Future<Output = Result<Value, Error>>>(handle: impl Fn(Value) -> F) -> Result<(), Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move { handle(event.payload).await }))
        .await
}

/// The value of `name` in an event: in the event itself, in its query string, or in the JSON of its body.
pub fn told(event: &Value, name: &str) -> Option<Value> {
    let in_query = event["queryStringParameters"].get(name).and_then(Value::as_str);
    let in_query = in_query.map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.into()));
    let body = event["body"].as_str().map(|body| match event["isBase64Encoded"] == true {
        true => BASE64_STANDARD.decode(body).unwrap_or_default(),
        false => body.as_bytes().to_vec(),
    });
    let body = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    event.get(name).cloned().or(in_query).or_else(|| body?.get(name).cloned())
}

/// Waits for the milliseconds that the event has as `ms`.
pub async fn wait(event: &Value) {
    let ms = told(event, "ms").and_then(|ms| ms.as_u64()).unwrap_or_default();
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}
