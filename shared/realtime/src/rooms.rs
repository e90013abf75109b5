//! Joined connections: which connections have joined which conversations.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use domain::{ConnectionId, ConversationId, Dependency, Failure, Listeners, Seq, UserId};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::connections::Connections;
use crate::dynamodb::{dynamodb_failure, unless_condition_failed};
use crate::table::{
    Item, KEY, Member, ONLINE, ROOMS, Room, TTL, apart_attribute, apart_from, are_apart, connection_key,
    lease_attribute, member_attribute, members, now, number, rooms, ttl, user_key,
};
use crate::target::{Target, reachable};
use crate::user_item::UserItem;

/// The maximum number of conversations that a connection may join.
pub const MAX_JOINED: usize = 100;

/// With more participants than this a conversation may have been large until lately. Then all its rooms are
/// read, so that who joined while it was large still gets its messages. They fit into the same batch.
const NEARLY_LARGE: usize = 60;

/// The number of tries of a transaction that conflicts with other writes.
const TRANSACTION_TRIES: u32 = 10;
const BACKOFF: Duration = Duration::from_millis(10);

/// The number of rooms that are changed concurrently.
const CONCURRENCY: usize = 8;

/// What a conversation is to the user of a connection that joins it.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    /// Who is told what happens in it, which tells whether it is large.
    pub listeners: &'a Listeners,
    /// The number of the first message that the user sees.
    pub first_seq: Seq,
    /// How often participants have been added or removed.
    pub roster: i64,
    /// The participants who have blocked the user or are blocked by them.
    pub apart: &'a [UserId],
}

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

/// The connections that a message is pushed to. No connection is in both lists.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// The connections that joined the conversation.
    pub joined: Vec<Target>,
    /// The other connections of the participants, in a small conversation.
    pub others: Vec<Target>,
    /// All connections of the sender in the table, and of all participants in a small conversation, even if
    /// their leases have expired.
    known: HashSet<ConnectionId>,
}

impl Audience {
    /// Whether the table has a connection of the sender.
    ///
    /// It does not have one whose lease was removed.
    pub fn knows(&self, connection: &ConnectionId) -> bool {
        self.known.contains(connection)
    }
}

