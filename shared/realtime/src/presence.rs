//! Who is online, who wants to know, and who only seems to be.

use std::collections::HashMap;
use std::str::FromStr;

use aws::SdkConfig;
use domain::{Failure, Timestamp, UserId};
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
    /// Announces to the audience that `PRESENCE_AUDIENCE` names, contacts by default.
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

    /// Announces that a user went online or offline, to their `contacts` if those are the audience.
    ///
    /// # Errors
    ///
    /// The table of connections could not be read or written. Then the sweep announces it once more.
    pub async fn announce(&self, unannounced: Unannounced, contacts: &[UserId]) -> Result<(), Failure> {
        let Some((_, transitions)) = &unannounced.duty else { return Ok(()) };
        let user = &unannounced.item.user;
        let mut targets = match self.audience {
            PresenceAudience::Contacts => self.connections.connections_of(contacts).await?,
            PresenceAudience::Everyone => self.connections.connections_of_everyone().await?,
        };
        targets.retain(|target| target.user != *user);
        // All at once: receivers order them by their versions.
        let frames = transitions.iter().flat_map(|transition| {
            let frame = frame(&event(user, *transition));
            let told = targets.iter().filter(|target| !target.opened_after(transition.at));
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
    /// The presence of these users. One who was never connected is left out.
    pub async fn presence(&self, users: &[UserId]) -> Result<HashMap<UserId, Presence>, Failure> {
        let now = now();
        let items = self.users(users).await?;
        let known = items.into_iter().map(|item| {
            let online = item.unexpired(now).next().is_some();
            (item.user, Presence { online, last_seen_at: item.last_seen_at.map(timestamp) })
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
        Ok(self.online_index(None).await?.iter().flat_map(|item| reachable(item, now)).collect())
    }

    /// Users whom the sweep has to look at: their leases have all expired, or an announcement is overdue.
    pub async fn due_users(&self) -> Result<Vec<UserId>, Failure> {
        let due = self.online_index(Some("#sweep <= :now")).await?;
        Ok(due.into_iter().map(|item| item.user).collect())
    }

    /// The items of users, in as few reads as there are hundreds of them, all at once.
    async fn users(&self, users: &[UserId]) -> Result<Vec<UserItem>, Failure> {
        let batches = users.chunks(BATCH).map(|batch| self.read(batch.iter().map(user_key)));
        Ok(try_join_all(batches).await?.iter().flatten().filter_map(UserItem::parse).collect())
    }

    /// The users in the index, or those of whom `condition` holds, from all shards at once.
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
