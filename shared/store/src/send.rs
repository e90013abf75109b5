//! Storing messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{
    ClientMessageId, ConversationId, Dependency, Failure, Listeners, MAX_NOTIFIED, Message, MessageId,
    Metadata, NewMessage, Seq, UserId,
};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;

/// How often a message is sent that is refused for a reason that is gone when it is looked up: a block that
/// was lifted, or a minute that is over.
const SEND_TRIES: usize = 2;

/// The statement of [`Store::send_message`].
pub(crate) static SEND_MESSAGE: Query<10> = Query {
    sql: include_str!("send_message.sql"),
    types: [
        Type::UUID,
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT4,
        Type::INT4,
        Type::UUID,
        Type::TEXT,
        Type::BOOL,
    ],
};

/// A message that is stored, by this call or by an earlier one with the same `client_message_id`.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The message, as it is stored.
    pub message: Message,
    /// Who is told of it.
    pub listeners: Listeners,
    /// How many messages of the conversation each of the listeners has not read.
    pub unread_counts: HashMap<UserId, i64>,
    /// Whether others have sent messages while this one waited, which are not in these counts.
    pub counts_are_outdated: bool,
    /// Whether the message is the latest of the conversation: a repeat may come after others.
    pub is_latest: bool,
}

/// The result of a send.
#[derive(Clone, Debug)]
pub enum Sending {
    /// It is stored.
    Sent(Box<Sent>),
    /// The sender does not take part in the conversation.
    NotAParticipant,
    /// It is the conversation of two of whom one has blocked the other or is erased.
    Closed,
    /// The sender does not see the message that this one answers.
    NoSuchReplyTo,
    /// The sender has sent too many messages in this minute.
    TooMany {
        /// The time until the minute ends.
        retry_after: Duration,
    },
}

impl Store {
    /// Stores a message, or finds the one with the same `client_message_id`. It is committed when this
    /// returns. The sender may send `max_per_minute`, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should. The message may be stored all the same. Or the message
    /// was refused, and nothing was wrong any more when the reason was looked up, each time.
    pub async fn send_message(&self, message: &NewMessage, max_per_minute: u32) -> Result<Sending, Failure> {
        let began = Instant::now();
        let sending = self.store_or_explain(message, max_per_minute).await?;
        if let Sending::Sent(_) = sending {
            let commit_us = began.elapsed().as_micros();
            tracing::trace!(target: "measured", messages_sent = 1_u64, commit_us);
        }
        Ok(sending)
    }

    async fn store_or_explain(&self, message: &NewMessage, max_per_minute: u32) -> Result<Sending, Failure> {
        let limit = i32::try_from(max_per_minute).unwrap_or(i32::MAX);
        for _ in 0..SEND_TRIES {
            // Each statement is a call of its own, and has the time limit of one.
            let sent = self.run(|connection| async move { store(&connection, message, limit).await });
            if let Some(sent) = sent.await? {
                return Ok(Sending::Sent(Box::new(sent)));
            }
            let found =
                self.run(|connection| async move { stored_or_refused(&connection, message, limit).await });
            if let Some(sending) = found.await? {
                return Ok(sending);
            }
        }
        let passing = "a message was refused for reasons that were gone when they were looked up";
        Err(Failure::unavailable(Dependency::Postgres, passing))
    }

    /// How many messages of a conversation each of these participants has not read.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn unread_counts_of(
        &self,
        conversation: ConversationId,
        users: impl Iterator<Item = &UserId>,
    ) -> Result<HashMap<UserId, i64>, Failure> {
        let users: Vec<_> = users.map(UserId::as_str).collect();
        let users = &users;
        self.run(|connection| async move { unread_counts_of(&connection, conversation, users).await }).await
    }
}

