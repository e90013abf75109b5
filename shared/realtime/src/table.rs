//! The `connections` table: its keys and its attributes.
//!
//! `USER#<userId>`, a user:
//! - `lease#<connectionId>` for each connection: `{expiresAt, openedAt}`;
//! - `online`, the online mark; `lastSeenAt`, when the user last went offline;
//! - `version`, one more with every write;
//! - `revokedAt`, the second up to which tokens are refused;
//! - `transition`, the last one; `unannounced`, those whose announcement is not known to be done;
//! - `onlineShard` and `sweepAt`, the keys of the index.
//!
//! `CONN#<connectionId>`, a connection: `userId`; `rooms`, the set of rooms that it is in, each by its key
//! without the prefix; `ttl`.
//!
//! `ROOM#<conversationId>`, and `ROOM#<conversationId>#0` to `#15` for a large conversation, a room: `ttl`,
//! and `member#<connectionId>` for each joined connection: `{userId, firstSeq, roster}`; in the room of a
//! small one also `apart#<userId>`, the set of participants who have blocked that user or are blocked by
//! them.
//!
//! Times are milliseconds since 1970, except `ttl`, which DynamoDB expects in seconds, and `revokedAt`, which
//! is compared with the `iat` of tokens. The sparse index `online` holds the users who are marked online or
//! have unannounced transitions, in the order in which the sweep has to look at them. [`crate::user_item`]
//! maps the item of a user.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{ConnectionId, ConversationId, Seq, Timestamp, UserId};

pub(crate) const KEY: &str = "pk";
pub(crate) const USER_ID: &str = "userId";
pub(crate) const ROOMS: &str = "rooms";
pub(crate) const TTL: &str = "ttl";
pub(crate) const VERSION: &str = "version";
pub(crate) const ONLINE_SHARD: &str = "onlineShard";
pub(crate) const SWEEP_AT: &str = "sweepAt";
pub(crate) const ONLINE: &str = "online";
pub(crate) const TRANSITION: &str = "transition";
pub(crate) const UNANNOUNCED: &str = "unannounced";
pub(crate) const REVOKED_AT: &str = "revokedAt";
pub(crate) const LAST_SEEN_AT: &str = "lastSeenAt";
pub(crate) const EXPIRES_AT: &str = "expiresAt";
const OPENED_AT: &str = "openedAt";
const FIRST_SEQ: &str = "firstSeq";
const ROSTER: &str = "roster";
const ROOM_PREFIX: &str = "ROOM#";
const LEASE_PREFIX: &str = "lease#";
const MEMBER_PREFIX: &str = "member#";
const APART_PREFIX: &str = "apart#";

/// The index of the users whom the sweep may have to look at.
pub(crate) const ONLINE_INDEX: &str = "online";

/// The number of partitions of the index: one takes 1,000 writes a second.
pub(crate) const SHARDS: u32 = 8;

/// The number of rooms that a large conversation has. An item is at most 400 KB: if a sixteenth of 1,000
/// participants have 20 connections each, they take about 200 KB with ids as long as a UUID.
pub(crate) const PARTS: u32 = 16;

/// A connection lasts at most 2 hours (API Gateway quota), so its items are of no use after that. One hour is
/// added for differing clocks.
const TIME_TO_LIVE: Duration = Duration::from_secs(3 * 60 * 60);

/// The time limit of a call, with its retries.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn user_key(id: &UserId) -> AttributeValue {
    AttributeValue::S(format!("USER#{id}"))
}

/// A key that no item has.
pub(crate) const NO_ITEM: &str = "NONE";

/// An item that holds joined connections of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Room {
    pub(crate) conversation: ConversationId,
    /// Which of the rooms of a large conversation it is; `None` for that of a small one.
    pub(crate) part: Option<u32>,
}

impl Room {
    /// The room of a small conversation. Who joined it stays in it when the conversation becomes large.
    pub(crate) fn of(conversation: ConversationId) -> Self {
        Self { conversation, part: None }
    }

    /// The room of a user in a large conversation.
    pub(crate) fn of_large(conversation: ConversationId, user: &UserId) -> Self {
        Self { conversation, part: Some(sum_of_bytes(user) % PARTS) }
    }

    /// All rooms of a large conversation, with that from when it was small.
    pub(crate) fn all(conversation: ConversationId) -> impl Iterator<Item = Self> {
        let parts = (0..PARTS).map(move |part| Self { conversation, part: Some(part) });
        parts.chain([Self::of(conversation)])
    }

    pub(crate) fn key(self) -> AttributeValue {
        AttributeValue::S(format!("{ROOM_PREFIX}{self}"))
    }

    /// The room of an item, if it is one.
    pub(crate) fn of_item(item: &Item) -> Option<Self> {
        item.get(KEY)?.as_s().ok()?.strip_prefix(ROOM_PREFIX)?.parse().ok()
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "{}", self.conversation),
            Some(part) => write!(f, "{}#{part}", self.conversation),
        }
    }
}

impl FromStr for Room {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (conversation, part) = match text.split_once('#') {
            None => (text, None),
            Some((conversation, part)) => (conversation, Some(part.parse().map_err(drop)?)),
        };
        Ok(Self { conversation: ConversationId::parse(conversation).map_err(drop)?, part })
    }
}

