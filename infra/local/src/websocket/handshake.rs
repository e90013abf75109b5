//! The handshake. The upgrade waits for the authorizer and `$connect`.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::peer::{Identity, Peer};
use super::registry::Connection;
use super::{Gateway, Inner, connection};
use crate::lambda::InvokeError;
use crate::request::{list, new_id, query, status_code};

/// The maximum length of a URL in characters (API Gateway quota).
const MAX_URL: usize = 4096;

/// Answers a handshake.
pub(crate) async fn handshake(gateway: Gateway, from: SocketAddr, request: Request) -> Response<Body> {
    let Some(accept) = accept_key(&request) else {
        let mut response = refused(StatusCode::UPGRADE_REQUIRED.into());
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    if request.uri().path_and_query().is_some_and(|url| url.as_str().len() > MAX_URL) {
        return refused(StatusCode::URI_TOO_LONG.into());
    }
    // In a task of its own: if the client gives up, its `$connect` still runs to its end.
    let opened = tokio::spawn(open(gateway, from, request, accept)).await;
    opened.unwrap_or_else(|_| refused(StatusCode::INTERNAL_SERVER_ERROR.into()))
}

async fn open(gateway: Gateway, from: SocketAddr, mut request: Request, accept: String) -> Response<Body> {
    let inner = &gateway.0;
    let upgrade = hyper::upgrade::on(&mut request);
    let headers = request.headers();
    let query = query(request.uri().query().unwrap_or_default());
    let peer = Peer {
        connection_id: new_id(),
        connected_at: OffsetDateTime::now_utc(),
        identity: Identity {
            user_agent: text(headers, header::USER_AGENT),
            source_ip: from.ip().to_string(),
        },
        authorizer: None,
    };
    match inner.connect(peer, headers, &query).await {
        Ok((peer, subprotocol)) => accept_connection(&gateway, peer, upgrade, &accept, subprotocol),
        Err(refusal) => refused(refusal),
    }
}

impl Inner {
    /// Invokes the authorizer and `$connect`. Returns the peer with its authorizer context and the
    /// subprotocol, or the status of the refusal.
    async fn connect(
        &self,
        mut peer: Peer,
        headers: &HeaderMap,
        query: &[(String, String)],
    ) -> Result<(Peer, Option<String>), Refusal> {
        if !self.buckets.take("$connect") {
            return Err(StatusCode::TOO_MANY_REQUESTS.into());
        }
        let asked_at = Instant::now();
        if let Some(authorizer) = &self.api.authorizer {
            if !authorizer.identity.iter().all(|source| source.value(headers, query).is_some()) {
                return Err(StatusCode::UNAUTHORIZED.into());
            }
            let event = self.authorizer_event(&peer, headers, query);
            peer.authorizer = Some(self.authorize(&authorizer.function, event).await?);
        }
        let Some(route) = self.api.routes.get("$connect") else {
            return Ok((peer, None));
        };
        let mut event = self.connect_event(&peer, headers, query);
        if peer.authorizer.is_some() {
            let latency = u64::try_from(asked_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            event.payload["requestContext"]["authorizer"]["integrationLatency"] = latency.into();
        }
        let invoked = self.lambda.invoke(&route.function, event.payload.to_string());
        let result = match timeout(route.timeout, invoked).await {
            Ok(Ok(result)) => result,
            Ok(Err(InvokeError::Function(_))) => return Err(StatusCode::BAD_GATEWAY.into()),
            Ok(Err(InvokeError::NotFound | InvokeError::Throttled | InvokeError::Unreachable(_))) => {
                return Err(StatusCode::INTERNAL_SERVER_ERROR.into());
            }
            Err(_) => return Err(StatusCode::GATEWAY_TIMEOUT.into()),
        };
        let result: ConnectResult = serde_json::from_slice(&result).map_err(|_| StatusCode::BAD_GATEWAY)?;
        match StatusCode::from_u16(result.status_code) {
            // Not a final status.
            Ok(status) if status.is_informational() => Err(StatusCode::BAD_GATEWAY.into()),
            Ok(status) if status.is_success() => Ok((peer, result.subprotocol(headers))),
            Ok(status) => Err(status.into()),
            Err(_) => Err(StatusCode::BAD_GATEWAY.into()),
        }
    }
}

/// The result of `$connect`. Everything but the status and the subprotocol is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectResult {
    #[serde(deserialize_with = "status_code")]
    status_code: u16,
    #[serde(default)]
    headers: Option<serde_json::Map<String, Value>>,
}

impl ConnectResult {
    /// The subprotocol that the function chose among those of the client. API Gateway does not choose itself.
    fn subprotocol(&self, headers: &HeaderMap) -> Option<String> {
        let mut offered = list(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let chosen = self
            .headers
            .as_ref()?
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"))?;
        let chosen = chosen.1.as_str()?;
        offered.any(|protocol| protocol == chosen).then(|| chosen.to_owned())
    }
}

fn accept_connection(
    gateway: &Gateway,
    peer: Peer,
    upgrade: OnUpgrade,
    accept: &str,
    subprotocol: Option<String>,
) -> Response<Body> {
    let (connection, frames) = Connection::new(peer);
    // Before the 101 response: when the client learns that it is connected, callbacks have to find it.
    gateway.registry().insert(connection.clone());
    tokio::spawn(connection::run(gateway.clone(), connection, upgrade, frames));
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response.body(Body::empty()).unwrap_or_else(|_| refused(StatusCode::BAD_GATEWAY.into()))
}

/// Whether a request asks for an upgrade to WebSocket.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has(headers, header::CONNECTION, "upgrade") && has(headers, header::UPGRADE, "websocket")
}

/// The `Sec-WebSocket-Accept` of a valid handshake.
// hyper-tungstenite would replace this function and the making of the 101 response, but it checks neither the
// method nor the version of HTTP.
fn accept_key(request: &Request) -> Option<String> {
    let headers = request.headers();
    let wanted = request.method() == "GET"
        && request.version() == Version::HTTP_11
        && asks_for_websocket(headers)
        && has(headers, header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    wanted.then(|| derive_accept_key(key.as_bytes()))
}

fn has(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    list(headers, &name).any(|member| member.eq_ignore_ascii_case(wanted))
}

/// Why a handshake is refused: the status, and the error type that API Gateway sends with it.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error_type: Option<&'static str>,
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self { status, error_type: None }
    }
}

fn refused(Refusal { status, error_type }: Refusal) -> Response<Body> {
    let message = status.canonical_reason().unwrap_or("Refused");
    let body = serde_json::json!({ "message": message, "requestId": new_id() }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(error_type) = error_type {
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
    }
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
