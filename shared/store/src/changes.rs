//! Changes of stored messages.
//!
//! Every change in a conversation, of a message, the title or the participants, takes the next number of
//! `conversations.last_change` under the lock of that row, as a message takes `seq`. `change_message.sql`
//! runs after that lock in the same transaction, so it sees the message as it is when its turn comes. It
//! writes the message only if something is different. The lock statement first takes the row of `rates` that
//! counts the messages and changes of the user in this minute, as a send does, so that the two do not wait
//! for each other in a circle.
//!
//! The table `reactions` says who has reacted. What clients get of it is kept with the message as JSON, made
//! anew by each change, so that reading a message reads one row. A deletion empties the message and its
//! reactions in its transaction. `messages_change_idx` holds changed messages only; it serves `changes`, and
//! a send writes nothing to it.
//!
//! A client keeps the number up to which it knows all changes. One that misses a `message_changed` sees a
//! gap. If a page of history has a lower `lastChange` than the client knows, later changes may be missing in
//! the page, so the client goes back to that number.

use std::collections::HashMap;
use std::time::Duration;

use domain::{
    Change, Conversation, ConversationId, Failure, Identity, Listeners, MAX_NOTIFIED, MAX_REACTIONS, Message,
    MessageChange, MessageId, Metadata, UserId,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::conversations::conversation_of;
use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;
use crate::users::issued_at;

/// A message after a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The message, as it is then.
    pub message: Message,
    /// Whether this call has changed it, or may have. Otherwise it was like that before, or has changed since
    /// the user last saw it.
    pub is_new: bool,
    /// Who sees the message, and so is told.
    pub listeners: Listeners,
    /// How many messages of the conversation each of the listeners has not read.
    pub unread_counts: HashMap<UserId, i64>,
    /// Whether it is the latest message of the conversation.
    pub is_latest: bool,
}

/// Why a message does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeRefusal {
    /// The user sees no such message.
    NoSuchMessage,
    /// The message is another user's.
    NotAllowed,
    /// It is in the conversation of two of whom one has blocked the other or is erased.
    Closed,
    /// The message is deleted.
    Deleted,
    /// The message has as many different reactions as it may have.
    TooManyReactions,
    /// The user has sent and changed too many messages in this minute.
    TooMany {
        /// The time until the minute ends.
        retry_after: Duration,
    },
}

/// What has changed in a conversation since a change.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The conversation as it is now.
    pub conversation: Conversation,
    /// The messages that have changed, in the order of their latest changes.
    pub messages: Vec<Message>,
    /// The number of the last change up to which these are all.
    pub last_change: Change,
    /// Whether more messages have changed.
    pub has_more: bool,
}

/// The first statement of [`Store::change_message`].
pub(crate) static LOCK_CONVERSATION_OF: Query<3> =
    Query { sql: include_str!("lock_conversation_of.sql"), types: [Type::UUID, Type::TEXT, Type::BOOL] };

/// The second statement of [`Store::change_message`].
pub(crate) static CHANGE_MESSAGE: Query<13> = Query {
    sql: include_str!("change_message.sql"),
    types: [
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BOOL,
        Type::TEXT,
        Type::BOOL,
        Type::INT8,
        Type::TEXT,
        Type::INT8,
        Type::INT4,
        Type::INT4,
        Type::BOOL,
    ],
};

impl Store {
    /// Changes a message for a user, or deletes it for the service if there is none. The user may send and
    /// change `max_per_minute`, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should. The message may have changed all the same.
    pub async fn change_message(
        &self,
        message: MessageId,
        user: Option<&UserId>,
        change: &MessageChange,
        max_per_minute: u32,
    ) -> Result<Result<Changed, ChangeRefusal>, Failure> {
        let call = |connection| async move {
            change_message(&connection, message, user, change, max_per_minute).await
        };
        let (mut changed, repeated) = self.run_counted(call).await?;
        // An earlier try of this call may have changed it without an answer.
        changed.iter_mut().for_each(|changed| changed.is_new |= repeated);
        Ok(changed)
    }

    /// The messages that have changed after `after`, at most `limit`. `None` if `user` does not take part in
    /// the conversation.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn changes_of(
        &self,
        conversation: ConversationId,
        user: &Identity,
        after: Change,
        limit: usize,
    ) -> Result<Option<Changes>, Failure> {
        self.run(|connection| async move { changes_of(&connection, conversation, user, after, limit).await })
            .await
    }
}

