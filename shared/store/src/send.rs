//! Storing messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{
    ClientMessageId, ConversationId, Failure, Listeners, MAX_NOTIFIED, Message, MessageId, Metadata,
    NewMessage, UserId,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;

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
    /// Postgres did not answer, or not as it should. The message may be stored all the same.
    pub async fn send_message(&self, message: &NewMessage, max_per_minute: u32) -> Result<Sending, Failure> {
        let began = Instant::now();
        let sent =
            self.run(|connection| async move { send(&connection, message, max_per_minute).await }).await?;
        if let Sending::Sent(_) = sent {
            let commit_us = began.elapsed().as_micros();
            tracing::trace!(target: "measured", messages_sent = 1_u64, commit_us);
        }
        Ok(sent)
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

async fn send(
    connection: &Connection,
    message: &NewMessage,
    max_per_minute: u32,
) -> Result<Sending, tokio_postgres::Error> {
    let limit = i32::try_from(max_per_minute).unwrap_or(i32::MAX);
    let row = connection
        .row_of(
            &SEND_MESSAGE,
            [
                &message.id.as_uuid(),
                &message.conversation_id.as_uuid(),
                &message.sender_id.as_str(),
                &message.content.as_str(),
                &message.client_message_id.as_ref().map(ClientMessageId::as_str),
                &limit,
                &MAX_NOTIFIED,
                &message.reply_to.map(MessageId::as_uuid),
                &message.metadata.as_ref().map(Metadata::as_str),
                connection.records_events(),
            ],
        )
        .await?
        .expect("its from clause has one row at least");
    if row.try_get::<_, Option<Uuid>>("id")?.is_none() {
        return Ok(match row.try_get("takes_part")? {
            true if row.try_get("is_closed")? => Sending::Closed,
            true if !row.try_get("may_reply")? => Sending::NoSuchReplyTo,
            true if row.try_get("is_limited")? => Sending::TooMany { retry_after: rows::retry_after(&row)? },
            // The last participant may also have left while this waited, and taken the conversation along.
            true | false => Sending::NotAParticipant,
        });
    }
    let (listeners, unread_counts) = rows::viewers(&row)?;
    let mut message = rows::message(&row)?;
    if !row.try_get::<_, bool>("is_seen")? {
        // A repeat of a sender who was removed and added again meanwhile: how others have changed the message
        // since is not theirs to see.
        (message.reactions, message.edited_at, message.change) = (Vec::new(), None, None);
    }
    Ok(Sending::Sent(Box::new(Sent {
        message,
        listeners,
        unread_counts,
        counts_are_outdated: row.try_get("counts_are_outdated")?,
        is_latest: row.try_get("is_latest")?,
    })))
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
