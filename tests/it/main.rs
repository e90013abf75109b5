//! The stories: people who chat through real sockets, real Lambda binaries, real Postgres and a real DynamoDB protocol server.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod harness;

mod connecting;
mod conversations;
mod frames;
mod killing;
mod migrating;
mod sending;
mod starting;
