//! Connections and the leases that keep their users online.
//!
//! Whether a user went online or offline is decided by the one write that moves their online mark. It is
//! conditional on the version of the item that was looked at, and a write whose answer was lost is known
//! again by what it left there: so each transition is told once, by whoever made it.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use domain::{ConnectionId, Dependency, Failure, Timestamp, UserId};
use futures_util::future::try_join_all;

use crate::aws::{Measured, dynamodb_failure, unless_condition_failed};
use crate::delivery::{Target, targets};
use crate::table::{
    EXPIRES_AT, Item, KEY, LAST_SEEN_AT, LATEST_LEASE, Lease, Millis, ONLINE_SHARD, TRANSITION_BY, TTL,
    USER_ID, VERSION, connection_key, lease_attribute, leases, member_attribute, millis, now, number,
    read_number, room_key, rooms, shard, timestamp, ttl, user_key,
};

/// How often a write that lost against another one looks again. Each loss is another write's success, so a
/// user's 20 connections closing at once need at most 20.
const CONDITIONAL_TRIES: usize = 24;

/// How often a read is repeated that DynamoDB answers in part only, each time after a longer pause.
const READ_TRIES: u32 = 5;
const READ_BACKOFF: Duration = Duration::from_millis(25);

/// The table of connections.
#[derive(Clone, Debug)]
pub struct Connections {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// What a connect found.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The version of the transition, if the user was offline until now.
    pub came_online: Option<u64>,
    /// The user's other connections whose leases still hold, the oldest first.
    pub others: Vec<Target>,
    /// Those whose leases have run out: nothing else looks at them while the user has others.
    pub expired: Vec<Target>,
}

/// A user who went offline.
#[derive(Clone, Debug)]
pub struct Departed {
    /// The transition.
    pub offline: Offline,
    /// Connections of theirs that were still written down, with leases that had run out.
    pub expired: Vec<Target>,
}

/// A user's transition to offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    /// The version of the transition.
    pub version: u64,
    /// When the user was last seen.
    pub last_seen_at: Timestamp,
}

/// What became of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// The lease holds anew.
    Renewed,
    /// The connection is not known: it was swept or pruned.
    NotConnected,
}

