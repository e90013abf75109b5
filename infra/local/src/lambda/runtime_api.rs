//! The Lambda Runtime API. Each process has a path of its own: `/{instance}/2018-06-01/runtime/…`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::invocation::{InvokeError, MAX_PAYLOAD};
use super::pool::Instances;

pub(super) async fn serve(listener: TcpListener, instances: Arc<Instances>) {
    let routes = Router::new()
        .route("/{instance}/2018-06-01/runtime/invocation/next", get(next))
        .route("/{instance}/2018-06-01/runtime/invocation/{request_id}/response", post(response))
        .route("/{instance}/2018-06-01/runtime/invocation/{request_id}/error", post(error))
        .route("/{instance}/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(instances);
    axum::serve(listener, routes).await.expect("axum::serve does not end by itself");
}

async fn next(State(instances): State<Arc<Instances>>, Path(instance): Path<Uuid>) -> Response {
    let Some(instance) = instances.get(instance) else {
        return gone();
    };
    let work = instance.next_event().await;
    let deadline = SystemTime::now() + work.timeout;
    let deadline_ms = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", work.request_id.to_string()),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", instance.pool.arn.clone()),
        ("lambda-runtime-trace-id", trace_id()),
    ];
    let context = work.invocation.client_context.map(|context| [("lambda-runtime-client-context", context)]);
    match context {
        Some(context) => (headers, context, work.invocation.payload).into_response(),
        None => (headers, work.invocation.payload).into_response(),
    }
}

async fn response(
    State(instances): State<Arc<Instances>>,
    Path((instance, request_id)): Path<(Uuid, Uuid)>,
    body: Bytes,
) -> Response {
    let Some(instance) = instances.get(instance) else {
        return gone();
    };
    if body.len() > MAX_PAYLOAD {
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes).");
        instance.finish(request_id, Err(InvokeError::function("Function.ResponseSizeTooLarge", message)));
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge");
    }
    accepted(instance.finish(request_id, Ok(body)))
}

async fn error(
    State(instances): State<Arc<Instances>>,
    Path((instance, request_id)): Path<(Uuid, Uuid)>,
    body: Bytes,
) -> Response {
    let Some(instance) = instances.get(instance) else {
        return gone();
    };
    accepted(instance.finish(request_id, Err(InvokeError::Function(body))))
}

/// The process exits after this, and its events fail then.
async fn init_error(headers: HeaderMap) -> Response {
    let kind = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
    eprintln!("a function reports that it cannot start: {}", kind.unwrap_or("no reason given"));
    accepted(true)
}

fn accepted(known: bool) -> Response {
    match known {
        true => (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response(),
        false => refused(StatusCode::BAD_REQUEST, "InvalidRequestID"),
    }
}

/// The host has given up on the process.
fn gone() -> Response {
    refused(StatusCode::FORBIDDEN, "InvalidStateTransition")
}

fn refused(status: StatusCode, error_type: &str) -> Response {
    (status, axum::Json(json!({ "errorType": error_type, "errorMessage": error_type }))).into_response()
}

fn trace_id() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = Uuid::new_v4().simple().to_string();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &id[..24], &id[16..])
}
