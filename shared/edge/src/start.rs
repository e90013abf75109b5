//! The start of a process, before it asks for its first event.

use std::pin::Pin;
use std::time::Duration;

use domain::Failure;
use futures_util::future::join_all;
use tokio::time::timeout;

/// The time limit of each call. A call takes a few milliseconds, unless it is not answered.
const LIMIT: Duration = Duration::from_millis(500);

/// A call that opens a connection.
type Call<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Makes calls that open the connections of the first event, while the start has all of a processor. Lambda
/// gives an event only the share that the memory of the function buys.
///
/// A start does not depend on them: what failed is tried again by the first event, which reports it.
pub async fn warm_up<const N: usize>(calls: [Call<'_>; N]) {
    let calls = calls.map(async |call| match timeout(LIMIT, call).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::debug!(cause = %failure.cause, "a call of the start failed: {failure}"),
        Err(_) => tracing::debug!("a call of the start took too long"),
    });
    join_all(calls).await;
}
