//! The events of the HTTP API: who is calling, and how they are answered.

use lambda_http::http::{HeaderMap, Response, StatusCode, header};
use lambda_http::{Body, Request, service_fn};
use protocol::{Code, ErrorBody};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::token::{Claims, Verifier};

/// Serves an HTTP route: verifies the token, reads the body as a `T`, and answers with the status and body that `handle` gives.
pub async fn run<T, A, F>(
    verifier: Verifier,
    handle: impl Fn(Claims, T) -> F + Sync,
) -> Result<(), lambda_runtime::Error>
where
    T: DeserializeOwned + Send,
    A: Serialize + Send,
    F: Future<Output = Result<(StatusCode, A), Error>> + Send,
{
    let (verifier, handle) = (&verifier, &handle);
    lambda_http::run(service_fn(move |request: Request| async move {
        match answer(verifier, handle, &request).await {
            Ok((status, body)) => respond(status, &body),
            Err(error) => {
                error.log();
                respond(status(error.code), &ErrorBody::new(error.code, error.message))
            }
        }
    }))
    .await
}

async fn answer<T: DeserializeOwned, A, F>(
    verifier: &Verifier,
    handle: &(impl Fn(Claims, T) -> F + Sync),
    request: &Request,
) -> Result<(StatusCode, A), Error>
where
    F: Future<Output = Result<(StatusCode, A), Error>>,
{
    let claims = verifier.verify(bearer(request.headers())?).await?;
    let body = std::str::from_utf8(request.body())
        .map_err(|error| Error::invalid_request(format!("the body must be UTF-8: {error}")))?;
    handle(claims, protocol::read_object(body)?).await
}

/// The token in `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| Error::unauthenticated("the header Authorization: Bearer is missing"))
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

fn respond(status: StatusCode, body: &impl Serialize) -> Result<Response<Body>, lambda_http::Error> {
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::Text(serde_json::to_string(body)?))?;
    Ok(response)
}
