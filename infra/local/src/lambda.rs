//! Functions: where an invocation goes, and what may become of it.

mod host;
mod instance;
mod invoke_api;
mod log;
mod remote;
mod runtime_api;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use host::{Host, HostConfig};
pub(crate) use invoke_api::routes as invoke_api_routes;
pub(crate) use log::LogFormat;
pub(crate) use remote::Remote;

/// The largest payload of a synchronous invocation, either way: 6 MiB and a little (Lambda quota, as its
/// runtime interface emulator has it).
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024 + 100;

/// How long Lambda waits before it repeats an asynchronous event that has failed.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// What a function is invoked with.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) payload: Bytes,
    /// What the caller says of itself, as JSON.
    pub(crate) client_context: Option<String>,
}

/// What became of an invocation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) request_id: Uuid,
    pub(crate) result: Result<Bytes, InvokeError>,
    pub(crate) duration: Duration,
    pub(crate) log: log::LogTail,
}

impl Outcome {
    fn without_log(request_id: Uuid, result: Result<Bytes, InvokeError>) -> Self {
        Self { request_id, result, duration: Duration::ZERO, log: log::LogTail::default() }
    }
}

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

    /// What kind of error it is, in a word.
    fn error_type(&self) -> String {
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
}

/// Something that runs functions: this machine's own host, or another Invoke API.
#[derive(Clone, Debug)]
pub(crate) enum Lambda {
    Host(Host),
    Remote(Remote),
}

impl Lambda {
    /// Invokes `function` and waits for its result.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Bytes, InvokeError> {
        self.run(function, Invocation { payload: payload.into(), client_context: None }).await.result
    }

    /// Invokes `function` as a synchronous caller does.
    pub(crate) async fn run(&self, function: &str, invocation: Invocation) -> Outcome {
        match self {
            Self::Host(host) => host.run(function, invocation).await,
            Self::Remote(remote) => remote.run(function, invocation).await,
        }
    }

    /// Invokes `function` as Lambda does with an asynchronous event: twice more if it fails.
    pub(crate) async fn run_event(&self, function: &str, invocation: Invocation) {
        let mut delays = RETRY_DELAYS.into_iter();
        while let Err(error) = self.run(function, invocation.clone()).await.result {
            let failed = format!("{function}: an asynchronous event failed ({})", error.error_type());
            let Some(delay) = delays.next() else {
                return eprintln!("{failed}; it is given up");
            };
            eprintln!("{failed}; it is repeated in {} s", delay.as_secs());
            // Lambda waits by the clock: there is nothing to wait for.
            tokio::time::sleep(delay).await;
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
