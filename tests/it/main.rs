//! The stories: people who chat through real sockets, real Lambda binaries, real Postgres and a real DynamoDB
//! protocol server.
//!
//! They start in the order of their names. So those that wait for a minute should not be among the last.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod people;
mod queue;
mod stand_ins;

mod as_on_aws;
mod authorizing;
mod backends;
mod blocking;
mod by_hand;
mod catching_up;
mod changing;
mod connecting;
mod conversations;
mod costs;
mod databases;
mod documents;
mod erasing;
mod examples;
mod faults;
mod frames;
mod gateway;
mod groups;
mod killing;
mod limits;
mod listing;
mod logging;
mod migrating;
mod outages;
mod permissions;
mod presence;
mod pushing;
mod racing;
mod reading;
mod repeating;
mod retaining;
mod rooms;
mod sending;
mod starting;
mod telling;
mod typing;
