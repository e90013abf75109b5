//! Time passing writes nothing, and `$disconnect` may be lost: somebody has to look for the users whose
//! leases have all run out.

use std::time::{Duration, Instant};

use domain::{Failure, UserId};
use edge::websocket::Callbacks;
use futures_util::{StreamExt, stream};
use realtime::{Announcer, best_effort, clear};
use serde::Serialize;
use store::Store;

/// How many users are taken offline at once: each costs a few round trips and some pushes.
const CONCURRENCY: usize = 8;

/// After this no other user is begun with: what is not announced when the time of the function is up waits
/// for another sweep. Users who are left out are found again a minute later.
const TIME_TO_START: Duration = Duration::from_secs(40);

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
pub(crate) async fn handle(state: &State) -> Result<Report, Failure> {
    let began = Instant::now();
    let due = state.announcer.connections.due_users().await?;
    let swept = stream::iter(due)
        .map(async |user| {
            // In a box: with all the calls that it makes it is large.
            let swept = Box::pin(sweep(state, &user)).await;
            swept.unwrap_or_else(|failure| {
                tracing::error!(%user, cause = %failure.cause, "sweeping {user}: {failure}");
                false
            })
        })
        .take_while(|_| std::future::ready(began.elapsed() < TIME_TO_START))
        .buffer_unordered(CONCURRENCY)
        .filter(|swept| std::future::ready(*swept))
        .count()
        .await;
    Ok(Report { swept })
}

/// Whether there was anything to announce. The user's contacts are read first: without them nothing can be
/// announced.
async fn sweep(state: &State, user: &UserId) -> Result<bool, Failure> {
    let Announcer { connections, push, .. } = &state.announcer;
    let contacts = state.store.contacts_of(user).await?;
    let departed = connections.sweep(user).await?;
    let swept = !departed.unannounced.is_empty();
    best_effort("closing swept connections and announcing it", async {
        let announced = state.announcer.announce(departed.unannounced, &contacts);
        let cleared = clear(connections, &departed.expired, async |id| push.close(id).await);
        tokio::join!(cleared, announced).1
    })
    .await;
    Ok(swept)
}
