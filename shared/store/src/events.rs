//! The events that are posted to the backend of the application: an outbox.
//!
//! If `EVENTS_URL` is set, a statement that makes or changes a conversation, its participants or a message
//! calls `record_event`: no event without its change, no such change without its event. The table `events`
//! holds ids, and details that cannot be read later; what the ids refer to is read when an event is sent.
//! Events of a conversation are sent in the order of their numbers: only the first is due. `deliver_events`
//! claims it for half a minute, posts it, and in one statement deletes it and claims the next. A claim ends
//! by itself, so nothing is locked while a backend answers, and what a killed invocation has left is sent
//! again.
//!
//! After its commit a function starts `deliver_events` asynchronously. If that fails, the schedule finds the
//! event. An event that the backend does not accept is tried again with growing pauses, and set aside after
//! three days. Then the later events of its conversation are sent, and the event itself only if an operator
//! asks for it.
//!
//! Unread messages are found by the schedule alone, so a send pays nothing for them. It looks at the messages
//! since it last looked, in the order of their ids, but not further back than an hour. It notes for each
//! participant the read position for which there is an event, so that there is one until they read on.
//! Conversations of more than 80 participants have no such events.

use std::time::Duration;

use domain::{ConversationId, Failure, MAX_NOTIFIED, Message, MessageId, Seq, Timestamp, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pace::Pace;
use crate::pool::{Connection, Store};
use crate::rows;

/// How long a claim lasts without being renewed.
const CLAIM: Duration = Duration::from_secs(30);

/// How long after its commit an event is tried again. Then it is set aside.
const TRIED_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The pauses between the tries of an event: twice as long each time, but not longer than the second.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How far back messages are looked at after an outage, for those who have not read them.
const UNREAD_CAUGHT_UP: Duration = Duration::from_secs(60 * 60);

/// The name of whoever sends events.
#[derive(Clone, Copy, Debug)]
pub struct Claimant(Uuid);

/// An event that is to be sent.
#[derive(Clone, Debug)]
pub struct Recorded {
    number: i64,
    /// By which a receiver recognises it.
    pub id: Uuid,
    /// What has happened, for example `message.created`.
    pub kind: String,
    /// The conversation, unless the event is of a user.
    pub conversation: Option<ConversationId>,
    /// The message.
    pub message: Option<MessageId>,
    /// The user whom it is for or about.
    pub user: Option<UserId>,
    /// Ids, roles and numbers, as a JSON object.
    pub details: Option<String>,
    /// When it was committed.
    pub created_at: Timestamp,
    /// How often it was about to be sent, with this time.
    pub attempts: i32,
}

/// What a participant has not read.
#[derive(Clone, Debug)]
pub struct Unread {
    /// How many messages.
    pub count: i64,
    /// The latest of them.
    pub message: Message,
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// When the oldest event was committed that is neither sent nor set aside.
    pub oldest: Option<Timestamp>,
    /// How many events are set aside.
    pub set_aside: i64,
}

/// An event that was set aside.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// By which a receiver recognises it.
    pub id: Uuid,
    /// What has happened.
    pub kind: String,
    /// The conversation, unless the event is of a user.
    pub conversation: Option<ConversationId>,
    /// When it was committed.
    pub created_at: Timestamp,
    /// When it was set aside.
    pub set_aside_at: Timestamp,
    /// How often it was about to be sent.
    pub attempts: i32,
}

impl Claimant {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl Store {
    /// Claims events that are due, at most `limit`, each the first of its conversation.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn claim_events(&self, by: Claimant, limit: usize) -> Result<Vec<Recorded>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(|connection| async move { claim(&connection, by, limit).await }).await
    }

