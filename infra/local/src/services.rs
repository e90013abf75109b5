//! What the functions depend on, run on this machine.

pub(crate) mod dynamodb;
pub(crate) mod postgres;
