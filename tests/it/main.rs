//! The stories: people who chat through real sockets, real Lambda binaries, real Postgres and a real DynamoDB protocol server.

mod harness;

mod connecting;
mod conversations;
mod frames;
mod killing;
mod migrating;
mod sending;
mod starting;