impl Connections {
    /// The table called `table`.
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(Duration::from_secs(1))
            .operation_timeout(Duration::from_secs(3))
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
        let config = aws_sdk_dynamodb::config::Builder::from(sdk)
            .timeout_config(timeouts)
            .retry_config(retries)
            .interceptor(Measured)
            .build();
        Self { client: Client::from_conf(config), table }
    }

    /// Writes down a connection that is about to open. The connection's own item comes first: should the
    /// second write fail, what is left is out of sight and its TTL removes it.
    pub async fn connect(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        lease: Duration,
    ) -> Result<Connected, Failure> {
        let own = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, connection_key(connection))
            .item(USER_ID, AttributeValue::S(user.as_str().to_owned()))
            .item(TTL, ttl())
            .send();
        let (own, item) = tokio::join!(own, self.user(user));
        own.map_err(dynamodb_failure)?;

        let mut item = item?;
        let mut tried_before = None;
        for _ in 0..CONDITIONAL_TRIES {
            let now = now();
            // A write whose answer was lost: it is there, so it was as it had been decided.
            if let Some(connected) = tried_before.take().filter(|_| holds_lease(&item, connection)) {
                return Ok(connected);
            }
            let seen = version(&item);
            let (mut others, expired): (Vec<_>, Vec<_>) =
                targets(&item).partition(|other| other.lease.is_some_and(|lease| lease.expires_at > now));
            others.sort_by_key(|other| other.lease.map(|lease| lease.opened_at));
            let comes_online = !item.contains_key(ONLINE_SHARD);
            let connected = Connected { came_online: comes_online.then_some(seen + 1), others, expired };

            let lease = Lease { expires_at: now + millis(lease), opened_at: now };
            let mut change = Change::default()
                .set(lease_attribute(connection), lease.into())
                .set(ONLINE_SHARD, shard(user))
                .set(LATEST_LEASE, number(lease.expires_at));
            if comes_online {
                change = change.set(TRANSITION_BY, AttributeValue::S(connection.as_str().to_owned()));
            }
            if self.change(user, seen, change).await? {
                return Ok(connected);
            }
            tried_before = Some(connected);
            item = self.user(user).await?;
        }
        Err(lost_every_write())
    }

    /// Ends the lease of a connection that is closed. If that leaves its user without an unexpired lease, the
    /// same write takes the online mark away, with whatever leases are left: a connection that missed its
    /// time does not come back by itself.
    pub async fn disconnect(
        &self,
        user: &UserId,
        connection: &ConnectionId,
    ) -> Result<Option<Departed>, Failure> {
        self.depart(user, Some(connection), connection.as_str()).await
    }

    /// Takes a user offline whose leases have all run out, and does nothing if they have not. `token` is this
    /// call's own.
    pub async fn sweep(&self, user: &UserId, token: &str) -> Result<Option<Departed>, Failure> {
        self.depart(user, None, token).await
    }

    /// The one write that decides that a user goes offline. It is conditional on the version it saw, so that
    /// whatever happens at the same time makes it look again; and it leaves its token, so that it knows its
    /// own work although the answer was lost.
    async fn depart(
        &self,
        user: &UserId,
        leaving: Option<&ConnectionId>,
        token: &str,
    ) -> Result<Option<Departed>, Failure> {
        let mut tried_before: Option<Departed> = None;
        for _ in 0..CONDITIONAL_TRIES {
            let item = self.user(user).await?;
            let by_this_call =
                || item.get(TRANSITION_BY).and_then(|by| by.as_s().ok()).is_some_and(|by| by == token);
            if let Some(departed) = tried_before.take().filter(|_| by_this_call()) {
                return Ok(Some(departed));
            }
            let now = now();
            let alone = unexpired(&item, now).all(|(other, _)| Some(&other) == leaving);
            let goes_offline = alone && item.contains_key(ONLINE_SHARD);
            let leaving_lease =
                leaving.filter(|connection| holds_lease(&item, connection)).map(lease_attribute);
            let seen = version(&item);
            if !goes_offline {
                let Some(lease) = leaving_lease else { return Ok(None) };
                if self.change(user, seen, Change::default().remove(lease)).await? {
                    return Ok(None);
                }
                continue;
            }
            let last_seen = match leaving {
                Some(_) => now,
                None => read_number(&item, LATEST_LEASE).unwrap_or(now).min(now),
            };
            let expired: Vec<_> =
                targets(&item).filter(|target| Some(&target.connection) != leaving).collect();
            let mut change = Change::default()
                .set(LAST_SEEN_AT, number(last_seen))
                .set(TRANSITION_BY, AttributeValue::S(token.to_owned()))
                .remove(ONLINE_SHARD)
                .remove(LATEST_LEASE);
            for (connection, _) in leases(&item) {
                change = change.remove(lease_attribute(&connection));
            }
            let offline = Offline { version: seen + 1, last_seen_at: timestamp(last_seen) };
            let departed = Departed { offline, expired };
            if self.change(user, seen, change).await? {
                return Ok(Some(departed));
            }
            tried_before = Some(departed);
        }
        Err(lost_every_write())
    }

    /// Ends a lease that ran out, if it is still as it was seen; false if the connection has shown itself
    /// meanwhile.
    pub(crate) async fn expire(&self, target: &Target) -> Result<bool, Failure> {
        let Some(lease) = target.lease else { return Ok(false) };
        let expired = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(&target.user))
            .update_expression("REMOVE #lease SET #version = #version + :one")
            .condition_expression("#lease.#expires = :seen")
            .expression_attribute_names("#lease", lease_attribute(&target.connection))
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":seen", number(lease.expires_at))
            .expression_attribute_values(":one", number(1))
            .send()
            .await;
        Ok(unless_condition_failed(expired)?.is_some())
    }

    /// Whether a connection is known.
    pub async fn knows(&self, user: &UserId, connection: &ConnectionId) -> Result<bool, Failure> {
        Ok(holds_lease(&self.user(user).await?, connection))
    }

    /// Forgets a connection that turned out to be gone (410) or was closed, silently: the online mark stays,
    /// and the sweep announces.
    pub async fn forget(&self, user: &UserId, connection: &ConnectionId) -> Result<(), Failure> {
        let removed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            .update_expression("REMOVE #lease SET #version = #version + :one")
            .condition_expression("attribute_exists(#lease)")
            .expression_attribute_names("#lease", lease_attribute(connection))
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":one", number(1))
            .send()
            .await;
        unless_condition_failed(removed)?;
        self.forget_rooms(connection).await
    }

    /// Renews the lease of a connection that still has one, expired or not.
    pub async fn ping(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        lease: Duration,
    ) -> Result<Pinged, Failure> {
        let renewed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            // The version moves too: a disconnect that saw this lease expired has to look again.
            .update_expression(
                "SET #lease.#expires = :expires, #latest = :expires, #version = #version + :one",
            )
            // A lease without the mark would be of a user who is offline: nothing may bring those back but a
            // connect.
            .condition_expression("attribute_exists(#lease) AND attribute_exists(#shard)")
            .expression_attribute_names("#lease", lease_attribute(connection))
            .expression_attribute_names("#shard", ONLINE_SHARD)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#latest", LATEST_LEASE)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":expires", number(now() + millis(lease)))
            .expression_attribute_values(":one", number(1))
            .send()
            .await;
        Ok(unless_condition_failed(renewed)?.map_or(Pinged::NotConnected, |_| Pinged::Renewed))
    }

    /// Reads up to 100 items in one round trip, as they are now. A key without an item is left out.
    pub(crate) async fn read(
        &self,
        keys: impl IntoIterator<Item = AttributeValue>,
    ) -> Result<Vec<Item>, Failure> {
        let keys: Vec<_> = keys.into_iter().map(|key| Item::from([(KEY.to_owned(), key)])).collect();
        let mut items = Vec::with_capacity(keys.len());
        let mut wanted = keys;
        for tried in 0..READ_TRIES {
            if wanted.is_empty() {
                return Ok(items);
            }
            tokio::time::sleep(READ_BACKOFF * tried).await;
            let keys = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_keys(Some(wanted))
                .build()
                .expect("it has keys");
            let page = self
                .client
                .batch_get_item()
                .request_items(&self.table, keys)
                .send()
                .await
                .map_err(dynamodb_failure)?;
            items.extend(page.responses.into_iter().flatten().flat_map(|(_, found)| found));
            // What DynamoDB was too busy for is to be asked for again.
            let left = page.unprocessed_keys.and_then(|mut left| left.remove(&self.table));
            wanted = left.map(|left| left.keys).unwrap_or_default();
        }
        match wanted.is_empty() {
            true => Ok(items),
            false => {
                Err(Failure::unavailable(Dependency::DynamoDb, "it left keys unprocessed again and again"))
            }
        }
    }

    /// A user's item as it is now, empty if there is none.
    async fn user(&self, user: &UserId) -> Result<Item, Failure> {
        Ok(self.read([user_key(user)]).await?.pop().unwrap_or_default())
    }

    /// Changes a user's item if it still has the version that was seen, 0 if it was not there; false if it
    /// has not.
    async fn change(&self, user: &UserId, seen: u64, change: Change) -> Result<bool, Failure> {
        let change = change.set(VERSION, number(seen + 1));
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            .expression_attribute_names("#version", VERSION);
        update = match seen {
            0 => update.condition_expression("attribute_not_exists(#version)"),
            _ => update
                .condition_expression("#version = :seen")
                .expression_attribute_values(":seen", number(seen)),
        };
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (at, (attribute, value)) in change.set.into_iter().enumerate() {
            set.push(format!("#set{at} = :set{at}"));
            update = update
                .expression_attribute_names(format!("#set{at}"), attribute)
                .expression_attribute_values(format!(":set{at}"), value);
        }
        for (at, attribute) in change.remove.into_iter().enumerate() {
            remove.push(format!("#remove{at}"));
            update = update.expression_attribute_names(format!("#remove{at}"), attribute);
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression.push_str(&format!(" REMOVE {}", remove.join(", ")));
        }
        Ok(unless_condition_failed(update.update_expression(expression).send().await)?.is_some())
    }

    /// Takes a connection out of the conversations that it joined, then removes its own item. To be called
    /// once its lease is gone: from then on it cannot join another.
    pub async fn forget_rooms(&self, connection: &ConnectionId) -> Result<(), Failure> {
        let Some(own) = self.read([connection_key(connection)]).await?.pop() else { return Ok(()) };
        try_join_all(rooms(&own).map(|room| self.remove_member(room, connection))).await?;
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, connection_key(connection))
            .send()
            .await
            .map(drop)
            .map_err(dynamodb_failure)
    }

    pub(crate) async fn remove_member(
        &self,
        room: domain::ConversationId,
        connection: &ConnectionId,
    ) -> Result<(), Failure> {
        let removed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, room_key(room))
            .update_expression("REMOVE #member")
            .condition_expression("attribute_exists(#member)")
            .expression_attribute_names("#member", member_attribute(connection))
            .send()
            .await;
        unless_condition_failed(removed).map(drop)
    }
}

