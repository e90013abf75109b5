//! Routes that only the local stack has: development tokens, and a list of connections.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
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

async fn issue(State(secret): State<Arc<str>>, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    let expires_in = Duration::from_secs(60 * 60);
    let issued = token::issue(&secret, &wanted.user, wanted.name.as_deref(), Kind::User, expires_in);
    let mut response = match issued {
        Ok(token) => Json(json!({ "token": token })).into_response(),
        Err(reason) => {
            (StatusCode::BAD_REQUEST, Json(json!({ "message": reason.to_string() }))).into_response()
        }
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = headers.get(header::ORIGIN).filter(|origin| is_of_this_machine(origin)) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

/// Whether a page is served by this machine, such as by a development server at another port. No other page
/// may have a token.
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = origin.as_ref().and_then(Uri::host);
    host.is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_get_tokens() {
        let is_one = |origin| is_of_this_machine(&HeaderValue::from_static(origin));
        for origin in
            ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:80", "https://localhost"]
        {
            assert!(is_one(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
        ] {
            assert!(!is_one(origin), "{origin}");
        }
    }
}
