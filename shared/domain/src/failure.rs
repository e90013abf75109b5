//! A dependency that did not do what it was asked.

use std::error::Error;
use std::fmt;

/// What failed, and why. The cause is for the log alone; a client learns no more than the kind.
#[derive(Debug, thiserror::Error)]
#[error("{dependency} is {kind}")]
pub struct Failure {
    /// What failed.
    pub dependency: Dependency,
    /// Whether trying again may help.
    pub kind: FailureKind,
    /// What it said.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

/// Something outside that a function needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The database of users, conversations and messages.
    Postgres,
    /// The table of connections.
    DynamoDb,
    /// The host of the keys that tokens are signed with.
    Jwks,
    /// Where secrets are kept.
    SecretsManager,
}

/// How it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It is down, slow or throttling: the same request may succeed later.
    Unavailable,
    /// It answered with an error that no repeat will mend: a mistake of ours.
    Unexpected,
}

impl Failure {
    /// A failure that may pass by itself.
    pub fn unavailable(dependency: Dependency, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { dependency, kind: FailureKind::Unavailable, cause: cause.into() }
    }

    /// A failure that will not pass by itself.
    pub fn unexpected(dependency: Dependency, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { dependency, kind: FailureKind::Unexpected, cause: cause.into() }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "Postgres",
            Self::DynamoDb => "DynamoDB",
            Self::Jwks => "the JWKS host",
            Self::SecretsManager => "Secrets Manager",
        })
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "unavailable",
            Self::Unexpected => "not answering as it should",
        })
    }
}
