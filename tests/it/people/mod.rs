//! The people in the stories, and the clients that they use.

mod client;
mod user;

pub(crate) use client::{Client, Frame};
pub(crate) use user::{ISSUER, Pair, User, pair};