    /// Ends the claim of an event, which was sent or else is tried again later. Claims the next one of its
    /// conversation if `claims_next` and nothing is before it any more.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn end_event(
        &self,
        by: Claimant,
        event: &Recorded,
        was_sent: bool,
        claims_next: bool,
    ) -> Result<Option<Recorded>, Failure> {
        self.run(|connection| async move { end(&connection, by, event, was_sent, claims_next).await }).await
    }

    /// Makes the first event due that waits for one that is gone: of a conversation, or of each.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn wake_events(&self, conversation: Option<ConversationId>) -> Result<(), Failure> {
        self.run(|connection| async move {
            let woken = match conversation {
                Some(id) => {
                    let sql = include_str!("wake_events.sql");
                    connection.rows(sql, &[(&id.as_uuid(), Type::UUID)]).await
                }
                None => connection.rows(include_str!("wake_all_events.sql"), &[]).await,
            };
            woken.map(drop)
        })
        .await
    }

    /// A message, if it is still there.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn message_of(&self, id: MessageId) -> Result<Option<Message>, Failure> {
        self.run(|connection| async move { message_of(&connection, id).await }).await
    }

    /// What a participant has not read of a conversation; `None` if they have read up to `seq`.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn unread_of(
        &self,
        conversation: ConversationId,
        user: &UserId,
        seq: Seq,
    ) -> Result<Option<Unread>, Failure> {
        self.run(|connection| async move { unread_of(&connection, conversation, user, seq).await }).await
    }

    /// Writes an event for each participant of a conversation of up to [`MAX_NOTIFIED`] who has not read a
    /// message `after` some time, once until they read. Returns for how many.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn note_unread(&self, after: Duration) -> Result<i64, Failure> {
        let mut told = 0;
        let mut pace = Pace::default();
        loop {
            let step = pace.begin();
            // A row stands for the messages of this time.
            let span = Duration::from_millis(100).as_secs_f64() * step.rows as f64;
            let noting = |connection| async move { note_unread(&connection, after, span).await };
            let (is_all, more) = self.run(noting).await?;
            told += more;
            if !pace.end(step, if is_all { 0 } else { step.rows }) {
                return Ok(told);
            }
        }
    }

    /// What waits to be sent.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn backlog(&self) -> Result<Backlog, Failure> {
        self.run(|connection| async move { backlog(&connection).await }).await
    }

    /// The events that were set aside, the oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn set_aside(&self, limit: i64) -> Result<Vec<SetAside>, Failure> {
        self.run(|connection| async move { set_aside(&connection, limit).await }).await
    }

    /// Makes the events due again that were set aside, out of order. Returns how many.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn repeat_set_aside(&self) -> Result<i64, Failure> {
        let mut repeated = 0;
        let mut pace = Pace::default();
        loop {
            let step = pace.begin();
            let repeating = |connection| async move { repeat_set_aside(&connection, step.rows).await };
            let some = self.run(repeating).await?;
            repeated += some;
            if !pace.end(step, some) {
                return Ok(repeated);
            }
        }
    }
}

async fn claim(
    connection: &Connection,
    by: Claimant,
    limit: i64,
) -> Result<Vec<Recorded>, tokio_postgres::Error> {
    let rows = connection
        .rows(
            include_str!("claim_events.sql"),
            &[(&by.0, Type::UUID), (&limit, Type::INT8), (&CLAIM.as_secs_f64(), Type::FLOAT8)],
        )
        .await?;
    rows.iter().map(recorded).collect()
}

async fn end(
    connection: &Connection,
    by: Claimant,
    event: &Recorded,
    was_sent: bool,
    claims_next: bool,
) -> Result<Option<Recorded>, tokio_postgres::Error> {
    let row = connection
        .row(
            include_str!("end_event.sql"),
            &[
                (&event.number, Type::INT8),
                (&by.0, Type::UUID),
                (&CLAIM.as_secs_f64(), Type::FLOAT8),
                (&was_sent, Type::BOOL),
                (&pause(event.attempts).as_secs_f64(), Type::FLOAT8),
                (&TRIED_FOR.as_secs_f64(), Type::FLOAT8),
                (&claims_next, Type::BOOL),
            ],
        )
        .await?;
    row.as_ref().map(recorded).transpose()
}

