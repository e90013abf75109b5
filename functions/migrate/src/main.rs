//! `migrate`: brings the database up to date. Invoked on deploy, and by `cargo dev` before it serves.

mod handler;

use edge::env;
use edge::telemetry::{Invocation, observe};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let url = &env::secret("DATABASE_URL", &sdk)?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let request_id = &event.context.request_id;
        let invocation = Invocation { route: "migrate", request_id, connection: None };
        observe(invocation, handler::handle(url)).await
    }))
    .await
}
