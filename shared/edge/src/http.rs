//! The events of the HTTP API.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

pub use lambda_http::Request;
pub use lambda_http::http::StatusCode;
use lambda_http::http::{HeaderName, Response, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, RequestExt, service_fn};
use protocol::{Code, ErrorBody};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::telemetry::{Invocation, observe};
use crate::token::{Verify, bearer};

/// Serves HTTP routes: verifies the token, reads the request with `read`, and answers with the status and the
/// body that `handle` returns.
///
/// # Errors
///
/// The Runtime API of Lambda cannot be reached.
pub async fn run<V, T, A, F>(
    verifier: V,
    read: fn(&Request) -> Result<T, Error>,
    handle: impl Fn(V::Claims, T) -> F + Sync,
) -> Result<(), lambda_runtime::Error>
where
    V: Verify,
    T: Send,
    A: Serialize + Send,
    F: Future<Output = Result<(StatusCode, A), Error>> + Send,
{
    let (verifier, handle) = (&verifier, &handle);
    lambda_http::run(service_fn(move |request: Request| async move {
        let work = async {
            let claims = verifier.verify(bearer(authorization(&request))).await?;
            handle(claims, read(&request)?).await
        };
        let request_id = request.lambda_context_ref().map_or("?", |context| &context.request_id);
        match observe(Invocation { route: route(&request), request_id, connection: None }, work).await {
            Ok((status, body)) => respond(status, &body, [None, None]),
            Err(error) => {
                let (status, challenge) = (status(error.code), challenge(&error));
                let body = ErrorBody::new(error.code, error.message);
                respond(status, &body, [retry_after(error.retry_after), challenge])
            }
        }
    }))
    .await
}

/// The route key as in the template, with the names of path parameters; `?` if there is none.
pub fn route(request: &Request) -> &str {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.as_deref().unwrap_or("?"),
        _ => "?",
    }
}

/// Reads the body as a `T`.
///
/// # Errors
///
/// The body is not UTF-8, or not a JSON object with the fields of a `T`.
pub fn json_body<T: DeserializeOwned>(request: &Request) -> Result<T, Error> {
    let body = std::str::from_utf8(request.body())
        .map_err(|error| Error::invalid_request(format!("the body must be UTF-8: {error}")))?;
    Ok(protocol::read_object(body)?)
}

/// A parameter of the query string, if it is there. It may be there once only.
///
/// # Errors
///
/// The parameter is not a `T`, or is there more than once.
pub fn query<T: FromStr<Err: Display>>(request: &Request, name: &str) -> Result<Option<T>, Error> {
    let parameters = request.query_string_parameters();
    match parameters.all(name).unwrap_or_default().as_slice() {
        [] => Ok(None),
        [value] => read(name, value).map(Some),
        _ => Err(Error::invalid_request(format!("{name}: must be given once"))),
    }
}

/// A parameter of the query string that has to be there.
///
/// # Errors
///
/// As [`query`], or the parameter is not there.
pub fn required_query<T: FromStr<Err: Display>>(request: &Request, name: &str) -> Result<T, Error> {
    query(request, name)?.ok_or_else(|| Error::invalid_request(format!("{name}: is missing")))
}

/// A parameter of the path.
///
/// # Errors
///
/// The parameter is not a `T`.
pub fn path<T: FromStr<Err: Display>>(request: &Request, name: &str) -> Result<T, Error> {
    read(name, request.path_parameters().first(name).unwrap_or_default())
}

/// The number of rows that a list is asked for: `limit`, 1 to 100, 50 if absent.
///
/// # Errors
///
/// The value is not a number from 1 to 100.
pub fn limit(request: &Request) -> Result<usize, Error> {
    match query(request, "limit")? {
        None => Ok(50),
        Some(limit @ 1..=100) => Ok(limit),
        Some(_) => Err(Error::invalid_request("limit: must be from 1 to 100")),
    }
}

fn read<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|error| Error::invalid_request(format!("{name}: {error}")))
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()
}

pub(crate) fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest => StatusCode::BAD_REQUEST,
        Code::Unauthenticated | Code::TokenExpired => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// In whole seconds (RFC 9110, section 10.2.3): always the next one, so that no client repeats too early.
fn retry_after(wait: Option<Duration>) -> Option<(HeaderName, String)> {
    wait.map(|wait| (header::RETRY_AFTER, (wait.as_secs() + 1).to_string()))
}

/// The `WWW-Authenticate` header of a 401 (RFC 9110, section 15.5.2). It says whether there was an invalid
/// token (RFC 6750, section 3.1).
fn challenge(error: &Error) -> Option<(HeaderName, String)> {
    let unauthenticated = status(error.code) == StatusCode::UNAUTHORIZED;
    let challenge = if error.token_is_missing { "Bearer" } else { r#"Bearer error="invalid_token""# };
    unauthenticated.then(|| (header::WWW_AUTHENTICATE, challenge.to_owned()))
}

fn respond(
    status: StatusCode,
    body: &impl Serialize,
    headers: [Option<(HeaderName, String)>; 2],
) -> Result<Response<Body>, lambda_http::Error> {
    if status == StatusCode::NO_CONTENT {
        return Ok(Response::builder().status(status).body(Body::Empty)?);
    }
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers.into_iter().flatten() {
        response = response.header(name, value);
    }
    Ok(response.body(Body::Text(serde_json::to_string(body)?))?)
}
