//! `migrate`: brings the database up to date. Invoked on deploy, and by `cargo dev` before it serves.

mod handler;

use edge::env;
use lambda_runtime::service_fn;
use serde::de::IgnoredAny;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let url = &env::required("DATABASE_URL")?;
    lambda_runtime::run(service_fn(|_: lambda_runtime::LambdaEvent<IgnoredAny>| handler::handle(url))).await
}
