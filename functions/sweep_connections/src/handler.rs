//! Time passing writes nothing, and `$disconnect` may be lost: somebody has to look for the users whose
//! leases have all run out.

use domain::{Failure, UserId};
use futures_util::{StreamExt, stream};
use realtime::{Announcer, best_effort, close_all};
use serde::Serialize;
use store::Store;

/// How many users are taken offline at once: each costs a few round trips and some pushes.
const CONCURRENCY: usize = 8;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    swept: usize,
}

/// A user who could not be taken offline now is still there for the next sweep, which is why a failure is
/// only logged.
pub(crate) async fn handle(state: &State) -> Result<Report, lambda_runtime::Error> {
    let expired = state.announcer.connections.expired_users().await?;
    let swept = stream::iter(expired)
        .map(async |user| {
            let swept = sweep(state, &user).await;
            swept.unwrap_or_else(|failure| {
                tracing::error!(%user, cause = %failure.cause, "sweeping {user}: {failure}");
                false
            })
        })
        .buffer_unordered(CONCURRENCY)
        .filter(|swept| std::future::ready(*swept))
        .count()
        .await;
    Ok(Report { swept })
}

/// Who wants to know comes first, as in a disconnect: a user who is offline already is not found again.
async fn sweep(state: &State, user: &UserId) -> Result<bool, Failure> {
    let Announcer { connections, push, .. } = &state.announcer;
    let contacts = state.store.contacts_of(user).await?;
    let Some(swept) = connections.sweep(user).await? else { return Ok(false) };
    best_effort("closing swept connections and announcing it", async {
        let announced = state.announcer.offline(user, swept.offline, &contacts);
        tokio::join!(close_all(connections, push, &swept.connections), announced).1
    })
    .await;
    Ok(true)
}
