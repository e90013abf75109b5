//! Connections, and the leases that keep their users online.
//!
//! [`crate::rules`] decides what happens to the item of a user. This module reads and writes it: a write is
//! conditional on the version that was read, and is decided anew if another write was first.

use std::time::Duration;

use aws::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use domain::{ConnectionId, Dependency, Failure, Identity, UserId};
use environment::Misconfigured;
use futures_util::future::{BoxFuture, try_join_all};

use crate::dynamodb::{Measured, dynamodb_failure, unless_condition_failed};
use crate::rules::{Decision, Happened, decide, was_carried_out};
use crate::table::{
    EXPIRES_AT, Item, KEY, Lease, NO_ITEM, ONLINE, OPERATION_TIMEOUT, Room, SWEEP_AT, TTL, UNANNOUNCED,
    USER_ID, VERSION, connection_key, lease_attribute, member_attribute, millis, now, number, rooms, ttl,
    user_key,
};
use crate::target::Target;
use crate::user_item::{Token, Transition, UserItem};

/// The number of tries of a conditional write. Each lost try is the success of another write, and each
/// connection of a user that closes writes twice at most. The invocation times out long before this.
const CONDITIONAL_TRIES: usize = 500;

/// The number of tries of a read that DynamoDB answers in part only, each after a longer pause.
const READ_TRIES: u32 = 5;
const READ_BACKOFF: Duration = Duration::from_millis(25);

/// The table of connections.
#[derive(Clone, Debug)]
pub struct Connections {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// The result of a connect.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Whether the connection is not stored, because its token is revoked.
    pub is_refused: bool,
    /// The transitions to announce.
    pub unannounced: Unannounced,
    /// Other connections of the user that are to be closed, because their leases have expired.
    pub expired: Vec<Target>,
    /// Other connections of the user that are to be closed, because they are the oldest of too many.
    pub surplus: Vec<Target>,
}

/// The result of a disconnect or a sweep, or of connections that were closed.
#[derive(Clone, Debug)]
pub struct Departed {
    /// The transitions to announce.
    pub unannounced: Unannounced,
    /// Other connections of the user that are to be closed, because their leases have expired.
    pub expired: Vec<Target>,
}

/// Transitions that the owner of this value has to announce. If that does not happen, the sweep announces
/// them.
#[must_use = "nobody else announces it before the sweep"]
#[derive(Clone, Debug)]
pub struct Unannounced {
    /// The item of the user.
    pub(crate) item: UserItem,
    /// The transitions, and the token under which the item holds them.
    pub(crate) duty: Option<(Token, Vec<Transition>)>,
}

impl Unannounced {
    /// Whether there is nothing to announce.
    pub fn is_empty(&self) -> bool {
        self.duty.is_none()
    }
}

/// The result of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// The lease is renewed.
    Renewed,
    /// There is no such connection: its lease was removed, because it expired, was one too many, or was gone
    /// (410).
    NotConnected,
}

/// The duration of a lease: `LEASE_SECONDS`, or 12 minutes.
///
/// # Errors
///
/// The value of the variable is not a number of seconds.
pub fn lease_from_env() -> Result<Duration, Misconfigured> {
    Ok(Duration::from_secs(environment::parsed_or("LEASE_SECONDS", 720)?))
}

