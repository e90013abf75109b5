//! Functions: who runs them, and how they are invoked.

mod environment;
mod host;
mod invocation;
mod invoke_api;
mod log;
mod pool;
mod process;
mod remote;
mod runtime_api;
mod trial;

use std::time::Duration;

use bytes::Bytes;

pub(crate) use host::{Host, HostConfig};
pub(crate) use invocation::{Invocation, InvokeError, MAX_PAYLOAD, NotStarted, Outcome};
pub(crate) use invoke_api::routes as invoke_api_routes;
pub(crate) use log::LogFormat;
pub(crate) use remote::{NotAnEndpoint, Remote};

/// The pauses before an asynchronous event is repeated.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// What runs functions: this machine's host, or another Invoke API.
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

    /// Invokes a function that has to finish before the other functions are invoked.
    pub(crate) async fn invoke_at_start(&self, function: &str) -> Result<(), NotStarted> {
        match self.invoke(function, "{}").await {
            Ok(result) => {
                eprintln!("    {}", String::from_utf8_lossy(&result));
                Ok(())
            }
            Err(InvokeError::Function(error)) => {
                Err(NotStarted::Failed(function.to_owned(), String::from_utf8_lossy(&error).into_owned()))
            }
            Err(error) => Err(NotStarted::NotInvoked(function.to_owned(), error)),
        }
    }

    /// Invokes `function` as a synchronous caller does.
    pub(crate) async fn run(&self, function: &str, invocation: Invocation) -> Outcome {
        match self {
            Self::Host(host) => host.run(function, invocation).await,
            Self::Remote(remote) => remote.run(function, invocation).await,
        }
    }

    /// Invokes `function` as Lambda does with an asynchronous event: up to two repeats if it fails.
    pub(crate) async fn run_event(&self, function: &str, invocation: Invocation) {
        let mut delays = RETRY_DELAYS.into_iter();
        while let Err(error) = self.run(function, invocation.clone()).await.result {
            let failed = format!("{function}: an asynchronous event failed ({})", error.error_type());
            let Some(delay) = delays.next() else {
                return eprintln!("{failed}; it is given up");
            };
            eprintln!("{failed}; it is repeated in {} s", delay.as_secs());
            // Lambda repeats after a fixed time.
            tokio::time::sleep(delay).await;
        }
    }

    /// The ARN of a function with this name, whether or not it exists; for a remote endpoint the name.
    fn arn(&self, function: &str) -> String {
        match self {
            Self::Host(host) => host.arn(function),
            Self::Remote(_) => function.to_owned(),
        }
    }

    /// Whether there is a function with this name. A remote endpoint is only asked at the invocation.
    pub(crate) fn has(&self, function: &str) -> bool {
        match self {
            Self::Host(host) => host.has(function),
            Self::Remote(_) => true,
        }
    }
}
