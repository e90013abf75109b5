//! Routes that only the local stack has: development tokens, and a list of connections.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::token::{self, Kind};
use crate::websocket::Gateway;

#[derive(Deserialize)]
struct Wanted {
    user: String,
    name: Option<String>,
}

/// `GET /dev/token?user=U&name=N` and `GET /dev/connections`.
pub(crate) fn routes(secret: String, gateways: Vec<Gateway>) -> Router {
    let tokens = Router::new().route("/dev/token", get(issue)).with_state(Arc::<str>::from(secret));
    let connections = Router::new().route("/dev/connections", get(connections)).with_state(gateways.into());
    tokens.merge(connections)
}

async fn issue(State(secret): State<Arc<str>>, Query(wanted): Query<Wanted>) -> Response {
    let expires_in = Duration::from_secs(60 * 60);
    match token::issue(&secret, &wanted.user, wanted.name.as_deref(), Kind::User, expires_in) {
        Ok(token) => Json(json!({ "token": token })).into_response(),
        Err(reason) => {
            (StatusCode::BAD_REQUEST, Json(json!({ "message": reason.to_string() }))).into_response()
        }
    }
}

/// The open connections: what `GET @connections/{id}` returns of each, with its authorizer context.
async fn connections(State(gateways): State<Arc<[Gateway]>>) -> Response {
    let all: Vec<_> = gateways
        .iter()
        .flat_map(|gateway| {
            let connections = gateway.registry().all().into_iter();
            connections.map(|connection| {
                let mut described = connection.describe();
                described["connectionId"] = connection.peer.connection_id.clone().into();
                described["stage"] = gateway.stage().into();
                described["authorizer"] = json!(connection.peer.authorizer);
                described
            })
        })
        .collect();
    Json(json!({ "connections": all })).into_response()
}
