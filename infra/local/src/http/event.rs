//! Events of payload format 2.0. As on AWS, empty keys are absent.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::routing::{Match, decode};
use crate::request::{CLF, query, trace_root};
use crate::template::Values;

pub(super) fn event(
    values: &Values,
    api: &str,
    matched: &Match<'_>,
    from: SocketAddr,
    request_id: &str,
    head: &Parts,
    body: &[u8],
) -> Value {
    let now = OffsetDateTime::now_utc();
    let route_key = matched.route.key();
    let path = decode(head.uri.path());
    let user_agent = head.headers.get(header::USER_AGENT).map(text).unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": headers(&head.headers, from, body.len()),
        "requestContext": {
            "accountId": values.account,
            "apiId": api,
            "domainName": values.domain(api),
            "domainPrefix": api,
            "http": {
                "method": head.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": from.ip().to_string(),
                "userAgent": user_agent,
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": now.format(CLF).expect("every part of the format exists"),
            "timeEpoch": u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
        },
        "isBase64Encoded": false,
    });
    let cookies: Vec<String> = head
        .headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| text(value).split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    let parameters = parameters(head.uri.query().unwrap_or_default());
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    if !matched.parameters.is_empty() {
        event["pathParameters"] = json!(matched.parameters);
    }
    if !body.is_empty() {
        let (body, encoded) = match std::str::from_utf8(body) {
            Ok(body) if is_text(&head.headers) => (body.to_owned(), false),
            _ => (BASE64_STANDARD.encode(body), true),
        };
        event["body"] = body.into();
        event["isBase64Encoded"] = encoded.into();
    }
    event
}

/// Whether a body is passed as text, not in Base64: measured on AWS (ministack#766). Forms, bodies without a
/// content type, and encoded bodies are not text.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(text).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = ["application/json", "application/xml", "application/javascript"];
    !headers.contains_key(header::CONTENT_ENCODING)
        && (essence.starts_with("text/") || named.contains(&essence.as_str()))
}

/// Names in lower case, repeated headers joined with commas; cookies are apart. The gateway sets some headers
/// itself.
fn headers(headers: &HeaderMap, from: SocketAddr, length: usize) -> Map<String, Value> {
    let mut all: Map<String, Value> = headers
        .keys()
        .filter(|name| **name != header::COOKIE)
        .map(|name| {
            let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
            (name.as_str().to_owned(), values.join(",").into())
        })
        .collect();
    all.entry("content-type").or_insert_with(|| "text/plain; charset=utf-8".into());
    for (name, value) in [
        ("x-amzn-trace-id", trace_root()),
        ("content-length", length.to_string()),
        ("x-forwarded-for", from.ip().to_string()),
        ("x-forwarded-port", "443".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ] {
        all.insert(name.to_owned(), value.into());
    }
    all
}

/// Decoded; repeated parameters are joined with commas.
fn parameters(raw: &str) -> Map<String, Value> {
    let mut joined: Map<String, Value> = Map::new();
    for (name, value) in query(raw) {
        let entry = joined.entry(name);
        entry
            .and_modify(|before| *before = format!("{},{value}", before.as_str().unwrap_or_default()).into())
            .or_insert_with(|| value.into());
    }
    joined
}

fn text(value: &header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
