//! The Invoke API, for `aws lambda invoke`, SDKs and tests.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::{InvokeError, Lambda, MAX_PAYLOAD};

/// The routes that invoke functions by name.
pub(crate) fn routes(lambda: Lambda) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .layer(DefaultBodyLimit::disable())
        .with_state(lambda)
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !lambda.has(&name) {
        return not_found(&lambda, &name);
    }
    if body.len() > MAX_PAYLOAD {
        let message = format!(
            "{} byte payload is too large for the RequestResponse invocation type (limit {MAX_PAYLOAD} bytes)",
            body.len()
        );
        return failed(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            json!({ "message": message }),
        );
    }
    let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        let error = json!({ "Type": "User", "message": message });
        return failed(StatusCode::BAD_REQUEST, "InvalidRequestContentException", error);
    }
    match headers.get("x-amz-invocation-type").and_then(|kind| kind.to_str().ok()) {
        None | Some("RequestResponse") => respond(&lambda, &name, lambda.invoke(&name, payload).await),
        Some("DryRun") => StatusCode::NO_CONTENT.into_response(),
        Some("Event") => {
            tokio::spawn(async move {
                if let Err(error) = lambda.invoke(&name, payload).await {
                    eprintln!("{name}: the asynchronous event failed: {error:?}");
                }
            });
            StatusCode::ACCEPTED.into_response()
        }
        Some(other) => {
            let error = json!({ "Type": "User", "message": format!("Invalid InvocationType: {other}") });
            failed(StatusCode::BAD_REQUEST, "InvalidParameterValueException", error)
        }
    }
}

fn respond(lambda: &Lambda, name: &str, result: Result<Bytes, InvokeError>) -> Response {
    const VERSION: (&str, &str) = ("x-amz-executed-version", "$LATEST");
    match result {
        Ok(payload) => ([VERSION, ("content-type", "application/json")], payload).into_response(),
        Err(InvokeError::Function(payload)) => {
            let headers =
                [VERSION, ("content-type", "application/json"), ("x-amz-function-error", "Unhandled")];
            (headers, payload).into_response()
        }
        Err(InvokeError::NotFound) => not_found(lambda, name),
        Err(InvokeError::Throttled) => {
            let error = json!({
                "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
                "Type": "User",
                "message": "Rate Exceeded.",
            });
            failed(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", error)
        }
        Err(InvokeError::Unreachable(reason)) => failed(
            StatusCode::BAD_GATEWAY,
            "ServiceException",
            json!({ "Type": "Service", "message": reason }),
        ),
    }
}

fn not_found(lambda: &Lambda, name: &str) -> Response {
    let error =
        json!({ "Type": "User", "message": format!("Function not found: {}:$LATEST", lambda.arn(name)) });
    failed(StatusCode::NOT_FOUND, "ResourceNotFoundException", error)
}

fn failed(status: StatusCode, error_type: &'static str, body: Value) -> Response {
    (status, [("x-amzn-errortype", error_type)], axum::Json(body)).into_response()
}
