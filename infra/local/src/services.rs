//! The services that the functions need.

pub(crate) mod dynamodb;
pub(crate) mod postgres;
