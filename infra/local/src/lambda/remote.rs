//! Another Invoke API, such as `cargo lambda watch`.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::invocation::{Invocation, InvokeError, Outcome};

/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// The text is not the URL of an Invoke API.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not the URL of a Lambda endpoint")]
pub(crate) struct NotAnEndpoint(String);

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

    /// Waits until something listens there.
    pub(crate) async fn listens(&self) -> Result<(), NotAnEndpoint> {
        let address = reqwest::Url::parse(&self.endpoint)
            .ok()
            .and_then(|url| {
                Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?))
            })
            .ok_or_else(|| NotAnEndpoint(self.endpoint.clone()))?;
        // Only connects: any request might be taken for an invocation.
        while TcpStream::connect((address.0.as_str(), address.1)).await.is_err() {
            // Nothing tells when it starts.
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(super) async fn run(&self, function: &str, invocation: Invocation) -> Outcome {
        let result = self.ask(function, invocation).await;
        Outcome::without_log(Uuid::new_v4(), result)
    }

    async fn ask(&self, function: &str, invocation: Invocation) -> Result<bytes::Bytes, InvokeError> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let unreachable = |error: reqwest::Error| InvokeError::Unreachable(format!("{url}: {error}"));
        let mut request = self.client.post(&url).body(invocation.payload);
        if let Some(context) = invocation.client_context {
            request = request.header("x-amz-client-context", BASE64_STANDARD.encode(context));
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let function_error = answer.headers().contains_key("x-amz-function-error");
        let body = answer.bytes().await.map_err(unreachable)?;
        match status.as_u16() {
            200 if !function_error => Ok(body),
            // Lambda returns 200 with a header; cargo lambda returns 500.
            200 | 500 => Err(InvokeError::Function(body)),
            404 => Err(InvokeError::NotFound),
            429 => Err(InvokeError::Throttled),
            other => Err(InvokeError::Unreachable(format!("{url} answered {other}"))),
        }
    }
}
