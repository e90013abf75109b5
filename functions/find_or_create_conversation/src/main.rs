//! `POST /api/conversations/find-or-create`: the one conversation of two users.

mod handler;

use edge::env;
use edge::token::Verifier;
use store::Store;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let store = &Store::new(&env::required("DATABASE_URL")?)?;
    edge::http::run(Verifier::from_env()?, edge::http::json_body, |claims, body| {
        handler::handle(store, claims, body)
    })
    .await
}
