//! An invocation of a function, and its outcome.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::log::LogTail;

/// The largest payload and result of a synchronous invocation: 6 MiB and 100 bytes (Lambda quota, as in its
/// runtime interface emulator).
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024 + 100;

/// An event for a function.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) payload: Bytes,
    /// The client context, as JSON.
    pub(crate) client_context: Option<String>,
}

/// The outcome of an invocation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) request_id: Uuid,
    pub(crate) result: Result<Bytes, InvokeError>,
    pub(crate) duration: Duration,
    pub(crate) log: LogTail,
}

impl Outcome {
    pub(super) fn without_log(request_id: Uuid, result: Result<Bytes, InvokeError>) -> Self {
        Self { request_id, result, duration: Duration::ZERO, log: LogTail::default() }
    }
}

/// Why an invocation has no result.
#[derive(Debug)]
pub(crate) enum InvokeError {
    /// There is no such function.
    NotFound,
    /// All processes are busy, and no more may be started.
    Throttled,
    /// The function returned an error, crashed or timed out: Lambda's error, as JSON.
    Function(Bytes),
    /// The remote endpoint cannot be reached.
    Unreachable(String),
}

/// Why a function that is invoked at the start has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("{0} failed: {1}")]
    Failed(String, String),
    #[error("{0} does not start: {1}")]
    Refused(String, String),
    #[error("{0} cannot be started: {1}")]
    NoProcess(String, std::io::Error),
    #[error("{0} cannot be invoked: {1:?}")]
    NotInvoked(String, InvokeError),
}

impl InvokeError {
    pub(super) fn function(error_type: &str, message: String) -> Self {
        Self::Function(json!({ "errorType": error_type, "errorMessage": message }).to_string().into())
    }

    /// The type of the error.
    pub(super) fn error_type(&self) -> String {
        match self {
            Self::NotFound => "not found".to_owned(),
            Self::Throttled => "throttled".to_owned(),
            Self::Function(error) => serde_json::from_slice::<Value>(error)
                .ok()
                .and_then(|error| error["errorType"].as_str().map(str::to_owned))
                .unwrap_or_else(|| "Unhandled".to_owned()),
            Self::Unreachable(_) => "unreachable".to_owned(),
        }
    }

    /// The error of an event that took too long.
    pub(super) fn timed_out(request_id: Uuid, after: Duration) -> Self {
        let after = after.as_secs_f64();
        let message = format!("RequestId: {request_id} Error: Task timed out after {after:.2} seconds");
        Self::function("Sandbox.Timedout", message)
    }

    /// The error of an event whose process ended before it answered.
    pub(super) fn exited(request_id: Uuid, status: Option<ExitStatus>) -> Self {
        let reason = match status {
            Some(status) if !status.success() => {
                format!("Runtime exited with error: {}", exit_reason(status))
            }
            _ => "Runtime exited without providing a reason".to_owned(),
        };
        Self::function("Runtime.ExitError", format!("RequestId: {request_id} Error: {reason}"))
    }
}

/// As Go prints it, since Lambda is written in Go: `exit status 1`, `signal: killed`.
fn exit_reason(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal().map(nix::sys::signal::Signal::try_from)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(Ok(nix::sys::signal::Signal::SIGKILL))) => "signal: killed".to_owned(),
        (None, Some(Ok(signal))) => format!("signal: {signal}"),
        (None, _) => status.to_string(),
    }
}
