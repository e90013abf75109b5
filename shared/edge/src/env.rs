//! Environment variables, read in `main` only. One that is set to the empty string counts as unset.

use std::str::FromStr;

use aws::{SdkConfig, Secret};

/// A variable is missing or makes no sense; the message names it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misconfigured {
    /// It has to be set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Its value cannot be used.
    #[error("the environment variable {0} {1}")]
    Invalid(&'static str, String),
}

/// A variable that has to be set.
pub fn required(name: &'static str) -> Result<String, Misconfigured> {
    optional(name).ok_or(Misconfigured::Missing(name))
}

/// A variable that has to hold a secret, or the ARN of where Secrets Manager keeps it.
pub fn secret(name: &'static str, sdk: &SdkConfig) -> Result<Secret, Misconfigured> {
    Ok(Secret::new(sdk, required(name)?))
}

/// A variable that may be set.
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that is read as a `T`, or `default` if it is not set.
pub fn parsed_or<T: FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    default: T,
) -> Result<T, Misconfigured> {
    match optional(name) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|error: T::Err| Misconfigured::Invalid(name, format!("cannot be read: {error}"))),
    }
}
