//! The rows of conversations and of who takes part in them.

use std::time::Duration;

use domain::{
    ActivityCursor, ConversationId, Failure, Message, Participants, Profile, Seq, Timestamp, User, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::Store;
use crate::messages::message_of;
use crate::pool::Connection;
use crate::rates::{self, Counted};
use crate::users::{UPSERT_USER, columns, user, user_id};

/// A conversation as one of its participants finds it.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The place of its latest message, 0 before the first.
    pub last_seq: Seq,
    /// Who takes part.
    pub participants: Participants,
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Which.
    pub id: ConversationId,
    /// The place of its latest message, 0 before the first.
    pub last_seq: Seq,
}

/// A conversation in the list of one of its participants.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Which.
    pub id: ConversationId,
    /// The other one.
    pub other: User,
    /// Its latest message.
    pub last_message: Option<Message>,
    /// Its place, 0 before the first.
    pub last_seq: Seq,
    /// How many messages the participant has not read.
    pub unread_count: i64,
    /// The place in the list.
    pub cursor: ActivityCursor,
}

/// What became of a find-or-create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOrCreate {
    /// The pair had one.
    Found(ConversationId),
    /// The pair has one now.
    Created(ConversationId),
    /// The other user is unknown.
    NoSuchUser,
    /// The caller has made enough of them for now.
    TooMany {
        /// When there will be room again.
        retry_after: Duration,
    },
}

impl Store {
    /// The conversation, if `user` takes part in it.
    pub async fn conversation_of(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Conversation>, Failure> {
        self.run(|connection| async move { conversation_of(&connection, id, user).await }).await
    }

    /// Where the user's conversations with the latest activity stand, at most `limit`.
    pub async fn heads_of(&self, user: &UserId, limit: i64) -> Result<Vec<Head>, Failure> {
        self.run(|connection| async move { heads_of(&connection, user, limit).await }).await
    }

    /// The user's conversations, newest activity first, at most `limit`, from the place after `cursor` on.
    pub async fn conversations_of(
        &self,
        user: &UserId,
        cursor: ActivityCursor,
        limit: usize,
    ) -> Result<Vec<Summary>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(|connection| async move { conversations_of(&connection, user, cursor, limit).await }).await
    }

    /// The one conversation of `caller` and `other`, made if there is none; `caller`'s profile is kept on the
    /// way. The caller may make `max_per_minute`, or any number if that is 0.
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

/// The participant check rides on the primary key: one row, found or not.
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
        Ok(Conversation { last_seq: Seq(row.try_get("last_seq")?), participants: participants(&row)? })
    })
    .transpose()
}

/// One statement, so that a new user, their conversation and its participants are there together or not at
/// all. A pair that is made from both sides at once meets `conversations_pair_key`: the later statement
/// aborts as a whole, and its repeat finds the other's row, which its own snapshot could not show.
async fn find_or_create(
    connection: &Connection,
    id: ConversationId,
    caller: &UserId,
    profile: &Profile,
    other: &UserId,
    pair: &Participants,
    max_per_minute: u32,
) -> Result<FindOrCreate, tokio_postgres::Error> {
    let counting =
        rates::counting(Counted::Conversation, "$1", "$9", "other where not exists (select from found)");
    let is_allowed = rates::is_allowed("$9");
    let retry_after = rates::retry_after(Counted::Conversation, "$1");
    let [name, display_name, avatar_url] = columns(profile);
    let (first, second) = (pair.first().as_str(), pair.second().as_str());
    let sql = &format!(
        "{UPSERT_USER}, other as (
                 select id from users where id = $5
             ), found as (
                 select id from conversations where first_user_id = $6 and second_user_id = $7
             ), {counting}, created as (
                 insert into conversations (id, first_user_id, second_user_id)
                 select $8, $6, $7 from other where not exists (select from found) and {is_allowed}
                 returning id
             ), joined as (
                 insert into participants (conversation_id, user_id)
                 select created.id, member.id from created, (values ($6), ($7)) as member (id)
             )
             select (select id from found) as found, (select id from created) as created,
                exists (select from other) as other_exists, {retry_after} as retry_after_ms"
    );
    let row = connection
        .row(
            sql,
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
            FindOrCreate::TooMany { retry_after: rates::read_retry_after(&row)? }
        }
        (None, None) => FindOrCreate::NoSuchUser,
    })
}

