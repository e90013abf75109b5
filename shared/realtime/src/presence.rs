//! Who is online, who wants to know, and who only seems to be.

use std::collections::HashMap;
use std::str::FromStr;

use domain::{Failure, Timestamp, UserId};
use futures_util::future::try_join_all;
use protocol::{Event, Time};

use crate::aws::dynamodb_failure;
use crate::connections::{Connections, Offline, unexpired};
use crate::delivery::{Target, deliver, reachable};
use crate::push::Push;
use crate::table::{
    Item, LAST_SEEN_AT, LATEST_LEASE, ONLINE_INDEX, ONLINE_SHARD, SHARDS, now, number, read_number,
    timestamp, user_key, user_of,
};

/// How many items DynamoDB reads at once.
const BATCH: usize = 100;

/// Who is told that a user went online or offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceAudience {
    /// People who share a conversation with them.
    Contacts,
    /// Everybody who is online: for small deployments.
    Everyone,
}

impl FromStr for PresenceAudience {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "contacts" => Ok(Self::Contacts),
            "everyone" => Ok(Self::Everyone),
            _ => Err("it is neither contacts nor everyone"),
        }
    }
}

/// What is known of a user's presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whether any of their connections holds an unexpired lease.
    pub online: bool,
    /// When they were last seen, if they have ever gone offline.
    pub last_seen_at: Option<Timestamp>,
}

/// Tells those who want to know that a user went online or offline.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// Where everybody's connections are.
    pub connections: Connections,
    /// The way to them.
    pub push: Push,
    /// Who wants to know.
    pub audience: PresenceAudience,
}

impl Announcer {
    /// Announces that `user` went online, to their `contacts` if those are the audience.
    pub async fn online(&self, user: &UserId, version: u64, contacts: &[UserId]) -> Result<(), Failure> {
        self.announce(user, &Event::UserOnline { user_id: user.clone(), version }, contacts).await
    }

    /// Announces that `user` went offline, to their `contacts` if those are the audience.
    pub async fn offline(&self, user: &UserId, offline: Offline, contacts: &[UserId]) -> Result<(), Failure> {
        let Offline { version, last_seen_at } = offline;
        let event = Event::UserOffline { user_id: user.clone(), version, last_seen_at: Time(last_seen_at) };
        self.announce(user, &event, contacts).await
    }

    async fn announce(&self, user: &UserId, event: &Event, contacts: &[UserId]) -> Result<(), Failure> {
        let mut targets = match self.audience {
            PresenceAudience::Contacts => self.connections.connections_of(contacts).await?,
            PresenceAudience::Everyone => self.connections.connections_of_everyone().await?,
        };
        targets.retain(|target| target.user != *user);
        deliver(&self.connections, &self.push, targets, event).await;
        Ok(())
    }
}

impl Connections {
    /// The presence of these users. One who was never connected is left out.
    pub async fn presence(&self, users: &[UserId]) -> Result<HashMap<UserId, Presence>, Failure> {
        let now = now();
        let items = self.users(users).await?;
        let known = items.iter().filter_map(|item| {
            let presence = Presence {
                online: unexpired(item, now).next().is_some(),
                last_seen_at: read_number(item, LAST_SEEN_AT).map(timestamp),
            };
            Some((user_of(item)?, presence))
        });
        Ok(known.collect())
    }

    /// The connections of these users that hold an unexpired lease.
    pub async fn connections_of(&self, users: &[UserId]) -> Result<Vec<Target>, Failure> {
        let now = now();
        Ok(self.users(users).await?.iter().flat_map(|item| reachable(item, now)).collect())
    }

    /// The connections of all users that hold an unexpired lease.
    async fn connections_of_everyone(&self) -> Result<Vec<Target>, Failure> {
        let now = now();
        Ok(self.online_index("#latest > :now").await?.iter().flat_map(|item| reachable(item, now)).collect())
    }

    /// Users who are marked online although none of their leases holds any more.
    pub async fn expired_users(&self) -> Result<Vec<UserId>, Failure> {
        Ok(self.online_index("#latest <= :now").await?.iter().filter_map(user_of).collect())
    }

    /// The items of users, in as few reads as there are hundreds of them, all at once.
    async fn users(&self, users: &[UserId]) -> Result<Vec<Item>, Failure> {
        let batches = users.chunks(BATCH).map(|batch| self.read(batch.iter().map(user_key)));
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    /// The users who are marked online and of whose latest lease `condition` holds, from all shards at once.
    async fn online_index(&self, condition: &str) -> Result<Vec<Item>, Failure> {
        let shards = (0..SHARDS).map(|shard| async move {
            let found = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(ONLINE_INDEX)
                .key_condition_expression(format!("#shard = :shard AND {condition}"))
                .expression_attribute_names("#shard", ONLINE_SHARD)
                .expression_attribute_names("#latest", LATEST_LEASE)
                .expression_attribute_values(":shard", number(shard))
                .expression_attribute_values(":now", number(now()))
                .into_paginator()
                .items()
                .send();
            found.collect::<Result<Vec<_>, _>>().await.map_err(dynamodb_failure)
        });
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }
}
