//! CORS. The gateway answers it, and replaces the CORS headers of functions.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::template::Cors;

/// The CORS headers of the response.
pub(super) struct Answer {
    /// Whether the request is a preflight, which the gateway answers itself.
    pub(super) preflight: bool,
    headers: Vec<(HeaderName, String)>,
}

/// No headers without an `Origin`, or for an `OPTIONS` request without a requested method. The function's own
/// CORS headers are removed all the same.
pub(super) fn answer(cors: &Cors, request: &Request) -> Answer {
    let options = request.method() == Method::OPTIONS;
    let preflight = options && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let Some(origin) = origin.filter(|_| preflight || !options) else {
        return Answer { preflight: false, headers: Vec::new() };
    };
    let mut headers = Vec::new();
    let allowed =
        cors.allow_origins.iter().find(|allowed| *allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    if let Some(allowed) = allowed {
        headers.push((
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            if allowed == "*" { "*" } else { origin }.to_owned(),
        ));
        let lists = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods, preflight),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers, preflight),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers, !preflight),
        ];
        let said = lists.into_iter().filter(|(_, list, applies)| *applies && !list.is_empty());
        headers.extend(said.map(|(name, list, _)| (name, list.join(","))));
        if cors.allow_credentials {
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
        }
        if let (Some(seconds), true) = (cors.max_age, preflight) {
            headers.push((header::ACCESS_CONTROL_MAX_AGE, seconds.to_string()));
        }
    }
    Answer { preflight, headers }
}

impl Answer {
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        let stated: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
        for name in stated {
            headers.remove(name);
        }
        for (name, value) in self.headers {
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
        }
    }
}
