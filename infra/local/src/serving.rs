//! The server of all APIs, and which of them serves a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum_server::{ConnectionShutdown, Server};
use tokio::net::TcpListener;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

use crate::acceptor::Acceptor;
use crate::websocket::asks_for_websocket;
use crate::{callbacks, http, websocket};

/// The time limit of the head of a client's first request, so that slow clients cannot hold all sockets.
const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

/// The time limit from one request on a socket to the end of the next one's head.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How well pages are compressed: a higher level takes ten times as long for a tenth less.
const COMPRESSION: CompressionLevel = CompressionLevel::Precise(6);

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
pub(crate) fn with_the_rest(router: Router, http: Option<http::Gateway>, pages: Option<ServeDir>) -> Router {
    let serve = async move |ConnectInfo(from): ConnectInfo<SocketAddr>, request: Request| {
        serve_the_rest(http.as_ref(), pages.as_ref(), from, request).await
    };
    // A CDN would compress the pages. API Gateway compresses nothing of its own accord.
    let is_page = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        extensions.get::<IsPage>().is_some()
    };
    let compression = CompressionLayer::new().quality(COMPRESSION).compress_when(is_page);
    router.fallback(serve).layer(compression)
}

/// Marks the response of a page.
#[derive(Clone, Copy)]
struct IsPage;

/// Serves what no WebSocket API does: the HTTP API first, then the pages.
async fn serve_the_rest(
    http: Option<&http::Gateway>,
    pages: Option<&ServeDir>,
    from: SocketAddr,
    request: Request,
) -> Response {
    if asks_for_websocket(request.headers()) || callbacks::is_path(request.uri().path()) {
        return callbacks::forbidden();
    }
    if let Some(pages) = pages
        && !http.is_some_and(|http| http.takes(&request))
        && let Some(page) = page(pages, without_body(&request)).await
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

/// The page at the path of a request, if there is one.
async fn page(pages: &ServeDir, request: Request) -> Option<Response> {
    // The file system may refuse a path, for example one that is too long.
    let page = pages.clone().try_call(request).await.ok()?;
    if matches!(page.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        return None;
    }
    let mut page = page.map(Body::new);
    // Browsers have to ask each time, so that a changed file is seen.
    let no_cache = HeaderValue::from_static("no-cache");
    page.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_cache);
    page.extensions_mut().insert(IsPage);
    Some(page)
}
