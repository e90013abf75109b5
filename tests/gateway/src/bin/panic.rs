//! Panics in the middle of an event.

use lambda_runtime::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    gateway::run(async |_| panic!("it panicked on purpose")).await
}
