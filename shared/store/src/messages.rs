//! The rows of messages.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use domain::{ConversationId, Failure, Message, MessageId, NewMessage, Participants, Seq, Timestamp, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::Store;
use crate::conversations::participants;
use crate::pool::{Connection, microseconds};
use crate::rates::{self, Counted};
use crate::users::user;

/// A message that is stored, by this call or by one that it repeats.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As it is stored.
    pub message: Message,
    /// Whom it concerns.
    pub participants: Participants,
    /// How many messages the sender has not read, and the other one.
    senders_unread: i64,
    others_unread: i64,
    /// Whether it is the conversation's latest: a repeat may come after others.
    pub is_latest: bool,
}

impl Sent {
    /// How many messages of this conversation a participant has not read.
    pub fn unread_count(&self, user: &UserId) -> i64 {
        if *user == self.message.sender.id { self.senders_unread } else { self.others_unread }
    }
}

/// What became of a message.
#[derive(Clone, Debug)]
pub enum Sending {
    /// It is stored.
    Sent(Box<Sent>),
    /// The sender takes no part in the conversation.
    NotAParticipant,
    /// The sender has sent enough for now.
    TooMany {
        /// When there will be room again.
        retry_after: Duration,
    },
}

/// Which part of a conversation is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The newest messages.
    Newest,
    /// Those just older than this one.
    Before(MessageId),
    /// Those just newer.
    After(MessageId),
}

/// A part of a conversation, and what reading it changed.
#[derive(Clone, Debug)]
pub struct History {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
    /// What became read.
    pub read: Read,
}

/// Messages that a participant has read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Whom it concerns.
    pub participants: Participants,
    /// The place of the last one; those before it are read too.
    pub up_to: Seq,
    /// When.
    pub at: Timestamp,
    /// Whether any of them was unread before.
    pub changed: bool,
}

/// What became of asking for a part of a conversation.
#[derive(Clone, Debug)]
pub enum Found {
    /// Here it is.
    History(History),
    /// The caller takes no part in the conversation.
    NotAParticipant,
    /// The message to start from is not in it.
    NoSuchMessage,
}

impl Store {
    /// Stores the message, or finds the one that an equal `client_message_id` stored. It is committed when
    /// this returns. The sender may send `max_per_minute`, or any number if that is 0.
    pub async fn send_message(&self, message: &NewMessage, max_per_minute: u32) -> Result<Sending, Failure> {
        let began = Instant::now();
        let sent =
            self.run(|connection| async move { send(&connection, message, max_per_minute).await }).await?;
        if let Sending::Sent(_) = sent {
            tracing::trace!(target: "measured", messages_sent = 1_u64, commit_us = microseconds(began));
        }
        Ok(sent)
    }

    /// Marks the other side's messages up to `up_to` as read, or all; `None` if `reader` takes no part in the
    /// conversation.
    pub async fn mark_read(
        &self,
        conversation: ConversationId,
        reader: &UserId,
        up_to: Option<Seq>,
    ) -> Result<Option<Read>, Failure> {
        self.run(|connection| async move { mark_read(&connection, conversation, reader, up_to).await }).await
    }

    /// A part of a conversation, at most `limit` messages of it, and marks the other side's messages as read.
    pub async fn read_history(
        &self,
        conversation: ConversationId,
        reader: &UserId,
        part: Part,
        limit: usize,
    ) -> Result<Found, Failure> {
        self.run(
            |connection| async move { read_history(&connection, conversation, reader, part, limit).await },
        )
        .await
    }
}

