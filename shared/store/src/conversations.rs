//! Conversations and their participants.

use std::time::Duration;

use domain::{
    ActivityCursor, Change, Conversation, ConversationId, Failure, Identity, Listeners, MAX_NOTIFIED,
    Participants, Profile, Seq, Timestamp, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;
use crate::users::{columns, issued_at};

/// Where a conversation stands for one of its participants.
#[derive(Clone, Debug)]
pub struct Participation {
    /// When the participant was added. It differs once they were removed and added again.
    pub joined_at: Timestamp,
    /// The number of the first message that the participant sees.
    pub first_seq: Seq,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
    /// How often participants were added or removed.
    pub roster: i64,
    /// Who is told what happens in it.
    pub listeners: Listeners,
    /// Whether it is the conversation of two of whom one has blocked the other.
    pub is_blocked: bool,
    /// The participants who have blocked this one or are blocked by them.
    pub apart: Vec<UserId>,
}

/// A conversation, and the numbers of its latest message and its latest change.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The conversation.
    pub id: ConversationId,
    /// The number of its latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of its latest change, 0 before the first.
    pub last_change: Change,
}

/// A conversation in the list of one of its participants.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The conversation.
    pub conversation: Conversation,
    /// Its position in the list.
    pub cursor: ActivityCursor,
}

/// The result of a find-or-create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOrCreate {
    /// The two users already have a conversation.
    Found(ConversationId),
    /// The conversation was created.
    Created(ConversationId),
    /// There is no such other user.
    NoSuchUser,
    /// The caller has created too many conversations in this minute.
    TooMany {
        /// The time until the minute ends.
        retry_after: Duration,
    },
}

/// The statement of [`Store::participation_of`].
pub(crate) static PARTICIPATION_OF: Query<3> =
    Query { sql: include_str!("participation_of.sql"), types: [Type::UUID, Type::TEXT, Type::INT4] };

/// The statement of [`Store::find_or_create_conversation`].
pub(crate) static FIND_OR_CREATE: Query<11> = Query {
    sql: include_str!("find_or_create_conversation.sql"),
    types: [
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::UUID,
        Type::INT4,
        Type::INT8,
        Type::BOOL,
    ],
};

/// The statement of [`Store::conversations_of`].
pub(crate) static CONVERSATIONS_OF: Query<5> = Query {
    sql: include_str!("conversations_of.sql"),
    types: [Type::TEXT, Type::TIMESTAMPTZ, Type::UUID, Type::INT8, Type::INT8],
};

/// The statement of [`Store::heads_of`].
pub(crate) static HEADS_OF: Query<2> =
    Query { sql: include_str!("heads_of.sql"), types: [Type::TEXT, Type::INT8] };

impl Store {
    /// Where a conversation stands for `user`, if they take part in it.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn participation_of(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Participation>, Failure> {
        self.run(|connection| async move { participation_of(&connection, id, user).await }).await
    }

    /// The conversation, if `user` takes part in it.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn conversation_of(
        &self,
        id: ConversationId,
        user: &Identity,
    ) -> Result<Option<Conversation>, Failure> {
        self.run(|connection| async move { conversation_of(&connection, id, user).await }).await
    }

    /// The `limit` conversations of a user with the latest activity.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn heads_of(&self, user: &UserId, limit: i64) -> Result<Vec<Head>, Failure> {
        self.run(|connection| async move { heads_of(&connection, user, limit).await }).await
    }

    /// The conversations of a user after `cursor`, newest activity first, at most `limit`.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn conversations_of(
        &self,
        user: &Identity,
        cursor: ActivityCursor,
        limit: usize,
    ) -> Result<Vec<Listed>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(|connection| async move { conversations_of(&connection, user, cursor, limit).await }).await
    }

    /// Finds the conversation of `caller` and `other`, or creates it, and stores the profile of the caller.
    /// The caller may create `max_per_minute`, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn find_or_create_conversation(
        &self,
        caller: &Identity,
        profile: &Profile,
        other: &UserId,
        pair: &Participants,
        max_per_minute: u32,
    ) -> Result<FindOrCreate, Failure> {
        let id = ConversationId::new();
        self.run(|connection| async move {
            find_or_create(&connection, id, caller, profile, other, pair, max_per_minute).await
        })
        .await
    }
}