/// Stores a message; `None` if it is stored already or refused.
async fn store(
    connection: &Connection,
    new: &NewMessage,
    limit: i32,
) -> Result<Option<Sent>, tokio_postgres::Error> {
    let row = connection
        .row_of(
            &SEND_MESSAGE,
            [
                &new.id.as_uuid(),
                &new.conversation_id.as_uuid(),
                &new.sender_id.as_str(),
                &new.content.as_str(),
                &new.client_message_id.as_ref().map(ClientMessageId::as_str),
                &limit,
                &MAX_NOTIFIED,
                &new.reply_to.map(MessageId::as_uuid),
                &new.metadata.as_ref().map(Metadata::as_str),
                connection.records_events(),
            ],
        )
        .await;
    let row = match row {
        // An earlier try or an equal send has stored it meanwhile.
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => None,
        answered => answered?,
    };
    let Some(row) = row else { return Ok(None) };
    let (listeners, unread_counts) = rows::viewers(&row)?;
    let NewMessage { id, conversation_id, content, client_message_id, reply_to, metadata, .. } = new.clone();
    let message = Message {
        id,
        conversation_id,
        seq: Seq(row.try_get("seq")?),
        sender: rows::user(&row, "sender_")?,
        content,
        client_message_id,
        created_at: row.try_get("created_at")?,
        read_at: None,
        reply_to,
        metadata,
        reactions: Vec::new(),
        edited_at: None,
        deleted_at: None,
        change: None,
    };
    let counts_are_outdated = row.try_get("counts_are_outdated")?;
    Ok(Some(Sent { message, listeners, unread_counts, counts_are_outdated, is_latest: true }))
}

/// The message that is stored already, or why it is refused; `None` if it is neither, any more.
async fn stored_or_refused(
    connection: &Connection,
    new: &NewMessage,
    limit: i32,
) -> Result<Option<Sending>, tokio_postgres::Error> {
    let row = connection
        .row(
            include_str!("stored_or_refused.sql"),
            &[
                (&new.id.as_uuid(), Type::UUID),
                (&new.conversation_id.as_uuid(), Type::UUID),
                (&new.sender_id.as_str(), Type::TEXT),
                (&new.client_message_id.as_ref().map(ClientMessageId::as_str), Type::TEXT),
                (&limit, Type::INT4),
                (&MAX_NOTIFIED, Type::INT4),
                (&new.reply_to.map(MessageId::as_uuid), Type::UUID),
            ],
        )
        .await?
        .expect("its from clause has one row at least");
    if row.try_get::<_, Option<Uuid>>("id")?.is_none() {
        return Ok(match row.try_get("takes_part")? {
            false => Some(Sending::NotAParticipant),
            true if row.try_get("is_closed")? => Some(Sending::Closed),
            true if !row.try_get("may_reply")? => Some(Sending::NoSuchReplyTo),
            true if row.try_get::<_, Option<i64>>("retry_after_ms")?.is_none() => None,
            true => Some(Sending::TooMany { retry_after: rows::retry_after(&row)? }),
        });
    }
    let (listeners, unread_counts) = rows::viewers(&row)?;
    let mut message = rows::message(&row)?;
    if !row.try_get::<_, bool>("is_seen")? {
        // The sender was removed and added again meanwhile: how others have changed the message since is not
        // theirs to see.
        (message.reactions, message.edited_at, message.change) = (Vec::new(), None, None);
    }
    let is_latest = row.try_get("is_latest")?;
    let sent = Sent { message, listeners, unread_counts, counts_are_outdated: false, is_latest };
    Ok(Some(Sending::Sent(Box::new(sent))))
}

async fn unread_counts_of(
    connection: &Connection,
    conversation: ConversationId,
    users: &[&str],
) -> Result<HashMap<UserId, i64>, tokio_postgres::Error> {
    let sql = include_str!("unread_counts_of.sql");
    let rows =
        connection.rows(sql, &[(&conversation.as_uuid(), Type::UUID), (&users, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok((rows::user_id(row, "user_id")?, row.try_get("unread_count")?))).collect()
}
