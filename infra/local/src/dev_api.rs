//! What only this machine has: tokens for the asking.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::token;

#[derive(Deserialize)]
struct Wanted {
    user: String,
    name: Option<String>,
}

/// `GET /dev/token?user=U&name=N`.
pub(crate) fn routes(secret: String) -> Router {
    Router::new().route("/dev/token", get(issue)).with_state(Arc::<str>::from(secret))
}

async fn issue(State(secret): State<Arc<str>>, Query(wanted): Query<Wanted>) -> Response {
    match token::issue(&secret, &wanted.user, wanted.name.as_deref(), Duration::from_secs(60 * 60)) {
        Ok(token) => Json(json!({ "token": token })).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({ "message": reason }))).into_response(),
    }
}
