//! The Invoke API, for `aws lambda invoke`, SDKs and tests.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Lambda;
use super::invocation::{Invocation, InvokeError, MAX_PAYLOAD, Outcome};
use super::log::MAX_TAIL;
use crate::request::Uploaded;

/// The largest payload of an asynchronous invocation, in bytes (Lambda quota).
const MAX_EVENT: usize = 1024 * 1024;

/// The only version of a function.
const LATEST: &str = "$LATEST";
const EXECUTED_VERSION: (&str, &str) = ("x-amz-executed-version", LATEST);

const PIPE_DELAY: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Qualified {
    qualifier: Option<String>,
}

/// The routes of the Invoke API.
pub(crate) fn routes(lambda: Lambda) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .layer(DefaultBodyLimit::max(2 * MAX_PAYLOAD))
        .with_state(lambda)
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(name): Path<String>,
    Query(Qualified { qualifier }): Query<Qualified>,
    headers: HeaderMap,
    Uploaded(body): Uploaded,
) -> Response {
    let (name, version) = named(&name);
    if !lambda.has(name) || qualifier.as_deref().or(version).is_some_and(|version| version != LATEST) {
        return not_found(&lambda, name);
    }
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let kind = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    let limit = if kind == "Event" { MAX_EVENT } else { MAX_PAYLOAD };
    if body.len() > limit {
        let message = format!(
            "{} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
            body.len()
        );
        let error = json!({ "Type": "User", "message": message });
        return failed(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", error);
    }
    let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        return invalid("InvalidRequestContentException", &message);
    }
    let client_context = match header("x-amz-client-context").map(context) {
        None => None,
        Some(Some(context)) => Some(context),
        Some(None) => {
            return invalid(
                "InvalidRequestContentException",
                "Client context must be a valid Base64-encoded JSON object.",
            );
        }
    };
    let invocation = Invocation { payload, client_context };
    match kind {
        "RequestResponse" => {
            let outcome = lambda.run(name, invocation).await;
            let log = match header("x-amz-log-type") {
                Some("Tail") => Some(outcome.log_result().await),
                _ => None,
            };
            respond(&lambda, name, outcome, log)
        }
        "DryRun" => (StatusCode::NO_CONTENT, [EXECUTED_VERSION]).into_response(),
        "Event" => {
            let name = name.to_owned();
            tokio::spawn(async move { lambda.run_event(&name, invocation).await });
            StatusCode::ACCEPTED.into_response()
        }
        other => invalid("InvalidParameterValueException", &format!("Invalid InvocationType: {other}")),
    }
}

/// The name and the version in `name`, `name:version`, `account:function:name` or an ARN.
fn named(given: &str) -> (&str, Option<&str>) {
    let given = given.rsplit_once("function:").map_or(given, |(_, name)| name);
    match given.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (given, None),
    }
}

fn context(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    // On one line, since it is a header.
    let object: serde_json::Map<String, Value> = serde_json::from_str(&decoded).ok()?;
    Some(Value::Object(object).to_string())
}

impl Outcome {
    /// The end of the log, as Lambda returns it.
    async fn log_result(&self) -> String {
        // The last lines of the function may still be in its pipe, and nothing tells when all have arrived.
        tokio::time::sleep(PIPE_DELAY).await;
        let Self { request_id, duration, log, .. } = self;
        let milliseconds = duration.as_secs_f64() * 1000.0;
        let whole = format!(
            "START RequestId: {request_id} Version: {LATEST}\n{}END RequestId: {request_id}\nREPORT \
                RequestId: {request_id}\tDuration: {milliseconds:.2} ms\tBilled Duration: {:.0} ms\n",
            log.text(),
            milliseconds.ceil(),
        );
        // The end of it, cut between characters.
        let from = whole.len().saturating_sub(MAX_TAIL);
        let from = (from..=whole.len()).find(|at| whole.is_char_boundary(*at)).unwrap_or_default();
        whole[from..].to_owned()
    }
}

fn respond(lambda: &Lambda, name: &str, outcome: Outcome, log: Option<String>) -> Response {
    let headers = [EXECUTED_VERSION, ("content-type", "application/json")];
    let mut response = match outcome.result {
        Ok(payload) => (headers, payload).into_response(),
        Err(InvokeError::Function(payload)) => {
            (headers, [("x-amz-function-error", "Unhandled")], payload).into_response()
        }
        Err(InvokeError::NotFound) => return not_found(lambda, name),
        Err(InvokeError::Throttled) => {
            let error = json!({
                "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
                "Type": "User",
                "message": "Rate Exceeded.",
            });
            return failed(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", error);
        }
        Err(InvokeError::Unreachable(reason)) => {
            let error = json!({ "Type": "Service", "message": reason });
            return failed(StatusCode::BAD_GATEWAY, "ServiceException", error);
        }
    };
    let mut tell = |name, value: String| {
        let value = HeaderValue::try_from(value).expect("ids and Base64 are plain ASCII");
        response.headers_mut().insert(name, value);
    };
    tell("x-amzn-requestid", outcome.request_id.to_string());
    if let Some(log) = log {
        tell("x-amz-log-result", BASE64_STANDARD.encode(log));
    }
    response
}

fn invalid(error_type: &'static str, message: &str) -> Response {
    failed(StatusCode::BAD_REQUEST, error_type, json!({ "Type": "User", "message": message }))
}

fn not_found(lambda: &Lambda, name: &str) -> Response {
    let error =
        json!({ "Type": "User", "message": format!("Function not found: {}:$LATEST", lambda.arn(name)) });
    failed(StatusCode::NOT_FOUND, "ResourceNotFoundException", error)
}

fn failed(status: StatusCode, error_type: &'static str, body: Value) -> Response {
    let headers =
        [("x-amzn-errortype", error_type.to_owned()), ("x-amzn-requestid", Uuid::new_v4().to_string())];
    (status, headers, axum::Json(body)).into_response()
}
