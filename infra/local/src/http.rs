//! The HTTP API: a request becomes an event of payload format 2.0, and what the function answers becomes the
//! response.

mod cors;
mod event;
mod response;
mod routing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode};
use tokio::time::timeout;
use uuid::Uuid;

use crate::lambda::{InvokeError, Lambda};
use crate::template::{HttpApi, Values};

/// API Gateway's quotas: an integration's time, a body's size in bytes.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 10 * 1024 * 1024;

/// One HTTP API. Cheap to clone: all clones are one API.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: HttpApi,
    values: Values,
    lambda: Lambda,
}

impl Gateway {
    /// Serves `api` with the functions of `lambda`.
    pub(crate) fn new(api: HttpApi, values: Values, lambda: Lambda) -> Self {
        Self(Arc::new(Inner { api, values, lambda }))
    }

    /// Answers a request.
    pub(crate) async fn serve(&self, from: SocketAddr, request: Request) -> Response<Body> {
        let inner = &self.0;
        let cors = inner.api.cors.as_ref().and_then(|cors| cors::answer(cors, &request));
        let mut response = match &cors {
            Some(cors) if cors.preflight => no_content(),
            _ => inner.respond(from, request).await,
        };
        if let Some(cors) = cors {
            cors.apply(response.headers_mut());
        }
        let id = HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is plain ASCII");
        response.headers_mut().insert("apigw-requestid", id);
        response
    }
}

impl Inner {
    async fn respond(&self, from: SocketAddr, request: Request) -> Response<Body> {
        let Some(matched) = routing::find(&self.api.routes, request.method().as_str(), request.uri().path())
        else {
            return response::message(StatusCode::NOT_FOUND, "Not Found");
        };
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY).await else {
            return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        let event = event::event(&self.values, &self.api.id, &matched, from, &head, &body).to_string();
        if event.len() > crate::lambda::MAX_PAYLOAD {
            return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let invoked = self.lambda.invoke(&matched.route.function, event.into());
        match timeout(INTEGRATION_TIMEOUT, invoked).await {
            Ok(Ok(result)) => response::infer(&result),
            Ok(Err(InvokeError::Function(_) | InvokeError::NotFound)) => {
                response::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Ok(Err(InvokeError::Throttled)) | Err(_) => {
                response::message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            Ok(Err(InvokeError::Unreachable(reason))) => {
                eprintln!("{}: {reason}", matched.route.function);
                response::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        }
    }
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
