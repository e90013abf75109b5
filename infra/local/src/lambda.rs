//! Functions: where an invocation goes, and what may become of it.

mod host;
mod instance;
mod invoke_api;
mod remote;
mod runtime_api;

use bytes::Bytes;
use serde_json::json;

pub(crate) use host::{Host, HostConfig};
pub(crate) use invoke_api::routes as invoke_api_routes;
pub(crate) use remote::Remote;

/// The largest payload of a synchronous invocation, either way: 6 MiB and a little (Lambda quota, as its
/// runtime interface emulator has it).
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024 + 100;

/// Why an invocation has no result.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// There is no such function.
    NotFound,
    /// Every process is busy and none may be added.
    Throttled,
    /// The function answered with an error, crashed or took too long; this is what Lambda says of it, as
    /// JSON.
    Function(Bytes),
    /// The remote endpoint could not be asked.
    Unreachable(String),
}

impl InvokeError {
    fn function(error_type: &str, message: String) -> Self {
        Self::Function(json!({ "errorType": error_type, "errorMessage": message }).to_string().into())
    }
}

/// Something that runs functions: this machine's own host, or another Invoke API.
#[derive(Clone, Debug)]
pub(crate) enum Lambda {
    Host(Host),
    Remote(Remote),
}

impl Lambda {
    /// Invokes `function` and waits for its result.
    pub(crate) async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        match self {
            Self::Host(host) => host.invoke(function, payload).await,
            Self::Remote(remote) => remote.invoke(function, payload).await,
        }
    }

    /// The ARN that a function of this name has or would have.
    fn arn(&self, function: &str) -> String {
        match self {
            Self::Host(host) => host.arn(function),
            Self::Remote(_) => function.to_owned(),
        }
    }

    /// Whether there is such a function.
    pub(crate) fn has(&self, function: &str) -> bool {
        match self {
            Self::Host(host) => host.has(function),
            Self::Remote(_) => true,
        }
    }
}