/// The item with this key, empty if there is none.
pub(crate) fn take(items: &mut Vec<Item>, key: &AttributeValue) -> Item {
    match items.iter().position(|item| item.get(KEY) == Some(key)) {
        Some(found) => items.swap_remove(found),
        None => Item::new(),
    }
}

fn version(item: &Item) -> u64 {
    read_number(item, VERSION).unwrap_or(0)
}

fn holds_lease(item: &Item, connection: &ConnectionId) -> bool {
    item.contains_key(&lease_attribute(connection))
}

fn lost_every_write() -> Failure {
    Failure::unavailable(Dependency::DynamoDb, "lost every conditional write against another one")
}

/// What is to become of an item.
#[derive(Debug, Default)]
struct Change {
    set: Vec<(String, AttributeValue)>,
    remove: Vec<String>,
}

impl Change {
    fn set(mut self, attribute: impl Into<String>, value: AttributeValue) -> Self {
        self.set.push((attribute.into(), value));
        self
    }

    fn remove(mut self, attribute: impl Into<String>) -> Self {
        self.remove.push(attribute.into());
        self
    }
}

pub(crate) fn unexpired(item: &Item, now: Millis) -> impl Iterator<Item = (ConnectionId, Lease)> {
    leases(item).filter(move |(_, lease)| lease.expires_at > now)
}
