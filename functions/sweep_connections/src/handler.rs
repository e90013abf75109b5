//! Time passing writes nothing, and `$disconnect` may be lost. So this looks for users whose leases have all
//! expired, and for announcements that are overdue.

use std::time::{Duration, Instant};

use domain::{Failure, UserId};
use edge::websocket::Callbacks;
use futures_util::{StreamExt, stream};
use realtime::{Announcer, best_effort, clear};
use serde::Serialize;
use store::Store;

/// The number of users who are swept concurrently: each takes a few round trips and some pushes.
const CONCURRENCY: usize = 8;

/// No user is begun with after this. What is not announced when the function times out waits for a later
/// sweep, as do the remaining users.
const TIME_TO_START: Duration = Duration::from_secs(40);

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
}

/// The number of users of whom there was something to announce.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    swept: usize,
}

/// A failure to sweep a user is only logged: the user is found again by the next sweep.
pub(crate) async fn handle(state: &State) -> Result<Report, Failure> {
    let began = Instant::now();
    let due = state.announcer.connections.due_users().await?;
    let swept = stream::iter(due)
        .map(async |user| {
            // In a box: the future is large.
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

/// Sweeps a user; whether there was anything to announce. The contacts are read first, since nothing can be
/// announced without them.
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
