//! What both kinds of API read of a request, and the limits that they share.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::time::timeout;

use crate::template::IdentitySource;

/// How long an authorizer may take (API Gateway quota).
pub(crate) const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a body may take to arrive, so that slow clients cannot hold all sockets.
pub(crate) const MAX_UPLOAD: Duration = Duration::from_secs(30);

/// Common Log Format, `09/Feb/2024:18:11:43 +0000`.
pub(crate) const CLF: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// A body that arrived in time.
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
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned()
    };
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// The id under which AWS X-Ray would collect what a request causes.
pub(crate) fn trace_root() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("Root=1-{:08x}-{}", time::OffsetDateTime::now_utc().unix_timestamp(), &id[..24])
}

impl IdentitySource {
    /// What a request says there, if it says anything.
    pub(crate) fn value(&self, headers: &HeaderMap, query: &[(String, String)]) -> Option<String> {
        let value = match self {
            Self::Header(name) => Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned()),
            Self::QueryString(name) => {
                query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
            }
        };
        value.filter(|value| !value.is_empty())
    }
}
