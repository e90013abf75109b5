//! Environment variables.
//!
//! What is configured has a `from_env` that reads its variables. `main` calls it, or the `from_env` of what
//! contains it; `main` itself reads the limits of its function. A variable that is set to the empty string
//! counts as unset.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A variable is missing or its value cannot be used; the message names it.
#[derive(PartialEq, Eq, thiserror::Error)]
pub enum Misconfigured {
    /// It has to be set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Its value cannot be used.
    #[error("the environment variable {0} {1}")]
    Invalid(&'static str, String),
}

/// The message: it is what a person sees whose function does not start, since `main` returns it.
impl fmt::Debug for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a variable that has to be set.
///
/// # Errors
///
/// The variable is not set.
pub fn required(name: &'static str) -> Result<String, Misconfigured> {
    optional(name).ok_or(Misconfigured::Missing(name))
}

/// The value of a variable that may be set.
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variable with the URL at which a backend is told what happens. Without it nobody is told.
pub const EVENTS_URL: &str = "EVENTS_URL";

/// The value of a variable as a `T`, or `default` if it is not set.
///
/// # Errors
///
/// The value is not a `T`.
pub fn parsed_or<T: FromStr<Err: Display>>(name: &'static str, default: T) -> Result<T, Misconfigured> {
    match optional(name) {
        None => Ok(default),
        Some(value) => {
            value.parse().map_err(|error| Misconfigured::Invalid(name, format!("cannot be read: {error}")))
        }
    }
}
