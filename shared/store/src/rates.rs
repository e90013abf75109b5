//! How much of something a user may do in a minute.

use std::time::Duration;

use tokio_postgres::Row;

/// What is counted of a user, each on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    Message,
    Conversation,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Conversation => "conversation",
        }
    }
}

/// A part of a statement that counts one more for `user`, if `source` has a row and fewer than `limit` have
/// been counted in the minute that is running; a limit of 0 is none, and nothing is counted. It has a row if
/// what is counted may be done. One statement, so one round trip and one transaction with it: what is not
/// done after all is not counted. The row is locked until the commit, so a user's own are counted one by one.
pub(crate) fn counting(what: Counted, user: &str, limit: &str, source: &str) -> String {
    let what = what.name();
    let running = "rates.started_at > excluded.started_at - interval '1 minute'";
    format!(
        "counted_in as (
    insert into rates (user_id, what, started_at, count)
    select {user}, '{what}', clock_timestamp(), 1
    from {source}
    and {limit} > 0
    on conflict on constraint rates_pkey do update set
        started_at = case when {running} then rates.started_at else excluded.started_at end,
        count = case when {running} then rates.count + 1 else 1 end
    where rates.count < {limit} or not ({running})
    returning user_id
)"
    )
}

/// Whether [`counting`] allows it.
pub(crate) fn is_allowed(limit: &str) -> String {
    format!("({limit} = 0 or exists (select from counted_in))")
}

/// The milliseconds until the minute is over, if it is running.
pub(crate) fn retry_after(what: Counted, user: &str) -> String {
    let what = what.name();
    format!(
        "(select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
 from rates where user_id = {user} and what = '{what}')"
    )
}

/// The time in a column made by [`retry_after`]: a moment at least, since the minute may be over by now.
pub(crate) fn read_retry_after(row: &Row) -> Result<Duration, tokio_postgres::Error> {
    let milliseconds: Option<i64> = row.try_get("retry_after_ms")?;
    Ok(Duration::from_millis(milliseconds.and_then(|left| left.try_into().ok()).unwrap_or(0).max(1)))
}
