//! Functions that no client calls: a schedule or an operator invokes them.

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::telemetry::{Failed, Invocation, observe};

/// Does the work of a function at each event, whatever is in it, and returns the report of the work.
///
/// # Errors
///
/// The Runtime API of Lambda cannot be reached.
pub async fn run<T: Serialize, E>(
    name: &str,
    work: impl AsyncFn() -> Result<T, E>,
) -> Result<(), lambda_runtime::Error>
where
    E: Failed + Into<lambda_runtime::Error>,
{
    let work = &work;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<IgnoredAny>| async move {
        let request_id = &event.context.request_id;
        let invocation = Invocation { route: name, request_id, connection: None };
        observe(invocation, work()).await.map_err(Into::into)
    }))
    .await
}