/// The pause after so many tries.
fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn recorded(row: &Row) -> Result<Recorded, tokio_postgres::Error> {
    Ok(Recorded {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        kind: row.try_get("type")?,
        conversation: row.try_get::<_, Option<Uuid>>("conversation_id")?.map(Into::into),
        message: row.try_get::<_, Option<Uuid>>("message_id")?.map(Into::into),
        user: rows::user_ids(row.try_get::<_, Option<String>>("user_id")?.into_iter().collect()).pop(),
        details: row.try_get("details")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get("attempts")?,
    })
}

async fn message_of(
    connection: &Connection,
    id: MessageId,
) -> Result<Option<Message>, tokio_postgres::Error> {
    let row = connection.row(include_str!("message_of.sql"), &[(&id.as_uuid(), Type::UUID)]).await?;
    row.as_ref().map(rows::message).transpose()
}

async fn unread_of(
    connection: &Connection,
    conversation: ConversationId,
    user: &UserId,
    seq: Seq,
) -> Result<Option<Unread>, tokio_postgres::Error> {
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&conversation.as_uuid(), Type::UUID), (&user.as_str(), Type::TEXT), (&seq.0, Type::INT8)];
    let Some(row) = connection.row(include_str!("unread_of.sql"), &parameters).await? else {
        return Ok(None);
    };
    let message = message_of(connection, row.try_get::<_, Uuid>("id")?.into()).await?;
    let count = row.try_get("unread_count")?;
    Ok(message.map(|message| Unread { count, message }))
}

async fn note_unread(
    connection: &Connection,
    after: Duration,
    span: f64,
) -> Result<(bool, i64), tokio_postgres::Error> {
    let row = connection
        .row(
            include_str!("note_unread.sql"),
            &[
                (&after.as_secs_f64(), Type::FLOAT8),
                (&MAX_NOTIFIED, Type::INT4),
                (&span, Type::FLOAT8),
                (&UNREAD_CAUGHT_UP.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await?
        .expect("there is one row of progress");
    Ok((row.try_get("is_all")?, row.try_get("told")?))
}

async fn backlog(connection: &Connection) -> Result<Backlog, tokio_postgres::Error> {
    let sql = "select \
            (select created_at from events where set_aside_at is null order by number limit 1) as oldest, \
            (select count(*) from events where set_aside_at is not null) as set_aside";
    let row = connection.row(sql, &[]).await?.expect("it is one row");
    Ok(Backlog { oldest: row.try_get("oldest")?, set_aside: row.try_get("set_aside")? })
}

async fn repeat_set_aside(connection: &Connection, limit: i64) -> Result<i64, tokio_postgres::Error> {
    let sql = "update events set due_at = clock_timestamp() where number in (\
            select number from events where set_aside_at is not null and due_at is null limit $1\
        ) returning number";
    let repeated = connection.rows(sql, &[(&limit, Type::INT8)]).await?.len();
    Ok(i64::try_from(repeated).unwrap_or(i64::MAX))
}

async fn set_aside(connection: &Connection, limit: i64) -> Result<Vec<SetAside>, tokio_postgres::Error> {
    let sql = "select id, type, conversation_id, created_at, set_aside_at, attempts \
        from events where set_aside_at is not null order by set_aside_at, number limit $1";
    let rows = connection.rows(sql, &[(&limit, Type::INT8)]).await?;
    let event = |row: &Row| {
        Ok(SetAside {
            id: row.try_get("id")?,
            kind: row.try_get("type")?,
            conversation: row.try_get::<_, Option<Uuid>>("conversation_id")?.map(Into::into),
            created_at: row.try_get("created_at")?,
            set_aside_at: row.try_get("set_aside_at")?,
            attempts: row.try_get("attempts")?,
        })
    };
    rows.iter().map(event).collect()
}
