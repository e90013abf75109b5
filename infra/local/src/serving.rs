//! The server of all APIs, and which of them serves a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum_server::{ConnectionShutdown, Server};
use tokio::net::TcpListener;

use crate::acceptor::Acceptor;
use crate::pages::{self, Pages};
use crate::websocket::asks_for_websocket;
use crate::{callbacks, http, websocket};

/// The time limit of the head of a client's first request, so that slow clients cannot hold all sockets.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

/// The time limit from one request on a socket to the end of the next one's head.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let mut server =
        Server::<SocketAddr>::from_listener(listener).acceptor(Acceptor).first_request_timeout(MAX_HANDSHAKE);
    server.http_builder().http1().header_read_timeout(MAX_KEEP_ALIVE);
    server.serve(router.layer(from_fn(http_1_only)).into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Refuses HTTP/2, which has no time limit between requests here; handshakes and SDKs speak HTTP/1.1. The
/// server cannot be limited to HTTP/1 and still upgrade to WebSockets, so the first HTTP/2 request ends its
/// connection.
async fn http_1_only(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 {
        return next.run(request).await;
    }
    if let Some(connection) = request.extensions().get::<ConnectionShutdown>() {
        // A graceful shutdown would wait for a client that need not answer.
        connection.shutdown();
    }
    StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response()
}

/// Adds a WebSocket API: handshakes and callbacks, at the paths of its stage.
pub(crate) fn with_websocket(router: Router, gateway: websocket::Gateway) -> Router {
    let path = format!("/{}", gateway.stage());
    let callbacks = callbacks::routes(gateway.clone());
    let handshake =
        any(move |ConnectInfo(from), request: Request| websocket::handshake(gateway.clone(), from, request));
    router.route(&path, handshake).merge(callbacks)
}

/// Adds the HTTP API and the pages, at all other paths.
pub(crate) fn with_the_rest(router: Router, http: Option<http::Gateway>, pages: Option<Pages>) -> Router {
    let serve = async move |ConnectInfo(from): ConnectInfo<SocketAddr>, request: Request| {
        serve_the_rest(http.as_ref(), pages.as_ref(), from, request).await
    };
    router.fallback(serve).layer(pages::compression())
}

/// Serves what no WebSocket API does: the HTTP API first, then the pages.
async fn serve_the_rest(
    http: Option<&http::Gateway>,
    pages: Option<&Pages>,
    from: SocketAddr,
    request: Request,
) -> Response {
    if asks_for_websocket(request.headers()) || callbacks::is_path(request.uri().path()) {
        return callbacks::forbidden();
    }
    if let Some(pages) = pages
        && !http.is_some_and(|http| http.takes(&request))
        && let Some(page) = pages.get(without_body(&request)).await
    {
        return page;
    }
    match http {
        Some(http) => http.serve(from, request).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn without_body(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    copy
}
