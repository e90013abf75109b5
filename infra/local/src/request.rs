//! What both APIs need of a request: queries, headers, ids and limits.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::time::timeout;

use crate::template::IdentitySource;

/// How long an authorizer may take (API Gateway quota).
pub(crate) const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit of an upload, so that slow clients cannot hold all sockets.
pub(crate) const MAX_UPLOAD: Duration = Duration::from_secs(30);

/// Common Log Format, `09/Feb/2024:18:11:43 +0000`.
pub(crate) const CLF: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// A body that arrived within the limit.
pub(crate) struct Uploaded(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Uploaded {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match timeout(MAX_UPLOAD, Bytes::from_request(request, state)).await {
            Ok(read) => read.map(Self).map_err(IntoResponse::into_response),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        }
    }
}

/// The decoded parameters of a query string, in order.
pub(crate) fn query(raw: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(raw.as_bytes()).into_owned().collect()
}

/// The members of a list header, which may be in several lines (RFC 9110, section 5.3).
pub(crate) fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

/// The number of bytes in an id. In Base64 it ends with `=`, so a client that does not encode it in URLs
/// fails here too.
const ID_BYTES: usize = 11;

/// A fresh id of a connection, a message or a request.
pub(crate) fn new_id() -> String {
    BASE64_URL_SAFE.encode(rand::random::<[u8; ID_BYTES]>())
}

/// Whether a text has the form of a connection id.
pub(crate) fn is_connection_id(id: &str) -> bool {
    BASE64_URL_SAFE.decode(id).is_ok_and(|bytes| bytes.len() == ID_BYTES)
}

/// A new trace id of AWS X-Ray.
pub(crate) fn trace_root() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("Root=1-{:08x}-{}", time::OffsetDateTime::now_utc().unix_timestamp(), &id[..24])
}

impl IdentitySource {
    /// The value of an identity source in a request, if there is one.
    pub(crate) fn value(&self, headers: &HeaderMap, query: &[(String, String)]) -> Option<String> {
        let value = match self {
            Self::Header(name) => {
                let lines = headers.get_all(name).iter();
                let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
                Some(lines.join(","))
            }
            Self::QueryString(name) => {
                query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
            }
        };
        value.filter(|value| !value.is_empty())
    }
}

/// The `statusCode` of a proxy result: a whole number in any notation, or a string of digits.
pub(crate) fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let whole =
        |number: f64| (number.fract() == 0.0 && (0.0..=999.0).contains(&number)).then_some(number as u16);
    match &value {
        Value::Number(number) => number.as_f64().and_then(whole),
        Value::String(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom("no status"))
}
