//! The rows of messages.

use deadpool_postgres::GenericClient;
use domain::{Failure, Message, NewMessage, Participants, Seq, User};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::conversations::{participants, user_id};

/// A message that is stored, by this call or by one that it repeats.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As it is stored.
    pub message: Message,
    /// Whom it concerns.
    pub participants: Participants,
}

impl Store {
    /// Stores the message, or finds the one that an equal `client_message_id` stored; `None` if the sender takes no part in
    /// the conversation. It is committed when this returns.
    pub async fn send_message(&self, message: &NewMessage) -> Result<Option<Sent>, Failure> {
        self.run(|client| async move { send(&client, message).await }).await
    }
}

/// One statement, so one round trip and one transaction. `taken` locks the conversation's row until the commit, and with it the
/// next `seq`: sends of one conversation go one after the other, and an abort leaves no gap. Two equal `client_message_id`s at
/// once: the second waits for that lock with a snapshot that cannot show the first's message, meets
/// `messages_client_message_id_key`, aborts as a whole, and finds the message when it is repeated. (`on conflict do nothing`
/// would keep the `seq` it took.) The id is looked for too: it is there if an earlier try was committed and its answer lost.
/// `clock_timestamp()`, since `now()` is from before the wait.
async fn send(
    client: &impl GenericClient,
    message: &NewMessage,
) -> Result<Option<Sent>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(
            "with stored as (
                 select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
                 from messages
                 where (conversation_id, sender_id, client_message_id) = ($2, $3, $5) or id = $1
             ), taken as (
                 update conversations
                 set last_seq = last_seq + 1, last_message_at = clock_timestamp()
                 where id = $2 and $3 in (first_user_id, second_user_id) and not exists (select from stored)
                 returning id, last_seq, last_message_at
             ), inserted as (
                 insert into messages (id, conversation_id, seq, sender_id, content, client_message_id, created_at)
                 select $1, id, last_seq, $3, $4, $5, last_message_at from taken
                 returning id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at
             ), counted as (
                 update participants
                 set unread_count = unread_count + 1
                 from taken
                 where participants.conversation_id = taken.id and participants.user_id <> $3
             ), message as (
                 select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at from stored
                 union all
                 select id, conversation_id, seq, sender_id, content, client_message_id, created_at, read_at from inserted
             )
             select
                 message.id, message.conversation_id, message.seq, message.sender_id, message.content,
                 message.client_message_id, message.created_at, message.read_at,
                 users.name, users.display_name, users.avatar_url,
                 conversations.first_user_id, conversations.second_user_id
             from message
             join users on users.id = message.sender_id
             join conversations on conversations.id = message.conversation_id",
        )
        .await?;
    let row = client
        .query_opt(
            &statement,
            &[
                &message.id.as_uuid(),
                &message.conversation_id.as_uuid(),
                &message.sender_id.as_str(),
                &message.content.as_str(),
                &message.client_message_id.as_ref().map(domain::ClientMessageId::as_str),
            ],
        )
        .await?;
    row.map(|row| Ok(Sent { message: message_of(&row)?, participants: participants(&row)? })).transpose()
}

fn message_of(row: &Row) -> Result<Message, tokio_postgres::Error> {
    Ok(Message {
        id: row.try_get::<_, Uuid>("id")?.into(),
        conversation_id: row.try_get::<_, Uuid>("conversation_id")?.into(),
        seq: Seq(row.try_get("seq")?),
        sender: User {
            id: user_id(row, "sender_id")?,
            name: row.try_get("name")?,
            display_name: row.try_get("display_name")?,
            avatar_url: row.try_get("avatar_url")?,
        },
        content: row.try_get("content")?,
        client_message_id: row.try_get("client_message_id")?,
        created_at: row.try_get("created_at")?,
        read_at: row.try_get("read_at")?,
    })
}
