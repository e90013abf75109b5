//! The `@connections` API, by which functions push to connections. A SigV4 signature is neither required nor
//! checked.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use crate::request::{Uploaded, is_connection_id};
use crate::websocket::{Connection, Gateway, Undeliverable};

/// API Gateway's quota, in bytes.
const MAX_PAYLOAD: usize = 128 * 1024;

/// A larger body is not even read.
const MAX_BODY: usize = 1024 * 1024;

/// The routes below the stage. SDKs differ in whether they encode the `@`.
pub(crate) fn routes(gateway: Gateway) -> Router {
    let stage = gateway.stage().to_owned();
    let connection = get(describe).post(push).delete(close);
    Router::new()
        .route(&format!("/{stage}/@connections/{{id}}"), connection.clone())
        .route(&format!("/{stage}/%40connections/{{id}}"), connection)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(gateway)
}

async fn push(State(gateway): State<Gateway>, Path(id): Path<String>, Uploaded(body): Uploaded) -> Response {
    if body.len() > MAX_PAYLOAD {
        let message = json!({ "message": "Message too long" });
        return failed(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", Some(message));
    }
    let Ok(text) = Utf8Bytes::try_from(body) else {
        let message = json!({ "message": "The message must be UTF-8" });
        return failed(StatusCode::BAD_REQUEST, "BadRequestException", Some(message));
    };
    match find(&gateway, &id).map(|connection| connection.send(text)) {
        Ok(sent) => delivered(sent),
        Err(refused) => *refused,
    }
}

async fn close(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    match find(&gateway, &id) {
        Ok(connection) => {
            // Any later call finds it gone.
            gateway.registry().remove(&id);
            connection.close();
            (StatusCode::NO_CONTENT, request_id()).into_response()
        }
        Err(refused) => *refused,
    }
}

async fn describe(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    match find(&gateway, &id) {
        Ok(connection) => (request_id(), axum::Json(connection.describe())).into_response(),
        Err(refused) => *refused,
    }
}

/// Whether a path belongs to the callbacks of any stage.
pub(crate) fn is_path(path: &str) -> bool {
    path.contains("/@connections/") || path.contains("/%40connections/")
}

/// The answer to a callback or a handshake for a stage that does not exist. AWS answers an unknown path in
/// the same way.
pub(crate) fn forbidden() -> Response {
    failed(StatusCode::FORBIDDEN, "ForbiddenException", Some(json!({ "message": "Forbidden" })))
}

fn find(gateway: &Gateway, id: &str) -> Result<std::sync::Arc<Connection>, Box<Response>> {
    if !is_connection_id(id) {
        let message = json!({ "message": format!("Invalid connectionId: {id}") });
        return Err(Box::new(failed(StatusCode::BAD_REQUEST, "BadRequestException", Some(message))));
    }
    gateway.registry().get(id).ok_or_else(|| Box::new(gone()))
}

fn delivered(sent: Result<(), Undeliverable>) -> Response {
    match sent {
        Ok(()) => (StatusCode::OK, request_id()).into_response(),
        Err(Undeliverable::Gone) => gone(),
        Err(Undeliverable::BufferFull) => {
            let message = json!({ "message": "The client does not read what it is sent" });
            failed(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", Some(message))
        }
    }
}

/// API Gateway names the error in a header, and sends no body.
fn gone() -> Response {
    failed(StatusCode::GONE, "GoneException", None)
}

fn failed(status: StatusCode, error_type: &'static str, body: Option<Value>) -> Response {
    let headers = (request_id(), [("x-amzn-errortype", error_type)]);
    match body {
        Some(body) => (status, headers.0, headers.1, axum::Json(body)).into_response(),
        None => (status, headers.0, headers.1).into_response(),
    }
}

fn request_id() -> [(&'static str, String); 1] {
    [("x-amzn-requestid", Uuid::new_v4().to_string())]
}
