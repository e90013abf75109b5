//! Joined connections: which connections have joined which conversations.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use domain::{ConnectionId, ConversationId, Dependency, Failure, Participants, UserId};

use crate::connections::{Connections, take};
use crate::dynamodb::dynamodb_failure;
use crate::table::{
    Item, KEY, ONLINE, ROOMS, TTL, connection_key, lease_attribute, member_attribute, members, now, number,
    room_key, room_of, ttl, user_key,
};
use crate::target::{Target, reachable};
use crate::user_item::UserItem;

/// The maximum number of conversations that a connection may join.
pub const MAX_JOINED: usize = 100;

/// The number of tries of a transaction that conflicts with other writes.
const TRANSACTION_TRIES: u32 = 10;
const BACKOFF: Duration = Duration::from_millis(10);

/// The result of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The connection has joined the conversation, now or before.
    Joined,
    /// The connection has joined the maximum number of conversations.
    TooMany,
    /// There is no such connection: its lease was removed, because it expired, was one too many, or was gone
    /// (410).
    NotConnected,
}

/// The result of a leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The connection is not in the conversation, whether or not it had joined it.
    Left,
    /// There is no such connection, as in [`Joined::NotConnected`].
    NotConnected,
}

/// The connections that an event of a conversation is pushed to. No connection is in both lists.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// The connections that joined the conversation.
    pub joined: Vec<Target>,
    /// The other connections of the participants.
    pub others: Vec<Target>,
    /// All connections of the participants in the table, even if their leases have expired.
    known: HashSet<ConnectionId>,
}

impl Audience {
    /// Whether the table has a connection of a participant.
    ///
    /// It does not have one whose lease was removed.
    pub fn knows(&self, connection: &ConnectionId) -> bool {
        self.known.contains(connection)
    }
}

impl Connections {
    /// Stores that a connection has joined a conversation, in the items of both, if the connection has a
    /// lease.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn join(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        conversation: ConversationId,
    ) -> Result<Joined, Failure> {
        let items = [
            TransactWriteItem::builder().condition_check(self.holds_lease(user, connection)).build(),
            TransactWriteItem::builder().update(self.add_room(connection, conversation)).build(),
            TransactWriteItem::builder().update(self.add_member(user, connection, conversation)).build(),
        ];
        Ok(self.transact(&items, join_refusal).await?.unwrap_or(Joined::Joined))
    }

    /// Stores that a connection has left a conversation.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn leave(
        &self,
        connection: &ConnectionId,
        conversation: ConversationId,
    ) -> Result<Left, Failure> {
        let items = [
            TransactWriteItem::builder().update(self.drop_room(connection, conversation)).build(),
            TransactWriteItem::builder().update(self.drop_member(connection, conversation)).build(),
        ];
        let refusal =
            |reasons: &[CancellationReason]| reasons.first().filter(failed).map(|_| Left::NotConnected);
        Ok(self.transact(&items, refusal).await?.unwrap_or(Left::Left))
    }

    /// Executes a transaction, and repeats it if it conflicts with another write. If a condition failed,
    /// returns what `refusal` makes of the reasons.
    async fn transact<R>(
        &self,
        items: &[TransactWriteItem],
        refusal: impl Fn(&[CancellationReason]) -> Option<R>,
    ) -> Result<Option<R>, Failure> {
        for tried in 0..TRANSACTION_TRIES {
            // Concurrent joins of one conversation conflict. A longer pause after each try separates them.
            if tried > 0 {
                tokio::time::sleep(BACKOFF * tried).await;
            }
            let request = self.client.transact_write_items().set_transact_items(Some(items.to_vec()));
            let Err(error) = request.send().await else { return Ok(None) };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    if let Some(refused) = refusal(canceled.cancellation_reasons()) {
                        return Ok(Some(refused));
                    }
                }
                _ => return Err(dynamodb_failure(error)),
            }
        }
        Err(Failure::unavailable(Dependency::DynamoDb, "every try of a transaction met another write"))
    }

    /// The connections that an event of a conversation is pushed to. All items come from one batch of
    /// consistent reads: a connection that joins meanwhile is found in the item of the conversation, or else
    /// as another connection of its user.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
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
        let now = now();
        let users: Vec<_> = items.iter().filter_map(UserItem::parse).collect();
        for target in users.iter().flat_map(|item| reachable(item, now)) {
            match joined.get_mut(&target.connection) {
                Some(member) => member.lease = target.lease,
                None => others.push(target),
            }
        }
        let known = users.into_iter().flat_map(|item| item.leases.into_keys()).collect();
        Ok(Audience { joined: joined.into_values().collect(), others, known })
    }

    /// The joined connections of a conversation: one read of one item.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
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
            .condition_expression("attribute_exists(#lease) AND attribute_exists(#online)")
            .expression_attribute_names("#lease", lease_attribute(connection))
            .expression_attribute_names("#online", ONLINE)
            .build()
            .expect("all it needs is set")
    }

    fn add_room(&self, connection: &ConnectionId, conversation: ConversationId) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .update_expression("SET #ttl = :ttl ADD #rooms :rooms")
            .condition_expression(
                "attribute_exists(#key) AND (attribute_not_exists(#rooms) OR size(#rooms) < :max OR \
                    contains(#rooms, :room))",
            )
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#rooms", ROOMS)
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":rooms", AttributeValue::Ss(vec![conversation.to_string()]))
            .expression_attribute_values(":room", AttributeValue::S(conversation.to_string()))
            .expression_attribute_values(":max", number(MAX_JOINED))
            .expression_attribute_values(":ttl", ttl())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("all it needs is set")
    }

    fn drop_room(&self, connection: &ConnectionId, conversation: ConversationId) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .update_expression("DELETE #rooms :rooms")
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#rooms", ROOMS)
            .expression_attribute_values(":rooms", AttributeValue::Ss(vec![conversation.to_string()]))
            .build()
            .expect("all it needs is set")
    }

    fn drop_member(&self, connection: &ConnectionId, conversation: ConversationId) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, room_key(conversation))
            // The TTL is set too, since this creates the item if nobody has joined yet.
            .update_expression("SET #ttl = :ttl REMOVE #member")
            .expression_attribute_names("#member", member_attribute(connection))
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":ttl", ttl())
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

/// The joined connections in the item of a conversation, which does not hold their leases.
fn room_targets(room: &Item) -> impl Iterator<Item = Target> {
    let id = room_of(room);
    members(room).map(move |(connection, user)| Target { connection, user, lease: None, room: id })
}

fn failed(reason: &&CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// The meaning of the reasons of a cancelled join, in the order of its items: lease, connection,
/// conversation. `None` if another write conflicted, so that the join may be repeated.
fn join_refusal(reasons: &[CancellationReason]) -> Option<Joined> {
    let lease = reasons.first().filter(failed);
    let connection = reasons.get(1).filter(failed);
    match (lease, connection) {
        (Some(_), _) => Some(Joined::NotConnected),
        // If the reason contains the item, the connection exists, so it is the number of conversations that
        // failed.
        (None, Some(reason)) if reason.item().is_some_and(|item| !item.is_empty()) => Some(Joined::TooMany),
        (None, Some(_)) => Some(Joined::NotConnected),
        (None, None) => None,
    }
}
