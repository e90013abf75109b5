//! Why an event was not sent.

use domain::Failure;
use environment::Misconfigured;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum NotSent {
    #[error("the type of the event is unknown")]
    UnknownType,
    #[error("the event has no subject")]
    NoSubject,
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    #[error("the receiver answers {0}")]
    Refused(u16),
    #[error("the receiver takes too long")]
    TimedOut,
    #[error("the receiver cannot be reached")]
    Unreachable(#[source] reqwest::Error),
}
