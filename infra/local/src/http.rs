//! The HTTP API: a request becomes an event of payload format 2.0, and the result of the function becomes the
//! response.

mod authorizer;
mod cors;
mod event;
mod response;
mod routing;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Response, StatusCode, header};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::lambda::{InvokeError, Lambda};
use crate::request::{MAX_UPLOAD, new_id, query};
use crate::template::{HttpApi, Values};
use crate::throttle::Buckets;
use authorizer::{Answers, Question};

/// API Gateway's quotas in bytes: of the request line with the headers, and of the body.
const MAX_HEAD: usize = 10_240;
const MAX_BODY: usize = 10 * 1024 * 1024;

/// An HTTP API. Cheap to clone: all clones are one API.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: HttpApi,
    values: Values,
    lambda: Lambda,
    buckets: Buckets,
    answers: Answers,
}

impl Gateway {
    /// Serves `api` with the functions of `lambda`.
    pub(crate) fn new(api: HttpApi, values: Values, lambda: Lambda) -> Self {
        let buckets = Buckets::new(api.routes.iter().map(|route| (route.key(), route.throttle)));
        Self(Arc::new(Inner { api, values, lambda, buckets, answers: Answers::default() }))
    }

    /// Whether a request is for this API, and not for a page.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let Inner { api, .. } = &*self.0;
        routing::find(&api.routes, request.method().as_str(), request.uri().path()).is_some()
            || api.cors.as_ref().is_some_and(|cors| cors::answer(cors, request).preflight)
    }

    /// Answers a request.
    pub(crate) async fn serve(&self, from: SocketAddr, request: Request) -> Response<Body> {
        let inner = &self.0;
        let request_id = new_id();
        let cors = inner.api.cors.as_ref().map(|cors| cors::answer(cors, &request));
        let mut response = match &cors {
            Some(cors) if cors.preflight => no_content(),
            _ => inner.respond(from, request, &request_id).await,
        };
        if let Some(cors) = cors {
            cors.apply(response.headers_mut());
        }
        let id = HeaderValue::try_from(request_id).expect("Base64 is plain ASCII");
        response.headers_mut().insert("apigw-requestid", id);
        response
    }
}

impl Inner {
    async fn respond(&self, from: SocketAddr, request: Request, request_id: &str) -> Response<Body> {
        if head_size(&request) > MAX_HEAD {
            return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        if !has_sound_host(&request) {
            return refused(StatusCode::BAD_REQUEST);
        }
        let Some(matched) = routing::find(&self.api.routes, request.method().as_str(), request.uri().path())
        else {
            return refused(StatusCode::NOT_FOUND);
        };
        if !self.buckets.take(&matched.route.key()) {
            return refused(StatusCode::TOO_MANY_REQUESTS);
        }
        let (head, body) = request.into_parts();
        let body = match timeout(MAX_UPLOAD, to_bytes(body, MAX_BODY)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => {
                return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
            }
            Err(_) => return response::message(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        };
        let mut event = event::event(&self.values, &self.api.id, &matched, from, request_id, &head, &body);
        if let Some(name) = &matched.route.authorizer {
            match self.authorize(name, &head, &event).await {
                Ok(context) => event["requestContext"]["authorizer"] = json!({ "lambda": context }),
                Err(status) => return refused(status),
            }
        }
        let event = event.to_string();
        if event.len() > crate::lambda::MAX_PAYLOAD {
            return response::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let invoked = self.lambda.invoke(&matched.route.function, event);
        match timeout(matched.route.timeout, invoked).await {
            Ok(Ok(result)) => response::infer(&result),
            Ok(Err(InvokeError::Function(_) | InvokeError::NotFound)) => {
                refused(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Ok(Err(InvokeError::Throttled)) | Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE),
            Ok(Err(InvokeError::Unreachable(reason))) => {
                eprintln!("{}: {reason}", matched.route.function);
                refused(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    async fn authorize(&self, name: &str, head: &Parts, event: &Value) -> Result<Value, StatusCode> {
        let values = &self.values;
        let question = Question {
            name,
            headers: &head.headers,
            query: &query(head.uri.query().unwrap_or_default()),
            route_arn: format!(
                "arn:aws:execute-api:{}:{}:{}/$default/{}{}",
                values.region,
                values.account,
                self.api.id,
                head.method,
                head.uri.path(),
            ),
            event,
        };
        self.answers.ask(&self.lambda, &self.api.authorizers[name], question).await
    }
}

/// The length of a request's head in bytes, as API Gateway counts it.
fn head_size(request: &Request) -> usize {
    let line =
        request.method().as_str().len() + request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    line + headers.sum::<usize>()
}

/// Whether the `Host` header is a valid host of a URL. API Gateway answers to its own names only, and
/// functions rely on that: `lambda_http` panics over an invalid one.
fn has_sound_host(request: &Request) -> bool {
    let sound = |host: &HeaderValue| {
        let host = host.to_str().ok()?;
        host.parse::<Authority>().ok()?;
        Url::parse(&format!("http://{host}/")).ok()
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let first = hosts.next();
    first.is_none_or(|host| sound(host).is_some()) && hosts.next().is_none()
}

/// A response of the gateway itself: the reason phrase of the status.
fn refused(status: StatusCode) -> Response<Body> {
    response::message(status, status.canonical_reason().unwrap_or("Refused"))
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