impl Connections {
    /// The table that `CONNECTIONS_TABLE` names.
    ///
    /// # Errors
    ///
    /// The variable is not set.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        let table = environment::required("CONNECTIONS_TABLE")?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(Duration::from_secs(1))
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
        let config =
            Builder::from(sdk).timeout_config(timeouts).retry_config(retries).interceptor(Measured).build();
        Ok(Self { client: Client::from_conf(config), table })
    }

    /// Opens a connection to DynamoDB, for the first event: see [`edge::warm_up`]. It reads an item that does
    /// not exist.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        self.read([AttributeValue::S(NO_ITEM.to_owned())]).await.map(drop)
    }

    /// Stores a connection that is about to open, unless its token is revoked. If the user then has more than
    /// `max_connections`, the oldest lose their leases.
    ///
    /// The item of the connection is written first. If the other write fails, nothing refers to it, and its
    /// TTL removes it.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn connect(
        &self,
        identity: &Identity,
        connection: &ConnectionId,
        lease: Duration,
        max_connections: usize,
    ) -> Result<Connected, Failure> {
        let Identity { user_id: user, issued_at } = identity;
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
        let connects = Happened::Connects {
            connection: connection.clone(),
            token_issued_at: *issued_at,
            lease: millis(lease),
            max_connections,
        };
        let (item, decision) = self.carry_out(item?, &connects).await?;
        Ok(Connected {
            is_refused: decision.write.is_none(),
            expired: targets(&item, decision.expired),
            surplus: targets(&item, decision.surplus),
            unannounced: Unannounced { item, duty: decision.announce },
        })
    }

    /// Removes the lease of a closed connection, and takes the user offline if no other lease is valid.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn disconnect(&self, user: &UserId, connection: &ConnectionId) -> Result<Departed, Failure> {
        self.depart(user, &Happened::Disconnects { connection: connection.clone() }).await
    }

    /// Takes a user offline whose leases have all expired, and takes over announcements that are overdue.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn sweep(&self, user: &UserId) -> Result<Departed, Failure> {
        self.depart(user, &Happened::IsSwept).await
    }

    /// Refuses connections of a user with tokens that were issued up to a second since 1970. Returns the
    /// connections that are there. They have to be closed, and then [`Self::have_closed`].
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn revoke(&self, user: &UserId, at: i64) -> Result<Vec<Target>, Failure> {
        let (item, decision) = self.carry_out(self.user(user).await?, &Happened::IsRevoked { at }).await?;
        Ok(targets(&item, decision.expired))
    }

    /// Removes the leases of connections that were closed, and takes the user offline if no other lease is
    /// valid.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn have_closed(&self, user: &UserId, closed: &[Target]) -> Result<Departed, Failure> {
        let connections = closed.iter().map(|target| target.connection.clone()).collect();
        self.depart(user, &Happened::AreClosed { connections }).await
    }

    /// Forgets when a user was there, who has no connections any more. Returns whether nothing is known of
    /// them but that their tokens are revoked.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn erase(&self, user: &UserId) -> Result<bool, Failure> {
        let (item, _) = self.carry_out(self.user(user).await?, &Happened::IsErased).await?;
        Ok(item.leases.is_empty() && item.last_seen_at.is_none() && item.transition.is_none())
    }

    async fn depart(&self, user: &UserId, happened: &Happened) -> Result<Departed, Failure> {
        let (item, decision) = self.carry_out(self.user(user).await?, happened).await?;
        Ok(Departed {
            expired: targets(&item, decision.expired),
            unannounced: Unannounced { item, duty: decision.announce },
        })
    }

    /// Removes from the item the transitions that were announced.
    pub(crate) async fn announced(&self, unannounced: Unannounced) -> Result<(), Failure> {
        let Some((token, _)) = unannounced.duty else { return Ok(()) };
        // The item most likely has not changed since it was written, so it is not read first.
        self.carry_out(unannounced.item, &Happened::WasAnnounced { token }).await.map(drop)
    }

    /// Decides, and writes the decision if the item has not changed since it was `seen`; else reads the item
    /// and decides again. Returns the item as it is then.
    ///
    /// In a box: the futures of the SDK are large, and this one is part of many others.
    fn carry_out<'a>(
        &'a self,
        mut seen: UserItem,
        happened: &'a Happened,
    ) -> BoxFuture<'a, Result<(UserItem, Decision), Failure>> {
        Box::pin(async move {
            // What earlier tries have ended: one of them may have been carried out although it was not
            // answered.
            let mut ended = Decision::nothing();
            for _ in 0..CONDITIONAL_TRIES {
                let decision = decide(&seen, happened, now(), Token::new()).after(ended);
                let Some(next) = &decision.write else { return Ok((seen, decision)) };
                let update = self.client.update_item().table_name(&self.table).key(KEY, user_key(&seen.user));
                let written = seen.replaced_by(next, update).send().await;
                if unless_condition_failed(written)?.is_some() {
                    return Ok((next.clone(), decision));
                }
                seen = self.user(&seen.user).await?;
                if was_carried_out(&decision, &seen) {
                    return Ok((seen, decision));
                }
                ended = decision;
            }
            Err(Failure::unavailable(
                Dependency::DynamoDb,
                "lost every conditional write against another one",
            ))
        })
    }

    /// Whether the table has a lease of a connection.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn knows(&self, user: &UserId, connection: &ConnectionId) -> Result<bool, Failure> {
        Ok(self.user(user).await?.leases.contains_key(connection))
    }

    /// Removes the lease of a connection that turned out to be gone (410), and takes it out of its
    /// conversations. The online mark stays: if this was the last lease, the sweep takes the user offline and
    /// announces it.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn forget(&self, user: &UserId, connection: &ConnectionId) -> Result<(), Failure> {
        let is_gone = Happened::IsGone { connection: connection.clone() };
        self.carry_out(self.user(user).await?, &is_gone).await?;
        self.forget_rooms(connection).await
    }

    /// Renews the lease of a connection that has one, even if it has expired.
    ///
    /// Usually this is one write without a read, which does what [`Happened::Pings`] does to an item without
    /// unannounced transitions.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
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
            // The version changes too: a disconnect that read this lease as expired has to decide again.
            .update_expression(
                "SET #lease.#expires = :expires, #sweep = :expires, #version = #version + :one",
            )
            .condition_expression(
                "attribute_exists(#lease) AND attribute_exists(#online) AND \
                    attribute_not_exists(#unannounced)",
            )
            .expression_attribute_names("#lease", lease_attribute(connection))
            .expression_attribute_names("#online", ONLINE)
            .expression_attribute_names("#unannounced", UNANNOUNCED)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#sweep", SWEEP_AT)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":expires", number(now() + millis(lease)))
            .expression_attribute_values(":one", number(1))
            .send()
            .await;
        if unless_condition_failed(renewed)?.is_some() {
            return Ok(Pinged::Renewed);
        }
        let pings = Happened::Pings { connection: connection.clone(), lease: millis(lease) };
        let (_, decision) = self.carry_out(self.user(user).await?, &pings).await?;
        Ok(if decision.write.is_some() { Pinged::Renewed } else { Pinged::NotConnected })
    }

    /// Reads up to 100 items in one round trip, consistently. Keys without an item are left out.
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
            // No sleep before the first try, not even of zero: a timer fires at the next millisecond.
            if tried > 0 {
                tokio::time::sleep(READ_BACKOFF * tried).await;
            }
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
            // DynamoDB may leave keys unprocessed when it is busy.
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

    /// The item of a user, read consistently.
    async fn user(&self, user: &UserId) -> Result<UserItem, Failure> {
        let item = self.read([user_key(user)]).await?.pop();
        Ok(item.as_ref().and_then(UserItem::parse).unwrap_or_else(|| UserItem::absent(user.clone())))
    }

    /// Removes a connection from the rooms that it is in, and its own item. Its lease has to be
    /// removed before, so that it cannot join another one.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
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

    pub(crate) async fn remove_member(&self, room: Room, connection: &ConnectionId) -> Result<(), Failure> {
        let removed = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, room.key())
            .update_expression("REMOVE #member")
            .condition_expression("attribute_exists(#member)")
            .expression_attribute_names("#member", member_attribute(connection))
            .send()
            .await;
        unless_condition_failed(removed).map(drop)
    }
}

/// The connections of a user as targets of pushes.
fn targets(item: &UserItem, leases: Vec<(ConnectionId, Lease)>) -> Vec<Target> {
    let target = |(connection, lease)| Target::of_user(&item.user, connection, lease);
    leases.into_iter().map(target).collect()
}