async fn participation_of(
    connection: &Connection,
    id: ConversationId,
    user: &UserId,
) -> Result<Option<Participation>, tokio_postgres::Error> {
    let row = connection.row_of(&PARTICIPATION_OF, [&id.as_uuid(), &user.as_str(), &MAX_NOTIFIED]).await?;
    row.map(|row| {
        Ok(Participation {
            joined_at: row.try_get("joined_at")?,
            roster: row.try_get("roster")?,
            first_seq: Seq(row.try_get("first_seq")?),
            last_seq: Seq(row.try_get("last_seq")?),
            last_change: Change(row.try_get("last_change")?),
            listeners: rows::listeners(&row)?,
            is_blocked: row.try_get("is_blocked")?,
            apart: rows::user_ids(row.try_get("apart_ids")?),
        })
    })
    .transpose()
}

pub(crate) async fn conversation_of(
    connection: &Connection,
    id: ConversationId,
    user: &Identity,
) -> Result<Option<Conversation>, tokio_postgres::Error> {
    let row = connection
        .row(
            include_str!("conversation_of.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&user.user_id.as_str(), Type::TEXT),
                (&issued_at(user), Type::INT8),
            ],
        )
        .await?;
    row.as_ref().map(rows::conversation).transpose()
}

async fn find_or_create(
    connection: &Connection,
    id: ConversationId,
    caller: &Identity,
    profile: &Profile,
    other: &UserId,
    pair: &Participants,
    max_per_minute: u32,
) -> Result<FindOrCreate, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let (first, second) = (pair.first().as_str(), pair.second().as_str());
    let row = connection
        .row_of(
            &FIND_OR_CREATE,
            [
                &caller.user_id.as_str(),
                &name,
                &display_name,
                &avatar_url,
                &other.as_str(),
                &first,
                &second,
                &id.as_uuid(),
                &i32::try_from(max_per_minute).unwrap_or(i32::MAX),
                &issued_at(caller),
                connection.records_events(),
            ],
        )
        .await?;
    let row = row.expect("a select from nothing gives one row");
    Ok(match (row.try_get::<_, Option<Uuid>>("found")?, row.try_get::<_, Option<Uuid>>("created")?) {
        (Some(found), _) => FindOrCreate::Found(found.into()),
        (None, Some(created)) => FindOrCreate::Created(created.into()),
        (None, None) if row.try_get("other_exists")? => {
            FindOrCreate::TooMany { retry_after: rows::retry_after(&row)? }
        }
        (None, None) => FindOrCreate::NoSuchUser,
    })
}

async fn heads_of(
    connection: &Connection,
    user: &UserId,
    limit: i64,
) -> Result<Vec<Head>, tokio_postgres::Error> {
    let rows = connection.rows_of(&HEADS_OF, [&user.as_str(), &limit]).await?;
    let head = |row: &Row| {
        Ok(Head {
            id: row.try_get::<_, Uuid>("id")?.into(),
            last_seq: Seq(row.try_get("last_seq")?),
            last_change: Change(row.try_get("last_change")?),
        })
    };
    rows.iter().map(head).collect()
}

async fn conversations_of(
    connection: &Connection,
    user: &Identity,
    cursor: ActivityCursor,
    limit: i64,
) -> Result<Vec<Listed>, tokio_postgres::Error> {
    let rows = connection
        .rows_of(
            &CONVERSATIONS_OF,
            [&user.user_id.as_str(), &cursor.activity, &cursor.id.as_uuid(), &limit, &issued_at(user)],
        )
        .await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &Row) -> Result<Listed, tokio_postgres::Error> {
    let conversation = rows::conversation(row)?;
    let cursor = ActivityCursor { activity: row.try_get::<_, Timestamp>("activity")?, id: conversation.id };
    Ok(Listed { conversation, cursor })
}
