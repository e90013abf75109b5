//! Connections and the leases that keep their users online.
//!
//! What becomes of a user's item is decided by [`crate::rules`]. Here it is read and written: a write is
//! conditional on the version that was read, and whoever loses against another write reads and decides again.

use std::time::Duration;

use aws::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use domain::{ConnectionId, Dependency, Failure, UserId};
use environment::Misconfigured;
use futures_util::future::{BoxFuture, try_join_all};

use crate::dynamodb::{Measured, dynamodb_failure, unless_condition_failed};
use crate::rules::{Decision, Happened, decide, was_carried_out};
use crate::table::{
    EXPIRES_AT, Item, KEY, Lease, ONLINE, SWEEP_AT, TTL, UNANNOUNCED, USER_ID, VERSION, connection_key,
    lease_attribute, member_attribute, millis, now, number, room_key, rooms, ttl, user_key,
};
use crate::target::Target;
use crate::user_item::{Token, Transition, UserItem};

/// How often a write that lost against another one looks again. Each loss is another write's success, and a
/// user's connections that close at once write twice each at most; long before this the time is up.
const CONDITIONAL_TRIES: usize = 500;

/// How often a read is repeated that DynamoDB answers in part only, each time after a longer pause.
const READ_TRIES: u32 = 5;
const READ_BACKOFF: Duration = Duration::from_millis(25);

/// The table of connections.
#[derive(Clone, Debug)]
pub struct Connections {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// What a connect did.
#[derive(Clone, Debug)]
pub struct Connected {
    /// What is to be announced.
    pub unannounced: Unannounced,
    /// Other connections of the user that are to be closed: their leases had expired.
    pub expired: Vec<Target>,
    /// And these, because the user has too many connections: they were the oldest.
    pub surplus: Vec<Target>,
}

/// What a disconnect or a sweep did.
#[derive(Clone, Debug)]
pub struct Departed {
    /// What is to be announced.
    pub unannounced: Unannounced,
    /// Other connections of the user that are to be closed: their leases had expired.
    pub expired: Vec<Target>,
}

/// Transitions that are to be announced by whoever holds this. If that never happens, the sweep does it.
#[must_use = "nobody else announces it before the sweep"]
#[derive(Clone, Debug)]
pub struct Unannounced {
    /// The item that says so.
    pub(crate) item: UserItem,
    /// The transitions, and the token that stands for them in the item.
    pub(crate) duty: Option<(Token, Vec<Transition>)>,
}

impl Unannounced {
    /// Whether there is nothing to announce.
    pub fn is_empty(&self) -> bool {
        self.duty.is_none()
    }
}

/// What became of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// The lease holds anew.
    Renewed,
    /// The connection is not known: it was swept or pruned.
    NotConnected,
}

/// How long a lease lasts: `LEASE_SECONDS`, or 12 minutes.
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
            .operation_timeout(Duration::from_secs(3))
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
        let config =
            Builder::from(sdk).timeout_config(timeouts).retry_config(retries).interceptor(Measured).build();
        Ok(Self { client: Client::from_conf(config), table })
    }

    /// Writes down a connection that is about to open; more than `max_connections` end the oldest.
    ///
    /// The connection's own item comes first: should the second write fail, what is left is out of sight and
    /// its TTL removes it.
    pub async fn connect(
        &self,
        user: &UserId,
        connection: &ConnectionId,
        lease: Duration,
        max_connections: usize,
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
        let connects =
            Happened::Connects { connection: connection.clone(), lease: millis(lease), max_connections };
        let (item, decision) = self.carry_out(item?, &connects).await?;
        Ok(Connected {
            expired: targets(&item, decision.expired),
            surplus: targets(&item, decision.surplus),
            unannounced: Unannounced { item, duty: decision.announce },
        })
    }

    /// Ends the lease of a connection that is closed, and takes its user offline if no other lease holds.
    pub async fn disconnect(&self, user: &UserId, connection: &ConnectionId) -> Result<Departed, Failure> {
        self.depart(user, &Happened::Disconnects { connection: connection.clone() }).await
    }

    /// Takes a user offline whose leases have all expired, and takes over what nobody has announced in time.
    pub async fn sweep(&self, user: &UserId) -> Result<Departed, Failure> {
        self.depart(user, &Happened::IsSwept).await
    }

    async fn depart(&self, user: &UserId, happened: &Happened) -> Result<Departed, Failure> {
        let (item, decision) = self.carry_out(self.user(user).await?, happened).await?;
        Ok(Departed {
            expired: targets(&item, decision.expired),
            unannounced: Unannounced { item, duty: decision.announce },
        })
    }

    /// Takes away what stood for an announcement that has been made.
    pub(crate) async fn announced(&self, unannounced: Unannounced) -> Result<(), Failure> {
        let Some((token, _)) = unannounced.duty else { return Ok(()) };
        // The item is most likely as it was written, so it is not read first.
        self.carry_out(unannounced.item, &Happened::WasAnnounced { token }).await.map(drop)
    }

    /// Decides, and writes what was decided if nobody has written the item since it was `seen`; else reads
    /// and decides again. Returns the item as it is then.
    ///
    /// In a box: the SDK's futures are large, and this one is part of many others.
    fn carry_out<'a>(
        &'a self,
        mut seen: UserItem,
        happened: &'a Happened,
    ) -> BoxFuture<'a, Result<(UserItem, Decision), Failure>> {
        Box::pin(async move {
            // What the tries before wanted to end: one may have been carried out without an answer.
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

    /// Whether a connection is known.
    pub async fn knows(&self, user: &UserId, connection: &ConnectionId) -> Result<bool, Failure> {
        Ok(self.user(user).await?.leases.contains_key(connection))
    }

    /// Forgets a connection that turned out to be gone (410), silently: the online mark stays, and the sweep
    /// announces.
    pub async fn forget(&self, user: &UserId, connection: &ConnectionId) -> Result<(), Failure> {
        let is_gone = Happened::IsGone { connection: connection.clone() };
        self.carry_out(self.user(user).await?, &is_gone).await?;
        self.forget_rooms(connection).await
    }

    /// Renews the lease of a connection that still has one, expired or not.
    ///
    /// In one write without a read: the same as [`Happened::Pings`] makes of an item in which nothing is
    /// unannounced.
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
                "SET #lease.#expires = :expires, #sweep = :expires, #version = #version + :one",
            )
            .condition_expression(
                "attribute_exists(#lease) AND attribute_exists(#online) AND attribute_not_exists(#unannounced)",
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
            // Not even a sleep of no length on the first try: a timer ends at its next millisecond.
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

    /// A user's item as it is now.
    async fn user(&self, user: &UserId) -> Result<UserItem, Failure> {
        let item = self.read([user_key(user)]).await?.pop();
        Ok(item.as_ref().and_then(UserItem::parse).unwrap_or_else(|| UserItem::absent(user.clone())))
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

/// Connections of this user as they may be pushed to.
fn targets(item: &UserItem, leases: Vec<(ConnectionId, Lease)>) -> Vec<Target> {
    let target = |(connection, lease)| Target::of_user(&item.user, connection, lease);
    leases.into_iter().map(target).collect()
}
