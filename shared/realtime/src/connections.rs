//! Connections and the leases that keep their users online.
//!
//! Whether a user went online or offline is decided by the one write that moves their online mark: a connect
//! sees in the item as it was whether the mark was there; a disconnect removes it on condition that nothing
//! happened since it looked.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue};
use domain::{ConnectionId, Dependency, Failure, Timestamp, UserId};
use futures_util::future::try_join_all;

use crate::aws::{Measured, dynamodb_failure, unless_condition_failed};
use crate::delivery::{Target, targets};
use crate::table::{
    EXPIRES_AT, Item, KEY, LAST_SEEN_AT, LATEST_LEASE, Lease, Millis, ONLINE_SHARD, TOOK_OFFLINE, TTL,
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

/// What a disconnect left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnected {
    /// No connection of the user is left; this call was the one to notice.
    WentOffline(Offline),
    /// The user has other connections, or was offline already.
    Unchanged,
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
        self.client
            .put_item()
            .table_name(&self.table)
            .item(KEY, connection_key(connection))
            .item(USER_ID, AttributeValue::S(user.as_str().to_owned()))
            .item(TTL, ttl())
            .send()
            .await
            .map_err(dynamodb_failure)?;

        let now = now();
        let lease = Lease { expires_at: now + millis(lease), opened_at: now };
        let before = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            .update_expression(
                "SET #lease = :lease, #shard = :shard, #latest = :expires, \
                 #version = if_not_exists(#version, :zero) + :one",
            )
            .expression_attribute_names("#lease", lease_attribute(connection))
            .expression_attribute_names("#shard", ONLINE_SHARD)
            .expression_attribute_names("#latest", LATEST_LEASE)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":lease", lease.into())
            .expression_attribute_values(":shard", shard(user))
            .expression_attribute_values(":expires", number(lease.expires_at))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(dynamodb_failure)?
            .attributes
            .unwrap_or_default();

        let before_this = targets(&before, 0).filter(|other| other.connection != *connection);
        let (mut others, expired): (Vec<_>, Vec<_>) = before_this.partition(|other| other.expires_at > now);
        others.sort_by_key(|other| other.opened_at);
        // A write that was repeated because its answer was lost finds the mark and the lease that its first
        // try set.
        let repeated = before.contains_key(&lease_attribute(connection));
        let came_online = !before.contains_key(ONLINE_SHARD) || (repeated && others.is_empty());
        Ok(Connected { came_online: came_online.then_some(version(&before) + 1), others, expired })
    }

    /// Forgets a connection that is closed. The write that leaves its user without an unexpired lease takes
    /// the online mark away too; it is conditional on the version it saw, so whatever happens at the same
    /// time, one write decides.
    pub async fn disconnect(
        &self,
        user: &UserId,
        connection: &ConnectionId,
    ) -> Result<Disconnected, Failure> {
        let lease = [lease_attribute(connection)];
        let mut departure = Disconnected::Unchanged;
        for tried in 0..=CONDITIONAL_TRIES {
            if tried == CONDITIONAL_TRIES {
                return Err(Failure::unavailable(Dependency::DynamoDb, "lost every conditional write"));
            }
            let item = self.read([user_key(user)]).await?.pop().unwrap_or_default();
            let now = now();
            let alone = unexpired(&item, now).all(|(other, _)| other == *connection);
            let goes_offline = alone && item.contains_key(ONLINE_SHARD);
            let seen = version(&item);
            if !item.contains_key(&lease[0]) && !goes_offline {
                // Unless an earlier try did it, and only its answer was lost.
                if tried > 0 && took_offline(&item) == Some(connection.as_str()) {
                    let last_seen_at = timestamp(read_number(&item, LAST_SEEN_AT).unwrap_or(now));
                    departure = Disconnected::WentOffline(Offline { version: seen, last_seen_at });
                }
                break;
            }
            let offline = goes_offline.then_some((now, connection.as_str()));
            if self.remove_leases(user, &lease, seen, offline).await? {
                if goes_offline {
                    let last_seen_at = timestamp(now);
                    departure = Disconnected::WentOffline(Offline { version: seen + 1, last_seen_at });
                }
                break;
            }
        }
        self.forget_rooms(connection).await?;
        Ok(departure)
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
            .condition_expression("attribute_exists(#lease)")
            .expression_attribute_names("#lease", lease_attribute(connection))
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

    /// Removes leases, and the online mark too if the user goes offline: then it is written down when they
    /// were last seen, and who took them offline. False if the item is no longer as seen.
    pub(crate) async fn remove_leases(
        &self,
        user: &UserId,
        leases: &[String],
        seen: u64,
        offline: Option<(Millis, &str)>,
    ) -> Result<bool, Failure> {
        let mut removed: Vec<_> = (0..leases.len()).map(|at| format!("#lease{at}")).collect();
        let mut set = "SET #version = :next".to_owned();
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, user_key(user))
            .condition_expression("#version = :seen")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":seen", number(seen))
            .expression_attribute_values(":next", number(seen + 1));
        for (name, attribute) in removed.iter().zip(leases) {
            update = update.expression_attribute_names(name, attribute);
        }
        if let Some((at, by)) = offline {
            set.push_str(", #lastSeen = :at, #by = :by");
            removed.extend(["#shard".to_owned(), "#latest".to_owned()]);
            update = update
                .expression_attribute_names("#by", TOOK_OFFLINE)
                .expression_attribute_values(":by", AttributeValue::S(by.to_owned()))
                .expression_attribute_names("#lastSeen", LAST_SEEN_AT)
                .expression_attribute_names("#shard", ONLINE_SHARD)
                .expression_attribute_names("#latest", LATEST_LEASE)
                .expression_attribute_values(":at", number(at));
        }
        let update = update.update_expression(format!("{set} REMOVE {}", removed.join(", "))).send().await;
        Ok(unless_condition_failed(update)?.is_some())
    }

    /// Takes a connection out of the conversations that it joined, then removes its own item. To be called
    /// once its lease is gone: from then on it cannot join another.
    pub(crate) async fn forget_rooms(&self, connection: &ConnectionId) -> Result<(), Failure> {
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

pub(crate) fn version(item: &Item) -> u64 {
    read_number(item, VERSION).unwrap_or(0)
}

fn took_offline(item: &Item) -> Option<&str> {
    item.get(TOOK_OFFLINE)?.as_s().ok().map(String::as_str)
}

pub(crate) fn unexpired(item: &Item, now: Millis) -> impl Iterator<Item = (ConnectionId, Lease)> {
    leases(item).filter(move |(_, lease)| lease.expires_at > now)
}
