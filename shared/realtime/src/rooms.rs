//! Which connections joined which conversations.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use domain::{ConnectionId, ConversationId, Dependency, Failure, Participants, UserId};

use crate::aws::{dynamodb_failure, unless_condition_failed};
use crate::connections::{Connections, take};
use crate::delivery::{Target, targets};
use crate::table::{
    Item, KEY, ROOMS, TTL, connection_key, lease_attribute, member_attribute, members, now, number, room_key,
    room_of, ttl, user_key,
};

/// How many conversations a connection may have joined at once.
const MAX_ROOMS: usize = 100;

/// How often a join is repeated that met another write to the same items.
const TRANSACTION_TRIES: u32 = 10;
const BACKOFF: Duration = Duration::from_millis(10);

/// What became of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The connection gets the conversation's messages now, or did already.
    Joined,
    /// It has joined as many conversations as it may.
    TooMany,
    /// The connection is not known: it was swept or pruned.
    NotConnected,
}

/// What became of a leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The connection does not get the conversation's messages, whether it did or not.
    Left,
    /// The connection is not known: it was swept or pruned.
    NotConnected,
}

/// Whom an event of a conversation concerns at this moment. No connection is in both lists.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// The connections that joined the conversation.
    pub joined: Vec<Target>,
    /// The participants' other connections.
    pub others: Vec<Target>,
}

impl Connections {
    /// Writes down that a connection joined a conversation, in its own item and in the conversation's: in
    /// both or in neither, and only while the connection holds its lease.
    pub async fn join(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        conversation: ConversationId,
    ) -> Result<Joined, Failure> {
        for tried in 0..TRANSACTION_TRIES {
            // Many who join one conversation at once are in each other's way; waiting a little longer each
            // time takes them apart.
            tokio::time::sleep(BACKOFF * tried).await;
            let sent = self
                .client
                .transact_write_items()
                .transact_items(
                    TransactWriteItem::builder().condition_check(self.holds_lease(user, connection)).build(),
                )
                .transact_items(
                    TransactWriteItem::builder().update(self.add_room(connection, conversation)).build(),
                )
                .transact_items(
                    TransactWriteItem::builder()
                        .update(self.add_member(user, connection, conversation))
                        .build(),
                )
                .send()
                .await;
            let Err(error) = sent else {
                return Ok(Joined::Joined);
            };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    if let Some(refused) = refusal(canceled.cancellation_reasons()) {
                        return Ok(refused);
                    }
                }
                _ => return Err(dynamodb_failure(error)),
            }
        }
        Err(Failure::unavailable(Dependency::DynamoDb, "every try of a join met another write"))
    }

    /// Writes down that a connection left a conversation.
    pub async fn leave(
        &self,
        connection: &ConnectionId,
        conversation: ConversationId,
    ) -> Result<Left, Failure> {
        let left = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .update_expression("DELETE #rooms :room")
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#rooms", ROOMS)
            .expression_attribute_values(":room", AttributeValue::Ss(vec![conversation.to_string()]))
            .send();
        let (left, removed) = tokio::join!(left, self.remove_member(conversation, connection));
        removed?;
        Ok(unless_condition_failed(left)?.map_or(Left::NotConnected, |_| Left::Left))
    }

    /// Everything that a push to a conversation needs, in one consistent read: a connection is in the room as
    /// read, or else its user learns of the message as a participant.
    pub async fn audience(
        &self,
        conversation: ConversationId,
        participants: &Participants,
    ) -> Result<Audience, Failure> {
        let room_key = room_key(conversation);
        let keys = participants.iter().map(user_key).chain([room_key.clone()]);
        let mut items = self.read(keys).await?;
        let room = take(&mut items, &room_key);
        let mut joined: HashMap<_, _> =
            room_targets(&room).map(|target| (target.connection.clone(), target)).collect();
        let mut others = Vec::new();
        for target in items.iter().flat_map(|item| targets(item, now())) {
            match joined.get_mut(&target.connection) {
                Some(member) => member.opened_at = target.opened_at,
                None => others.push(target),
            }
        }
        Ok(Audience { joined: joined.into_values().collect(), others })
    }

    /// The connections that joined a conversation: one read of one item.
    pub async fn room(&self, conversation: ConversationId) -> Result<Vec<Target>, Failure> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, room_key(conversation))
            .consistent_read(true)
            .send()
            .await
            .map_err(dynamodb_failure)?;
        Ok(room_targets(&found.item.unwrap_or_default()).collect())
    }

    fn holds_lease(&self, user: &UserId, connection: &ConnectionId) -> ConditionCheck {
        ConditionCheck::builder()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            .condition_expression("attribute_exists(#lease)")
            .expression_attribute_names("#lease", lease_attribute(connection))
            .build()
            .expect("all it needs is set")
    }

    fn add_room(&self, connection: &ConnectionId, conversation: ConversationId) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .update_expression("SET #ttl = :ttl ADD #rooms :rooms")
            .condition_expression(
                "attribute_exists(#key) AND (attribute_not_exists(#rooms) OR size(#rooms) < :max OR contains(#rooms, :room))",
            )
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#rooms", ROOMS)
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":rooms", AttributeValue::Ss(vec![conversation.to_string()]))
            .expression_attribute_values(":room", AttributeValue::S(conversation.to_string()))
            .expression_attribute_values(":max", number(MAX_ROOMS))
            .expression_attribute_values(":ttl", ttl())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("all it needs is set")
    }

    fn add_member(&self, user: &UserId, connection: &ConnectionId, conversation: ConversationId) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, room_key(conversation))
            .update_expression("SET #member = :user, #ttl = :ttl")
            .expression_attribute_names("#member", member_attribute(connection))
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":user", AttributeValue::S(user.as_str().to_owned()))
            .expression_attribute_values(":ttl", ttl())
            .build()
            .expect("all it needs is set")
    }
}

/// The joined connections of a conversation's item, which does not know when they opened.
fn room_targets(room: &Item) -> impl Iterator<Item = Target> {
    let id = room_of(room);
    members(room).map(move |(connection, user)| Target {
        connection,
        user,
        opened_at: None,
        expires_at: 0,
        room: id,
    })
}

/// What the reasons of a cancelled join say, in the order of its items: lease, connection, conversation.
/// `None` if another write was in the way and the join may be repeated.
fn refusal(reasons: &[CancellationReason]) -> Option<Joined> {
    let failed = |reason: &&CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    let lease = reasons.first().filter(failed);
    let connection = reasons.get(1).filter(failed);
    match (lease, connection) {
        (Some(_), _) => Some(Joined::NotConnected),
        // The item comes along if there is one: then it was the number of rooms that failed.
        (None, Some(reason)) if reason.item().is_some_and(|item| !item.is_empty()) => Some(Joined::TooMany),
        (None, Some(_)) => Some(Joined::NotConnected),
        (None, None) => None,
    }
}
