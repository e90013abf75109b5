//! Functions that no client calls: a schedule, an operator or another function invokes them.

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::telemetry::{Failed, Invocation, observe};

/// Does the work of a function at each event, and returns the report of the work.
///
/// # Errors
///
/// The Runtime API of Lambda cannot be reached.
pub async fn run<P: DeserializeOwned, T: Serialize, E>(
    name: &str,
    work: impl AsyncFn(P) -> Result<T, E>,
) -> Result<(), lambda_runtime::Error>
where
    E: Failed + Into<lambda_runtime::Error>,
{
    let work = &work;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<P>| async move {
        let request_id = &event.context.request_id;
        let invocation = Invocation { route: name, request_id, connection: None };
        observe(invocation, work(event.payload)).await.map_err(Into::into)
    }))
    .await
}