/// One statement, so one round trip and one transaction. `taken` locks the conversation's row until the
/// commit, and with it the next `seq`: sends of one conversation go one after the other, and an abort leaves
/// no gap. Two equal `client_message_id`s at once: the second waits for that lock (where messages are limited,
/// for its sender's count before that) with a snapshot that cannot show the first's message, meets
/// `messages_client_message_id_key`, aborts as a whole, and finds the message when it is repeated. If the first
/// was the last that the limit allowed, the second is refused instead, and finds it when the client repeats it.
/// (`on conflict do nothing` would keep the `seq` it took.) Without one, the id is looked for: it is there if an
/// earlier try was committed and its answer lost. `clock_timestamp()`, since `now()` is from before the wait. A
/// repeat is not counted against the sender's limit, `$6`. There is always a row; if it has no message, it says
/// why. Postgres takes as long to set up the parts of a statement like this one as to run them, so there is none
/// that another could do without: the conversation is read once for all of them.
static SEND: LazyLock<String> = LazyLock::new(|| {
    let counting =
        rates::counting(Counted::Message, "$3", "$6", "conversation where not exists (select from stored)");
    let is_allowed = rates::is_allowed("$6");
    let retry_after = rates::retry_after(Counted::Message, "$3");
    format!(
        "with conversation as materialized (
             select id, first_user_id, second_user_id, last_seq
             from conversations
             where id = $2 and $3 in (first_user_id, second_user_id)
         ), stored as materialized (
             select id, conversation_id, seq, content, client_message_id, created_at, read_at
             from messages
             where conversation_id = $2 and sender_id = $3 and client_message_id = $5
             union all
             select id, conversation_id, seq, content, client_message_id, created_at, read_at
             from messages
             where id = $1 and $5 is null
         ), {counting}, taken as (
             update conversations
             set last_seq = last_seq + 1, last_message_at = clock_timestamp()
             where id = $2 and $3 in (first_user_id, second_user_id) and not exists (select from stored)
               and {is_allowed}
             returning id, last_seq, last_message_at
         ), inserted as (
             insert into messages (id, conversation_id, seq, sender_id, content, client_message_id, created_at)
             select $1, id, last_seq, $3, $4, $5, last_message_at from taken
             returning id, conversation_id, seq, content, client_message_id, created_at, read_at
         ), counted as (
             update participants
             set unread_count = unread_count + 1
             from taken
             where participants.conversation_id = taken.id and participants.user_id <> $3
             returning unread_count
         ), message as (
             select id, conversation_id, seq, content, client_message_id, created_at, read_at from stored
             union all
             select id, conversation_id, seq, content, client_message_id, created_at, read_at from inserted
         )
         select
             conversation.id is not null as takes_part,
             case when message.id is null then {retry_after} end as retry_after_ms,
             message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
             message.created_at, message.read_at,
             sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
             sender.avatar_url as sender_avatar_url,
             conversation.first_user_id, conversation.second_user_id,
             message.seq >= conversation.last_seq as is_latest,
             (select unread_count from participants where conversation_id = conversation.id and user_id = $3) as senders_unread,
             coalesce(
                 (select unread_count from counted),
                 (select unread_count from participants where conversation_id = conversation.id and user_id <> $3)
             ) as others_unread
         from (values (true)) as always
         left join conversation on true
         left join message on true
         left join users as sender on sender.id = $3"
    )
});

async fn send(
    connection: &Connection,
    message: &NewMessage,
    max_per_minute: u32,
) -> Result<Sending, tokio_postgres::Error> {
    let limit = i32::try_from(max_per_minute).unwrap_or(i32::MAX);
    let row = connection
        .row(
            &SEND,
            &[
                (&message.id.as_uuid(), Type::UUID),
                (&message.conversation_id.as_uuid(), Type::UUID),
                (&message.sender_id.as_str(), Type::TEXT),
                (&message.content.as_str(), Type::TEXT),
                (&message.client_message_id.as_ref().map(domain::ClientMessageId::as_str), Type::TEXT),
                (&limit, Type::INT4),
            ],
        )
        .await?
        .expect("its from clause has one row at least");
    if row.try_get::<_, Option<Uuid>>("id")?.is_none() {
        return Ok(match row.try_get("takes_part")? {
            true => Sending::TooMany { retry_after: rates::read_retry_after(&row)? },
            false => Sending::NotAParticipant,
        });
    }
    Ok(Sending::Sent(Box::new(Sent {
        message: message_of(&row)?,
        participants: participants(&row)?,
        senders_unread: row.try_get("senders_unread")?,
        others_unread: row.try_get("others_unread")?,
        is_latest: row.try_get("is_latest")?,
    })))
}

/// The conversation `$1` if `$2` takes part in it, and the marking of the other side's messages up to `$3`.
/// Exact while others send and read: the update waits for whoever marks the same rows and then finds them
/// read, and the count is moved by the number of rows that this statement marked, never recounted. Looks at
/// unread messages only, by an index that holds no others. Marks nothing unless `condition` holds.
fn marking(condition: &str) -> String {
    format!(
        "conversation as (
    select id, first_user_id, second_user_id, last_seq,
           case when first_user_id = $2 then second_user_id else first_user_id end as other_id
    from conversations
    where id = $1 and $2 in (first_user_id, second_user_id)
), moment as materialized (
    select clock_timestamp() as at
), marked as (
    update messages
    set read_at = moment.at
    from conversation, moment
    where messages.conversation_id = conversation.id
      and messages.sender_id = conversation.other_id
      and messages.read_at is null
      and messages.seq <= $3
      and {condition}
    returning messages.id
), counted as (
    update participants
    set unread_count = unread_count - (select count(*) from marked)
    where conversation_id = $1 and user_id = $2 and exists (select from marked)
)"
    )
}

