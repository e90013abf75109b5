//! Conversations and their participants.

use std::time::Duration;

use domain::{
    ActivityCursor, ConversationId, Failure, Message, Participants, Profile, Seq, Timestamp, User, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::rows;
use crate::users::columns;

/// A conversation, as one of its participants may see it.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The number of its latest message, 0 before the first.
    pub last_seq: Seq,
    /// Its participants.
    pub participants: Participants,
}

/// A conversation, and the number of its latest message.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The conversation.
    pub id: ConversationId,
    /// The number of its latest message, 0 before the first.
    pub last_seq: Seq,
}

/// A conversation in the list of one of its participants.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The conversation.
    pub id: ConversationId,
    /// The other participant.
    pub other: User,
    /// Its latest message.
    pub last_message: Option<Message>,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// How many messages the participant has not read.
    pub unread_count: i64,
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

impl Store {
    /// The conversation, if `user` takes part in it.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn conversation_of(
        &self,
        id: ConversationId,
        user: &UserId,
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
        user: &UserId,
        cursor: ActivityCursor,
        limit: usize,
    ) -> Result<Vec<Summary>, Failure> {
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
        caller: &UserId,
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

/// Finds the row by its primary key, then checks the participant: at most one row is read.
async fn conversation_of(
    connection: &Connection,
    id: ConversationId,
    user: &UserId,
) -> Result<Option<Conversation>, tokio_postgres::Error> {
    let sql = "select last_seq, first_user_id, second_user_id
             from conversations
             where id = $1 and $2 in (first_user_id, second_user_id)";
    let row = connection.row(sql, &[(&id.as_uuid(), Type::UUID), (&user.as_str(), Type::TEXT)]).await?;
    row.map(|row| {
        Ok(Conversation { last_seq: Seq(row.try_get("last_seq")?), participants: rows::participants(&row)? })
    })
    .transpose()
}

async fn find_or_create(
    connection: &Connection,
    id: ConversationId,
    caller: &UserId,
    profile: &Profile,
    other: &UserId,
    pair: &Participants,
    max_per_minute: u32,
) -> Result<FindOrCreate, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let (first, second) = (pair.first().as_str(), pair.second().as_str());
    let row = connection
        .row(
            include_str!("find_or_create_conversation.sql"),
            &[
                (&caller.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&display_name, Type::TEXT),
                (&avatar_url, Type::TEXT),
                (&other.as_str(), Type::TEXT),
                (&first, Type::TEXT),
                (&second, Type::TEXT),
                (&id.as_uuid(), Type::UUID),
                (&i32::try_from(max_per_minute).unwrap_or(i32::MAX), Type::INT4),
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
    let sql = include_str!("heads_of.sql");
    let rows = connection.rows(sql, &[(&user.as_str(), Type::TEXT), (&limit, Type::INT8)]).await?;
    let head = |row: &Row| {
        Ok(Head { id: row.try_get::<_, Uuid>("id")?.into(), last_seq: Seq(row.try_get("last_seq")?) })
    };
    rows.iter().map(head).collect()
}

async fn conversations_of(
    connection: &Connection,
    user_id: &UserId,
    cursor: ActivityCursor,
    limit: i64,
) -> Result<Vec<Summary>, tokio_postgres::Error> {
    let rows = connection
        .rows(
            include_str!("conversations_of.sql"),
            &[
                (&user_id.as_str(), Type::TEXT),
                (&cursor.activity, Type::TIMESTAMPTZ),
                (&cursor.id.as_uuid(), Type::UUID),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(summary).collect()
}

fn summary(row: &Row) -> Result<Summary, tokio_postgres::Error> {
    let id: ConversationId = row.try_get::<_, Uuid>("page_id")?.into();
    let has_message = row.try_get::<_, Option<Uuid>>("id")?.is_some();
    Ok(Summary {
        id,
        other: rows::user(row, "other_")?,
        last_message: if has_message { Some(rows::message(row)?) } else { None },
        last_seq: Seq(row.try_get("last_seq")?),
        unread_count: row.try_get("unread_count")?,
        cursor: ActivityCursor { activity: row.try_get::<_, Timestamp>("activity")?, id },
    })
}
