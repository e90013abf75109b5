//! Removing old messages.

use domain::{ConversationId, Failure, MessageId, Seq};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pace::Pace;
use crate::pool::{Connection, Store};

/// How many messages are looked at in one statement, which locks nothing.
const LOOKED_AT: i64 = 2000;

/// Which messages are too old, among those that were looked at.
#[derive(Clone, Debug)]
pub struct Retained {
    /// The conversations that have any, each with the last one.
    pub old: Vec<(ConversationId, Seq)>,
    /// The last message that was looked at; `None` if there is none.
    pub last: Option<MessageId>,
}

impl Store {
    /// The messages that are older than some days, among some that follow `after` in the order of their ids.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn old_messages(&self, days: i32, after: Option<MessageId>) -> Result<Retained, Failure> {
        self.run(|connection| async move { old_messages(&connection, days, after).await }).await
    }

    /// Removes messages of a conversation up to `seq`: some of them. Returns how many, and whether there may
    /// be more.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn remove_old(
        &self,
        id: ConversationId,
        seq: Seq,
        pace: &mut Pace,
    ) -> Result<(i64, bool), Failure> {
        let step = pace.begin();
        let removing = |connection| async move { remove_old(&connection, id, seq, step.rows).await };
        let removed = self.run(removing).await?;
        Ok((removed, pace.end(step, removed)))
    }
}

async fn old_messages(
    connection: &Connection,
    days: i32,
    after: Option<MessageId>,
) -> Result<Retained, tokio_postgres::Error> {
    let after = after.map(MessageId::as_uuid);
    let rows = connection
        .rows(
            include_str!("old_messages.sql"),
            &[(&days, Type::INT4), (&after, Type::UUID), (&LOOKED_AT, Type::INT8)],
        )
        .await?;
    let mut retained = Retained { old: Vec::new(), last: None };
    for row in rows {
        retained.last = row.try_get::<_, Option<Uuid>>("last_id")?.map(Into::into);
        if let Some(seq) = row.try_get("seq")? {
            retained.old.push((row.try_get::<_, Uuid>("conversation_id")?.into(), Seq(seq)));
        }
    }
    Ok(retained)
}

async fn remove_old(
    connection: &Connection,
    id: ConversationId,
    seq: Seq,
    limit: i64,
) -> Result<i64, tokio_postgres::Error> {
    let row = connection
        .row_under_lock(
            id,
            include_str!("remove_old.sql"),
            &[(&id.as_uuid(), Type::UUID), (&seq.0, Type::INT8), (&limit, Type::INT8)],
        )
        .await?;
    row.expect("a count is one row").try_get("removed")
}
