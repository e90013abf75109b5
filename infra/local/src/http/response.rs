//! Turns the result of a function into a response.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::request::status_code;

/// A response of the gateway itself: `{"message": …}`.
pub(super) fn message(status: StatusCode, message: &str) -> Response<Body> {
    json_response(status, json!({ "message": message }).to_string())
}

/// With a `statusCode` the result describes the response; without one it is the body.
pub(super) fn infer(result: &[u8]) -> Response<Body> {
    let structured = match serde_json::from_slice::<Value>(result) {
        Ok(Value::Object(map)) if map.contains_key("statusCode") => Value::Object(map),
        Ok(Value::String(text)) => return json_response(StatusCode::OK, text),
        _ => return json_response(StatusCode::OK, String::from_utf8_lossy(result).into_owned()),
    };
    serde_json::from_value(structured)
        .ok()
        .and_then(respond)
        .unwrap_or_else(|| message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structured {
    #[serde(deserialize_with = "status_code")]
    status_code: u16,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

fn respond(structured: Structured) -> Option<Response<Body>> {
    let body = structured.body.unwrap_or_default();
    let body = match structured.is_base64_encoded {
        true => BASE64_STANDARD.decode(body).ok()?,
        false => body.into_bytes(),
    };
    // 1xx are not final responses, and there is no status above 599.
    let status = StatusCode::from_u16(structured.status_code)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in structured.headers.unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::try_from(name).ok()?;
        // The gateway decides how the body is transferred.
        if !matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION) {
            headers.insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert_with(|| HeaderValue::from_static("text/plain; charset=utf-8"));
    for cookie in structured.cookies.unwrap_or_default() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    Some(response)
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