/// The user of an item, if it is one of a user.
pub(crate) fn user_of(item: &Item) -> Option<UserId> {
    let key = item.get(KEY)?.as_s().ok()?;
    UserId::parse(key.strip_prefix("USER#")?).ok()
}

pub(crate) fn connection_key(id: &ConnectionId) -> AttributeValue {
    AttributeValue::S(format!("CONN#{id}"))
}

pub(crate) fn lease_attribute(connection: &ConnectionId) -> String {
    format!("{LEASE_PREFIX}{connection}")
}

pub(crate) fn member_attribute(connection: &ConnectionId) -> String {
    format!("{MEMBER_PREFIX}{connection}")
}

pub(crate) fn apart_attribute(user: &UserId) -> String {
    format!("{APART_PREFIX}{user}")
}

/// The partition of a user in the index. It never changes.
pub(crate) fn shard(user: &UserId) -> AttributeValue {
    number(sum_of_bytes(user) % SHARDS)
}

fn sum_of_bytes(user: &UserId) -> u32 {
    user.as_str().bytes().map(u32::from).sum()
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Milliseconds: a time since 1970, or a duration.
pub(crate) type Millis = u64;

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is past 1970");
    millis(since)
}

pub(crate) fn millis(duration: Duration) -> Millis {
    duration.as_millis().try_into().expect("a time of this age fits 64 bits")
}

pub(crate) fn timestamp(at: Millis) -> Timestamp {
    let nanoseconds = i128::from(at) * 1_000_000;
    Timestamp::from_unix_timestamp_nanos(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn ttl() -> AttributeValue {
    number((now() + millis(TIME_TO_LIVE)) / 1000)
}

/// A connection counts as alive until its lease expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) expires_at: Millis,
    pub(crate) opened_at: Millis,
}

impl From<Lease> for AttributeValue {
    fn from(lease: Lease) -> Self {
        Self::M(HashMap::from([
            (EXPIRES_AT.to_owned(), number(lease.expires_at)),
            (OPENED_AT.to_owned(), number(lease.opened_at)),
        ]))
    }
}

/// The connection and the lease of an attribute, if it is a lease.
pub(crate) fn lease(name: &str, value: &AttributeValue) -> Option<(ConnectionId, Lease)> {
    let connection = ConnectionId::parse(name.strip_prefix(LEASE_PREFIX)?).ok()?;
    let fields = value.as_m().ok()?;
    let lease =
        Lease { expires_at: read_number(fields, EXPIRES_AT)?, opened_at: read_number(fields, OPENED_AT)? };
    Some((connection, lease))
}

/// A joined connection, as a room holds it.
pub(crate) struct Member {
    pub(crate) connection: ConnectionId,
    pub(crate) user: UserId,
    /// The first message that the user sees.
    pub(crate) first_seq: Seq,
    /// How often participants had been added or removed when the connection joined.
    pub(crate) roster: i64,
}

impl Member {
    /// The value of its attribute.
    pub(crate) fn value(user: &UserId, first_seq: Seq, roster: i64) -> AttributeValue {
        AttributeValue::M(HashMap::from([
            (USER_ID.to_owned(), AttributeValue::S(user.as_str().to_owned())),
            (FIRST_SEQ.to_owned(), number(first_seq.0)),
            (ROSTER.to_owned(), number(roster)),
        ]))
    }

    fn read(name: &str, value: &AttributeValue) -> Option<Self> {
        let connection = ConnectionId::parse(name.strip_prefix(MEMBER_PREFIX)?).ok()?;
        let fields = value.as_m().ok()?;
        let user = UserId::parse(fields.get(USER_ID)?.as_s().ok()?.as_str()).ok()?;
        let integer = |name| fields.get(name)?.as_n().ok()?.parse().ok();
        Some(Self { connection, user, first_seq: Seq(integer(FIRST_SEQ)?), roster: integer(ROSTER)? })
    }
}

/// Whether a room says that one of two users has blocked the other.
pub(crate) fn are_apart(room: &Item, one: &UserId, other: &UserId) -> bool {
    let says = |of: &UserId, who: &UserId| {
        let apart = room.get(&apart_attribute(of)).and_then(|value| value.as_ss().ok());
        apart.is_some_and(|apart| apart.iter().any(|id| id == who.as_str()))
    };
    says(one, other) || says(other, one)
}

/// The attributes of a room which say that other users are apart from this one.
pub(crate) fn apart_from<'a>(room: &'a Item, user: &'a UserId) -> impl Iterator<Item = &'a str> {
    let names_user =
        |value: &AttributeValue| value.as_ss().is_ok_and(|apart| apart.iter().any(|id| id == user.as_str()));
    let of_others =
        room.iter().filter(move |(name, value)| name.starts_with(APART_PREFIX) && names_user(value));
    of_others.map(|(name, _)| name.as_str())
}

/// The joined connections in a room.
pub(crate) fn members(item: &Item) -> impl Iterator<Item = Member> {
    item.iter().filter_map(|(name, value)| Member::read(name, value))
}

/// The rooms in the item of a connection.
pub(crate) fn rooms(item: &Item) -> impl Iterator<Item = Room> {
    let rooms = item.get(ROOMS).and_then(|value| value.as_ss().ok());
    rooms.into_iter().flatten().filter_map(|room| room.parse().ok())
}

pub(crate) fn read_number<N: FromStr>(item: &Item, attribute: &str) -> Option<N> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}
