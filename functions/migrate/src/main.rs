//! `migrate`: applies the migrations. Invoked on deployment, and by `cargo dev` before it serves.

mod handler;

use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let url = &store::url_from_env(&sdk)?;
    edge::task::run("migrate", async |_: IgnoredAny| handler::handle(url).await).await
}
