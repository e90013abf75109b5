//! Old messages are found in the order of their ids, which is that of their times, and removed by
//! conversation, the oldest first, in transactions that lock it for a moment only.

use std::time::{Duration, Instant};

use domain::Failure;
use serde::Serialize;
use store::{Pace, Retained, Store};

/// No transaction is begun with after this. The next day's invocation goes on.
const TIME_TO_START: Duration = Duration::from_secs(840);

pub(crate) struct State {
    pub(crate) store: Store,
    /// After how many days messages are removed; 0 for never.
    pub(crate) days: i32,
}

/// The number of messages that were removed, and whether those were all that are too old.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    removed: i64,
    is_done: bool,
}

pub(crate) async fn handle(state: &State) -> Result<Report, Failure> {
    let end = Instant::now() + TIME_TO_START;
    let report = match state.days {
        0 => Report { removed: 0, is_done: true },
        days => remove(&state.store, days, end).await?,
    };
    let stuck_erasures = state.store.stuck_erasures().await?;
    let unfinished = u64::from(!report.is_done) + u64::try_from(stuck_erasures).unwrap_or(0);
    tracing::trace!(target: "measured", privacy_work_unfinished = unfinished);
    Ok(report)
}

async fn remove(store: &Store, days: i32, end: Instant) -> Result<Report, Failure> {
    let mut removed = 0;
    let mut last = None;
    let mut pace = Pace::default();
    loop {
        let found = store.old_messages(days, last).await?;
        if found.last.is_none() {
            return Ok(Report { removed, is_done: true });
        }
        let Retained { old, last: looked_at } = found;
        last = looked_at;
        for (conversation, seq) in old {
            loop {
                if Instant::now() > end {
                    return Ok(Report { removed, is_done: false });
                }
                let (some, are_more) = store.remove_old(conversation, seq, &mut pace).await?;
                removed += some;
                if !are_more {
                    break;
                }
            }
        }
    }
}
