//! Storing messages.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{ClientMessageId, Failure, Message, NewMessage, Participants, UserId};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pool::{Connection, Store};
use crate::rows;

/// A message that is stored, by this call or by an earlier one with the same `client_message_id`.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The message, as it is stored.
    pub message: Message,
    /// The participants of the conversation.
    pub participants: Participants,
    /// How many messages of the conversation each participant has not read.
    pub unread_counts: HashMap<UserId, i64>,
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
}

async fn send(
    connection: &Connection,
    message: &NewMessage,
    max_per_minute: u32,
) -> Result<Sending, tokio_postgres::Error> {
    let limit = i32::try_from(max_per_minute).unwrap_or(i32::MAX);
    let row = connection
        .row(
            include_str!("send_message.sql"),
            &[
                (&message.id.as_uuid(), Type::UUID),
                (&message.conversation_id.as_uuid(), Type::UUID),
                (&message.sender_id.as_str(), Type::TEXT),
                (&message.content.as_str(), Type::TEXT),
                (&message.client_message_id.as_ref().map(ClientMessageId::as_str), Type::TEXT),
                (&limit, Type::INT4),
            ],
        )
        .await?
        .expect("its from clause has one row at least");
    if row.try_get::<_, Option<Uuid>>("id")?.is_none() {
        return Ok(match row.try_get("takes_part")? {
            true => Sending::TooMany { retry_after: rows::retry_after(&row)? },
            false => Sending::NotAParticipant,
        });
    }
    let participants = rows::participants(&row)?;
    let (senders, others): (i64, i64) = (row.try_get("senders_unread")?, row.try_get("others_unread")?);
    let unread_count = |user: &UserId| if *user == message.sender_id { senders } else { others };
    Ok(Sending::Sent(Box::new(Sent {
        message: rows::message(&row)?,
        unread_counts: participants.iter().map(|user| (user.clone(), unread_count(user))).collect(),
        participants,
        is_latest: row.try_get("is_latest")?,
    })))
}