impl Connections {
    /// Stores that a connection has joined a conversation, in its item and in the room, if the connection has
    /// a lease.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn join(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        conversation: ConversationId,
        as_participant: &Membership<'_>,
    ) -> Result<Joined, Failure> {
        let Membership { listeners, first_seq, roster, apart } = *as_participant;
        let room = match listeners {
            Listeners::Participants(_) => Room::of(conversation),
            Listeners::Joined => Room::of_large(conversation, user),
        };
        let member = Member::value(user, first_seq, roster);
        let items = [
            TransactWriteItem::builder().condition_check(self.holds_lease(user, connection)).build(),
            TransactWriteItem::builder().update(self.add_room(connection, room)).build(),
            TransactWriteItem::builder()
                .update(self.add_member(connection, member, room, (user, apart)))
                .build(),
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
        let Some(own) = self.read([connection_key(connection)]).await?.pop() else {
            return Ok(Left::NotConnected);
        };
        // There are two if it has joined twice and the conversation has become large between the joins.
        let joined: Vec<_> = rooms(&own).filter(|room| room.conversation == conversation).collect();
        for room in joined {
            if self.leave_room(connection, room).await? == Left::NotConnected {
                return Ok(Left::NotConnected);
            }
        }
        Ok(Left::Left)
    }

    async fn leave_room(&self, connection: &ConnectionId, room: Room) -> Result<Left, Failure> {
        let items = [
            TransactWriteItem::builder().update(self.drop_room(connection, room)).build(),
            TransactWriteItem::builder().update(self.drop_member(connection, room)).build(),
        ];
        let refusal =
            |reasons: &[CancellationReason]| reasons.first().filter(failed).map(|_| Left::NotConnected);
        Ok(self.transact(&items, refusal).await?.unwrap_or(Left::Left))
    }

    /// Takes the connections of a user out of a conversation that they were removed from: those that had
    /// joined when participants had been added or removed `roster` times at most. A connection that joined
    /// later belongs to a user who was added again.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn expel(
        &self,
        user: &UserId,
        conversation: ConversationId,
        roster: i64,
    ) -> Result<(), Failure> {
        let rooms = [Room::of(conversation), Room::of_large(conversation, user)];
        let items = self.read(rooms.map(Room::key)).await?;
        let is_out = |member: &Member| member.user == *user && member.roster <= roster;
        let leaving = items.iter().flat_map(room_members).filter(|(_, member)| is_out(member));
        // One after another: transactions on one room conflict.
        for (room, member) in leaving {
            if self.leave_room(&member.connection, room).await? == Left::NotConnected {
                // The connection is closed, and has no item any more.
                self.remove_member(room, &member.connection).await?;
            }
        }
        // Who was added again keeps what they have stored since.
        let is_back =
            |item: &Item| members(item).any(|member| member.user == *user && member.roster > roster);
        for item in items.iter().filter(|item| !is_back(item)) {
            self.forget_apart(item, user).await?;
        }
        Ok(())
    }

    /// Removes from a room what it says of a user: from whom they are apart, and who is apart from them.
    async fn forget_apart(&self, item: &Item, user: &UserId) -> Result<(), Failure> {
        let Some(room) = Room::of_item(item) else { return Ok(()) };
        let of_others: Vec<_> = apart_from(item, user).collect();
        let own = apart_attribute(user);
        if of_others.is_empty() && !item.contains_key(&own) {
            return Ok(());
        }
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, room.key())
            // The room may have ended meanwhile.
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#own", own);
        let mut expression = "REMOVE #own".to_owned();
        for (at, attribute) in of_others.iter().enumerate() {
            let separator = if at == 0 { " DELETE" } else { "," };
            expression.push_str(&format!("{separator} #of{at} :user"));
            update = update.expression_attribute_names(format!("#of{at}"), *attribute);
        }
        if !of_others.is_empty() {
            update = update.expression_attribute_values(":user", set(std::slice::from_ref(user)));
        }
        let removed = update.update_expression(expression).send().await;
        unless_condition_failed(removed).map(drop)
    }

    /// Stores in the rooms of conversations whether two users are apart. Who joins later stores it with the
    /// join.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn set_apart(
        &self,
        (one, other): (&UserId, &UserId),
        conversations: &[ConversationId],
        are_apart: bool,
    ) -> Result<(), Failure> {
        let action = if are_apart { "ADD" } else { "DELETE" };
        let changes = conversations.iter().copied().map(|conversation| async move {
            let changed = self
                .client
                .update_item()
                .table_name(&self.table)
                .key(KEY, Room::of(conversation).key())
                .update_expression(format!("{action} #one :other, #other :one"))
                // Nobody is in a room that is not there.
                .condition_expression("attribute_exists(#key)")
                .expression_attribute_names("#key", KEY)
                .expression_attribute_names("#one", apart_attribute(one))
                .expression_attribute_names("#other", apart_attribute(other))
                .expression_attribute_values(":one", set(std::slice::from_ref(one)))
                .expression_attribute_values(":other", set(std::slice::from_ref(other)))
                .send()
                .await;
            unless_condition_failed(changed).map(drop)
        });
        stream::iter(changes).buffer_unordered(CONCURRENCY).try_collect().await
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

    /// The connections that the message `seq` of `sender` is pushed to. All items come from one batch of
    /// consistent reads: a connection that joins meanwhile is found in the room, or else as another
    /// connection of its user.
    ///
    /// A room may also hold users who take part since a later message: they are left out. So are those who do
    /// not take part any more, as far as `listeners` tells who does.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn audience(
        &self,
        conversation: ConversationId,
        listeners: &Listeners,
        sender: &UserId,
        seq: Seq,
    ) -> Result<Audience, Failure> {
        let keys: Vec<_> = match listeners {
            Listeners::Participants(users) => {
                // A sender who was removed and added again does not see a message of before.
                let sender = Some(sender).filter(|sender| !users.contains(sender));
                let keys = users.iter().chain(sender).map(user_key);
                match users.len() > NEARLY_LARGE {
                    true => keys.chain(Room::all(conversation).map(Room::key)).collect(),
                    false => keys.chain([Room::of(conversation).key()]).collect(),
                }
            }
            Listeners::Joined => Room::all(conversation).map(Room::key).chain([user_key(sender)]).collect(),
        };
        let items = self.read(keys).await?;
        let listens = |user: &UserId| match listeners {
            Listeners::Participants(users) => users.contains(user),
            Listeners::Joined => true,
        };
        let (members, later): (Vec<_>, Vec<_>) =
            items.iter().flat_map(room_members).partition(|(_, member)| member.first_seq <= seq);
        let later: HashSet<_> = later.into_iter().map(|(_, member)| member.connection).collect();
        let mut joined: HashMap<_, _> = members
            .into_iter()
            .filter(|(_, member)| listens(&member.user))
            .map(|(room, member)| (member.connection.clone(), target(room, member)))
            .collect();
        let mut others = Vec::new();
        let now = now();
        let users: Vec<_> = items.iter().filter_map(UserItem::parse).collect();
        for target in users.iter().flat_map(|item| reachable(item, now)) {
            match joined.get_mut(&target.connection) {
                Some(member) => member.lease = target.lease,
                None if later.contains(&target.connection) || !listens(&target.user) => {}
                None if matches!(listeners, Listeners::Joined) => {}
                None => others.push(target),
            }
        }
        let known = users.into_iter().flat_map(|item| item.leases.into_keys()).collect();
        Ok(Audience { joined: joined.into_values().collect(), others, known })
    }

    /// The connections in the room of a small conversation, without those of users who are apart from `user`:
    /// one read of one item.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn room_around(
        &self,
        user: &UserId,
        conversation: ConversationId,
    ) -> Result<Vec<Target>, Failure> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, Room::of(conversation).key())
            .consistent_read(true)
            .send()
            .await
            .map_err(dynamodb_failure)?;
        let item = found.item.unwrap_or_default();
        let members = room_members(&item).filter(|(_, member)| !are_apart(&item, user, &member.user));
        Ok(members.map(|(room, member)| target(room, member)).collect())
    }

    /// The connections in all rooms of a conversation.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn rooms(&self, conversation: ConversationId) -> Result<Vec<Target>, Failure> {
        let items = self.read(Room::all(conversation).map(Room::key)).await?;
        let joined: HashMap<_, _> = items
            .iter()
            .flat_map(room_members)
            .map(|(room, member)| (member.connection.clone(), target(room, member)))
            .collect();
        Ok(joined.into_values().collect())
    }

    /// Whether a connection has a lease, and whether it has joined a conversation as a large one.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn has_joined_large(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        conversation: ConversationId,
    ) -> Result<(bool, bool), Failure> {
        let room = Room::of_large(conversation, user);
        let items = self.read([user_key(user), room.key()]).await?;
        let is_known =
            items.iter().filter_map(UserItem::parse).any(|item| item.leases.contains_key(connection));
        let has_joined =
            items.iter().flat_map(room_members).any(|(_, member)| member.connection == *connection);
        Ok((is_known, has_joined))
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

    fn add_room(&self, connection: &ConnectionId, room: Room) -> Update {
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
            .expression_attribute_values(":rooms", AttributeValue::Ss(vec![room.to_string()]))
            .expression_attribute_values(":room", AttributeValue::S(room.to_string()))
            .expression_attribute_values(":max", number(MAX_JOINED))
            .expression_attribute_values(":ttl", ttl())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("all it needs is set")
    }

    fn drop_room(&self, connection: &ConnectionId, room: Room) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .update_expression("DELETE #rooms :rooms")
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#rooms", ROOMS)
            .expression_attribute_values(":rooms", AttributeValue::Ss(vec![room.to_string()]))
            .build()
            .expect("all it needs is set")
    }

    fn drop_member(&self, connection: &ConnectionId, room: Room) -> Update {
        Update::builder()
            .table_name(&self.table)
            .key(KEY, room.key())
            // The TTL is set too, since this creates the item if nobody has joined yet.
            .update_expression("SET #ttl = :ttl REMOVE #member")
            .expression_attribute_names("#member", member_attribute(connection))
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":ttl", ttl())
            .build()
            .expect("all it needs is set")
    }

    fn add_member(
        &self,
        connection: &ConnectionId,
        member: AttributeValue,
        room: Room,
        (user, apart): (&UserId, &[UserId]),
    ) -> Update {
        let update = Update::builder().table_name(&self.table).key(KEY, room.key());
        let update = match apart {
            [] => update.update_expression("SET #member = :member, #ttl = :ttl REMOVE #apart"),
            apart => update
                .update_expression("SET #member = :member, #ttl = :ttl, #apart = :apart")
                .expression_attribute_values(":apart", set(apart)),
        };
        update
            .expression_attribute_names("#apart", apart_attribute(user))
            .expression_attribute_names("#member", member_attribute(connection))
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":member", member)
            .expression_attribute_values(":ttl", ttl())
            .build()
            .expect("all it needs is set")
    }
}

/// The joined connections in an item, if it is a room.
fn room_members(item: &Item) -> impl Iterator<Item = (Room, Member)> {
    let room = Room::of_item(item);
    room.into_iter().flat_map(move |room| members(item).map(move |member| (room, member)))
}

fn set(users: &[UserId]) -> AttributeValue {
    AttributeValue::Ss(users.iter().map(ToString::to_string).collect())
}

/// A room does not hold the leases of its members.
fn target(room: Room, member: Member) -> Target {
    Target { connection: member.connection, user: member.user, lease: None, room: Some(room) }
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