/// One page of a user's conversations, newest activity first: both sides of the pair, each read from its own
/// index where the cursor points, and merged. Reads as many rows as it returns, twice, however many there
/// are.
const PAGE_OF_USER: &str = "
with page as (
    select id, last_seq, activity, other_id
    from (
        (select id, last_seq, coalesce(last_message_at, created_at) as activity, second_user_id as other_id
         from conversations
         where first_user_id = $1 and (coalesce(last_message_at, created_at), id) < ($2, $3)
         order by coalesce(last_message_at, created_at) desc, id desc
         limit $4)
        union all
        (select id, last_seq, coalesce(last_message_at, created_at), first_user_id
         from conversations
         where second_user_id = $1 and (coalesce(last_message_at, created_at), id) < ($2, $3)
         order by coalesce(last_message_at, created_at) desc, id desc
         limit $4)
    ) as sides
    order by activity desc, id desc
    limit $4
)";

async fn heads_of(
    connection: &Connection,
    user: &UserId,
    limit: i64,
) -> Result<Vec<Head>, tokio_postgres::Error> {
    let from = ActivityCursor::START;
    let sql = &format!("{PAGE_OF_USER} select id, last_seq from page");
    let rows = connection
        .rows(
            sql,
            &[
                (&user.as_str(), Type::TEXT),
                (&from.activity, Type::TIMESTAMPTZ),
                (&from.id.as_uuid(), Type::UUID),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    let head = |row: &Row| {
        Ok(Head { id: row.try_get::<_, Uuid>("id")?.into(), last_seq: Seq(row.try_get("last_seq")?) })
    };
    rows.iter().map(head).collect()
}

/// The page, and to each of its rows one participant, one other user, one message and its sender, by their
/// keys. `limit 1` adds nothing to that but keeps the planner from reading whole tables to join a page to
/// them.
async fn conversations_of(
    connection: &Connection,
    user_id: &UserId,
    cursor: ActivityCursor,
    limit: i64,
) -> Result<Vec<Summary>, tokio_postgres::Error> {
    let sql = &format!(
            "{PAGE_OF_USER}
             select
                 page.id as page_id, page.last_seq, page.activity, participants.unread_count,
                 other.id as other_id, other.name as other_name, other.display_name as other_display_name,
                 other.avatar_url as other_avatar_url,
                 messages.id, messages.conversation_id, messages.seq, messages.content, messages.client_message_id,
                 messages.created_at, messages.read_at,
                 sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
                 sender.avatar_url as sender_avatar_url
             from page
             cross join lateral (
                 select unread_count from participants where conversation_id = page.id and user_id = $1 limit 1
             ) as participants
             cross join lateral (
                 select id, name, display_name, avatar_url from users where users.id = page.other_id limit 1
             ) as other
             left join lateral (
                 select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
                 from messages
                 where conversation_id = page.id and seq = page.last_seq
                 limit 1
             ) as messages on true
             left join lateral (
                 select id, name, display_name, avatar_url from users where users.id = messages.sender_id limit 1
             ) as sender on true
             order by page.activity desc, page.id desc"
        );
    let rows = connection
        .rows(
            sql,
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
        other: user(row, "other_")?,
        last_message: if has_message { Some(message_of(row)?) } else { None },
        last_seq: Seq(row.try_get("last_seq")?),
        unread_count: row.try_get("unread_count")?,
        cursor: ActivityCursor { activity: row.try_get::<_, Timestamp>("activity")?, id },
    })
}

/// The pair that a row of `conversations` holds.
pub(crate) fn participants(row: &Row) -> Result<Participants, tokio_postgres::Error> {
    let pair = Participants::new(user_id(row, "first_user_id")?, user_id(row, "second_user_id")?);
    Ok(pair.expect("conversations_pair_order keeps the two apart"))
}
