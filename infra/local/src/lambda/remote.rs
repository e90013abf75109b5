//! Another Invoke API, such as `cargo lambda watch`.

use bytes::Bytes;

use super::InvokeError;

#[derive(Clone, Debug)]
pub(crate) struct Remote {
    client: reqwest::Client,
    endpoint: String,
}

impl Remote {
    /// The Invoke API at `endpoint`.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self { client: reqwest::Client::new(), endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    pub(super) async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let unreachable = |error: reqwest::Error| InvokeError::Unreachable(format!("{url}: {error}"));
        let answer = self.client.post(&url).body(payload).send().await.map_err(unreachable)?;
        let status = answer.status();
        let function_error = answer.headers().contains_key("x-amz-function-error");
        let body = answer.bytes().await.map_err(unreachable)?;
        match status.as_u16() {
            200 if !function_error => Ok(body),
            // Lambda itself says 200 and sets the header; cargo lambda says 500.
            200 | 500 => Err(InvokeError::Function(body)),
            404 => Err(InvokeError::NotFound),
            429 => Err(InvokeError::Throttled),
            other => Err(InvokeError::Unreachable(format!("{url} answered {other}"))),
        }
    }
}
