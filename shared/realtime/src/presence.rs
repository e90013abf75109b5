//! Presence: which users are online, and to whom a change is announced.

use std::collections::HashMap;
use std::str::FromStr;

use aws::SdkConfig;
use domain::{Contacts, Failure, Timestamp, UserId};
use environment::Misconfigured;
use futures_util::future::try_join_all;
use protocol::{Event, Time};

use crate::connections::{Connections, Unannounced};
use crate::delivery::{deliver, frame};
use crate::dynamodb::dynamodb_failure;
use crate::push::Push;
use crate::table::{ONLINE_INDEX, ONLINE_SHARD, SHARDS, SWEEP_AT, now, number, timestamp, user_key};
use crate::target::{Target, reachable};
use crate::user_item::{Transition, UserItem};

/// The maximum number of items in one read of DynamoDB.
const BATCH: usize = 100;

/// The users to whom it is announced that a user went online or offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceAudience {
    /// The users who share a conversation with them, at most the 500 with the latest activity.
    Contacts,
    /// All users who are online, which suits small deployments.
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

/// The presence of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whether a lease of the user is valid.
    pub online: bool,
    /// When the user last went offline.
    pub last_seen_at: Option<Timestamp>,
}

/// Announces that users went online or offline.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// The table of connections.
    pub connections: Connections,
    /// The connection callbacks.
    pub push: Push,
    /// The users to whom a change is announced.
    pub audience: PresenceAudience,
}

impl Announcer {
    /// Reads `PRESENCE_AUDIENCE`, by default contacts, and the variables of the fields.
    ///
    /// # Errors
    ///
    /// A variable of this, of [`Connections`] or of [`Push`] is missing or cannot be used.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        Ok(Self {
            connections: Connections::from_env(sdk)?,
            push: Push::from_env(sdk)?,
            audience: environment::parsed_or("PRESENCE_AUDIENCE", PresenceAudience::Contacts)?,
        })
    }

    /// Opens the connections that an announcement needs: see [`edge::warm_up`].
    ///
    /// # Errors
    ///
    /// DynamoDB or API Gateway did not answer, or not as they should.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        tokio::try_join!(self.connections.warm_up(), self.push.warm_up()).map(drop)
    }

    /// Announces transitions of a user, to their `contacts` if those are the audience, and then removes them
    /// from the item. Who is apart from the user is not told.
    ///
    /// # Errors
    ///
    /// The table of connections could not be read or written. The sweep then announces the transitions again.
    pub async fn announce(&self, unannounced: Unannounced, contacts: &Contacts) -> Result<(), Failure> {
        let Some((_, transitions)) = &unannounced.duty else { return Ok(()) };
        let user = &unannounced.item.user;
        let mut targets = match self.audience {
            PresenceAudience::Contacts => self.connections.connections_of(&contacts.users).await?,
            PresenceAudience::Everyone => self.connections.connections_of_everyone().await?,
        };
        targets.retain(|target| target.user != *user && !contacts.apart.contains(&target.user));
        // All at once: clients order them by version.
        let frames = transitions.iter().flat_map(|transition| {
            let frame = frame(&event(user, *transition));
            let told = targets.iter().filter(|target| !target.opened_after_write(transition.at));
            told.map(move |target| (target.clone(), frame.clone()))
        });
        deliver(&self.connections, &self.push, frames.collect()).await;
        self.connections.announced(unannounced).await
    }
}

fn event(user: &UserId, transition: Transition) -> Event {
    let Transition { version, offline_since, .. } = transition;
    let user_id = user.clone();
    match offline_since {
        None => Event::UserOnline { user_id, version },
        Some(at) => Event::UserOffline { user_id, version, last_seen_at: Time(timestamp(at)) },
    }
}

impl Connections {
    /// The presence of users. A user who was never connected is left out.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn presence(&self, users: &[UserId]) -> Result<HashMap<UserId, Presence>, Failure> {
        let now = now();
        let items = self.users(users).await?;
        let known = items.into_iter().map(|item| {
            let online = item.unexpired(now).next().is_some();
            (item.user, Presence { online, last_seen_at: item.last_seen_at.map(timestamp) })
        });
        Ok(known.collect())
    }

    /// The connections of these users whose leases are valid.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn connections_of(&self, users: &[UserId]) -> Result<Vec<Target>, Failure> {
        let now = now();
        Ok(self.users(users).await?.iter().flat_map(|item| reachable(item, now)).collect())
    }

    /// The connections of all users whose leases are valid.
    async fn connections_of_everyone(&self) -> Result<Vec<Target>, Failure> {
        let now = now();
        Ok(self.online_index(None).await?.iter().flat_map(|item| reachable(item, now)).collect())
    }

    /// The users whose leases have all expired, or who have an overdue announcement.
    ///
    /// # Errors
    ///
    /// DynamoDB did not answer, or not as it should.
    pub async fn due_users(&self) -> Result<Vec<UserId>, Failure> {
        let due = self.online_index(Some("#sweep <= :now")).await?;
        Ok(due.into_iter().map(|item| item.user).collect())
    }

    /// The items of users: one read for each hundred of them, all at once.
    async fn users(&self, users: &[UserId]) -> Result<Vec<UserItem>, Failure> {
        let batches = users.chunks(BATCH).map(|batch| self.read(batch.iter().map(user_key)));
        Ok(try_join_all(batches).await?.iter().flatten().filter_map(UserItem::parse).collect())
    }

    /// The users in the index, or those for whom `condition` holds, from all shards at once.
    async fn online_index(&self, condition: Option<&str>) -> Result<Vec<UserItem>, Failure> {
        let shards = (0..SHARDS).map(|shard| async move {
            let all = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(ONLINE_INDEX)
                .expression_attribute_names("#shard", ONLINE_SHARD)
                .expression_attribute_values(":shard", number(shard));
            let asked = match condition {
                None => all.key_condition_expression("#shard = :shard"),
                Some(condition) => all
                    .key_condition_expression(format!("#shard = :shard AND {condition}"))
                    .expression_attribute_names("#sweep", SWEEP_AT)
                    .expression_attribute_values(":now", number(now())),
            };
            let found = asked.into_paginator().items().send();
            found.collect::<Result<Vec<_>, _>>().await.map_err(dynamodb_failure)
        });
        Ok(try_join_all(shards).await?.iter().flatten().filter_map(UserItem::parse).collect())
    }
}
