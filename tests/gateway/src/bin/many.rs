//! Handles many events at once, and returns how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let running = Arc::new(AtomicU64::new(0));
    lambda_runtime::run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        let running = running.clone();
        async move {
            let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
            gateway::wait(&event.payload).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Error>(json!({ "atOnce": at_once, "process": std::process::id() }))
        }
    }))
    .await
}