async fn change_message(
    connection: &Connection,
    message: MessageId,
    user: Option<&UserId>,
    change: &MessageChange,
    max_per_minute: u32,
) -> Result<Result<Changed, ChangeRefusal>, tokio_postgres::Error> {
    let (action, content, metadata, if_change, reaction) = match change {
        MessageChange::Edit { content, metadata, if_change } => {
            ("edit", Some(content.as_str()), metadata.as_ref(), *if_change, None)
        }
        MessageChange::Delete => ("delete", None, None, None, None),
        MessageChange::AddReaction(reaction) => ("add_reaction", None, None, None, Some(reaction.as_str())),
        MessageChange::RemoveReaction(reaction) => {
            ("remove_reaction", None, None, None, Some(reaction.as_str()))
        }
    };
    let user = user.map(UserId::as_str);
    let new_metadata = metadata.and_then(Option::as_ref).map(Metadata::as_str);
    let expected = if_change.flatten().map(|change| change.0);
    let limit = i32::try_from(max_per_minute).unwrap_or(i32::MAX);
    let row = connection
        .row_after_lock(
            LOCK_CONVERSATION_OF.sql,
            &LOCK_CONVERSATION_OF.with([&message.as_uuid(), &user, &(max_per_minute > 0)]),
            CHANGE_MESSAGE.sql,
            &CHANGE_MESSAGE.with([
                &message.as_uuid(),
                &user,
                &action,
                &content,
                &metadata.is_some(),
                &new_metadata,
                &if_change.is_some(),
                &expected,
                &reaction,
                &MAX_REACTIONS,
                &limit,
                &MAX_NOTIFIED,
                connection.records_events(),
            ]),
        )
        .await?;
    let Some(row) = row else { return Ok(Err(ChangeRefusal::NoSuchMessage)) };
    let is_new = match row.try_get("verdict")? {
        "changed" => true,
        "unchanged" => false,
        "closed" => return Ok(Err(ChangeRefusal::Closed)),
        "deleted" => return Ok(Err(ChangeRefusal::Deleted)),
        "too_many_reactions" => return Ok(Err(ChangeRefusal::TooManyReactions)),
        "too_many" => return Ok(Err(ChangeRefusal::TooMany { retry_after: rows::retry_after(&row)? })),
        _ => return Ok(Err(ChangeRefusal::NotAllowed)),
    };
    let (listeners, unread_counts) = rows::viewers(&row)?;
    let is_latest = row.try_get("is_latest")?;
    Ok(Ok(Changed { message: rows::message(&row)?, is_new, listeners, unread_counts, is_latest }))
}

/// The two statements are sent at once, and changes may be committed between them.
async fn changes_of(
    connection: &Connection,
    conversation: ConversationId,
    user: &Identity,
    after: Change,
    limit: usize,
) -> Result<Option<Changes>, tokio_postgres::Error> {
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let (id, user_id, issued_at) = (conversation.as_uuid(), user.user_id.as_str(), issued_at(user));
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&id, Type::UUID),
        (&user_id, Type::TEXT),
        (&after.0, Type::INT8),
        (&one_more, Type::INT8),
        (&issued_at, Type::INT8),
    ];
    let (rows, conversation) = tokio::join!(
        biased;
        connection.rows(include_str!("changes_of.sql"), &parameters),
        conversation_of(connection, conversation, user),
    );
    let (rows, Some(conversation)) = (rows?, conversation?) else { return Ok(None) };
    let Some(first) = rows.first() else { return Ok(None) };
    let last_change = Change(first.try_get("last_change")?);
    let found = rows.iter().filter(|row| !matches!(row.try_get::<_, Option<Uuid>>("id"), Ok(None)));
    let mut messages = found.map(rows::message).collect::<Result<Vec<_>, _>>()?;
    let has_more = messages.len() > limit;
    messages.truncate(limit);
    let last_change = match messages.last() {
        Some(last) if has_more => last.change.unwrap_or(last_change),
        // The conversation and the messages both show what has changed up to the lower number.
        _ => last_change.min(conversation.last_change),
    };
    Ok(Some(Changes { conversation, messages, last_change, has_more }))
}
