//! The authorizer of `$connect`: verifies the token once for the whole life of a connection.

mod handler;

use edge::token::Verifier;
use lambda_runtime::service_fn;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let verifier = &Verifier::from_env(&sdk)?;
    edge::warm_up([Box::pin(verifier.warm_up())]).await;
    lambda_runtime::run(service_fn(|event| handler::handle(verifier, event))).await
}
