//! Work that a request does not depend on.

use std::time::Duration;

use domain::Failure;
use tokio::time::timeout;

/// How long the work may hold up a request. Each of its calls has a time limit of its own.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How long after its commit something may still be pushed. Who is told was read with the commit: somebody
/// who was removed since then gets nothing later than this.
const PUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Does what a request does not depend on: a failure or a timeout is logged, and `None` is returned.
pub async fn best_effort<T>(what: &'static str, work: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    within(TIMEOUT, what, work).await
}

/// Tells of what was just committed: a failure or a timeout is logged, and `None` is returned.
pub async fn after_commit<T>(
    what: &'static str,
    telling: impl Future<Output = Result<T, Failure>>,
) -> Option<T> {
    within(PUSH_TIMEOUT, what, telling).await
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Option<T> {
    match timeout(limit, work).await {
        Ok(done) => logged(what, done),
        Err(_) => {
            tracing::error!("{what}: took too long");
            None
        }
    }
}

/// What was done; a failure is logged.
pub(crate) fn logged<T>(what: &'static str, result: Result<T, Failure>) -> Option<T> {
    result.inspect_err(|failure| tracing::error!(cause = %failure.cause, "{what}: {failure}")).ok()
}
