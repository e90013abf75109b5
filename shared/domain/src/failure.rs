//! A failed call to a dependency.

use std::error::Error;
use std::fmt;

/// A failed call: what failed, and why. The cause goes to the log only; a client learns the kind.
#[derive(Debug, thiserror::Error)]
#[error("{dependency} is {kind}")]
pub struct Failure {
    /// The dependency that failed.
    pub dependency: Dependency,
    /// Whether to try again may help.
    pub kind: FailureKind,
    /// The error of the dependency.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

/// A service that a function needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The database of users, conversations and messages.
    Postgres,
    /// The table of connections.
    DynamoDb,
    /// The host of the public keys of an identity provider.
    Jwks,
    /// The service that keeps secrets.
    SecretsManager,
    /// The connection callbacks of API Gateway.
    Callbacks,
    /// The Invoke API of Lambda.
    Lambda,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The dependency is down, slow or throttling: the same call may succeed later.
    Unavailable,
    /// The dependency refused the call, and will refuse it again: a mistake of ours.
    Unexpected,
    /// The token of the caller is revoked, so nothing is done for them.
    Revoked,
}

impl Failure {
    /// A failure after which the same call may succeed later.
    pub fn unavailable(dependency: Dependency, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { dependency, kind: FailureKind::Unavailable, cause: cause.into() }
    }

    /// The refusal of a revoked token.
    pub fn revoked(dependency: Dependency) -> Self {
        Self { dependency, kind: FailureKind::Revoked, cause: "the token is revoked".into() }
    }

    /// A failure that a repeat does not mend.
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
            Self::Callbacks => "the connection callback",
            Self::Lambda => "Lambda",
        })
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "unavailable",
            Self::Unexpected => "not answering as it should",
            Self::Revoked => "refusing a revoked token",
        })
    }
}