async fn mark_read(
    connection: &Connection,
    conversation: ConversationId,
    reader: &UserId,
    up_to: Option<Seq>,
) -> Result<Option<Read>, tokio_postgres::Error> {
    let up_to = up_to.map_or(i64::MAX, |seq| seq.0);
    let sql = &format!(
        "with {}
             select first_user_id, second_user_id, least($3, last_seq) as up_to, at,
                    exists (select from marked) as changed
             from conversation, moment",
        marking("true")
    );
    let row = connection
        .row(
            sql,
            &[(&conversation.as_uuid(), Type::UUID), (&reader.as_str(), Type::TEXT), (&up_to, Type::INT8)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// One statement for the page and the marking. A cursor that is not in the conversation finds no page and
/// marks nothing. One row more than asked for tells whether there is more. The page shows what this statement
/// marks as read, although its own snapshot does not.
async fn read_history(
    connection: &Connection,
    conversation: ConversationId,
    reader: &UserId,
    part: Part,
    limit: usize,
) -> Result<Found, tokio_postgres::Error> {
    let (cursor, side, order) = match part {
        Part::Newest => (None, "true", "desc"),
        Part::Before(id) => (Some(id), "messages.seq < (select seq from cursor)", "desc"),
        Part::After(id) => (Some(id), "messages.seq > (select seq from cursor)", "asc"),
    };
    let marking = marking("($4::uuid is null or exists (select from cursor))");
    let sql = &format!(
            "with cursor as (
                 select seq from messages where id = $4 and conversation_id = $1
             ), {marking}, page as (
                 select messages.id, messages.conversation_id, messages.seq, messages.sender_id, messages.content,
                        messages.client_message_id, messages.created_at,
                        coalesce(messages.read_at, case when marked.id is not null then moment.at end) as read_at
                 from (
                     select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
                     from messages
                     where conversation_id = (select id from conversation) and {side}
                     order by seq {order}
                     limit $5
                 ) as messages
                 cross join moment
                 left join marked on marked.id = messages.id
             ), senders as materialized (
                 -- Two rows by their keys, whatever the planner thinks of joining a page of messages to all users.
                 select users.id, users.name, users.display_name, users.avatar_url
                 from conversation
                 join users on users.id in (conversation.first_user_id, conversation.second_user_id)
             )
             select
                 conversation.first_user_id, conversation.second_user_id, conversation.last_seq as up_to, moment.at,
                 exists (select from marked) as changed,
                 $4::uuid is null or exists (select from cursor) as cursor_found,
                 page.id, page.conversation_id, page.seq, page.content, page.client_message_id, page.created_at,
                 page.read_at,
                 sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
                 sender.avatar_url as sender_avatar_url
             from conversation
             cross join moment
             left join page on true
             left join senders as sender on sender.id = page.sender_id
             order by page.seq"
        );
    let rows = connection
        .rows(
            sql,
            &[
                (&conversation.as_uuid(), Type::UUID),
                (&reader.as_str(), Type::TEXT),
                (&i64::MAX, Type::INT8),
                (&cursor.map(MessageId::as_uuid), Type::UUID),
                (&(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1), Type::INT8),
            ],
        )
        .await?;
    let Some(first) = rows.first() else { return Ok(Found::NotAParticipant) };
    if !first.try_get::<_, bool>("cursor_found")? {
        return Ok(Found::NoSuchMessage);
    }
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| !matches!(row.try_get::<_, Option<Uuid>>("id"), Ok(None))) {
        messages.push(message_of(row)?);
    }
    let has_more = messages.len() > limit;
    if has_more {
        // The surplus is at the far end of the direction.
        match part {
            Part::Newest | Part::Before(_) => drop(messages.remove(0)),
            Part::After(_) => drop(messages.pop()),
        }
    }
    Ok(Found::History(History { messages, has_more, read: read(first)? }))
}

fn read(row: &Row) -> Result<Read, tokio_postgres::Error> {
    Ok(Read {
        participants: participants(row)?,
        up_to: Seq(row.try_get("up_to")?),
        at: row.try_get("at")?,
        changed: row.try_get("changed")?,
    })
}

/// The message in a row, with its sender's columns under `sender_`.
pub(crate) fn message_of(row: &Row) -> Result<Message, tokio_postgres::Error> {
    Ok(Message {
        id: row.try_get::<_, Uuid>("id")?.into(),
        conversation_id: row.try_get::<_, Uuid>("conversation_id")?.into(),
        seq: Seq(row.try_get("seq")?),
        sender: user(row, "sender_")?,
        content: row.try_get("content")?,
        client_message_id: row.try_get("client_message_id")?,
        created_at: row.try_get("created_at")?,
        read_at: row.try_get("read_at")?,
    })
}
