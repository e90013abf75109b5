//! The start of a process, before it asks for its first event.

use std::time::Duration;

use tokio::time::timeout;

/// The time limit of a start's calls. All of them take a few milliseconds, unless one is not answered.
const LIMIT: Duration = Duration::from_millis(500);

/// Makes calls that open the connections of the first event, while the start has all of a processor. Lambda
/// gives an event only the share that the memory of the function buys.
///
/// A start does not depend on them: what failed is tried again by the first event, which reports it.
pub async fn warm_up(calls: impl Future) {
    let _ = timeout(LIMIT, calls).await;
}
