//! A refusal: what the client may read, and apart from it what only the log gets.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

use domain::{Failure, FailureKind};
use protocol::{Code, Refused};

/// Why a request is not carried out.
#[derive(Debug)]
pub struct Error {
    /// What the client branches on.
    pub code: Code,
    /// What the client's developer reads.
    pub message: Cow<'static, str>,
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether there was no token at all, rather than one that is refused.
    pub token_is_missing: bool,
    /// Whether the connection is of no more use and is closed after this.
    pub ends_connection: bool,
    /// What really happened, for the log.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            token_is_missing: false,
            ends_connection: false,
            cause: None,
        }
    }

    /// The request cannot be understood or breaks a limit; `message` says which field and why.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// There is no valid token; `message` says what is wrong with it, without repeating any of it.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    /// There is no token where one has to be.
    pub fn token_missing() -> Self {
        let error = Self::unauthenticated("the header Authorization: Bearer is missing");
        Self { token_is_missing: true, ..error }
    }

    /// The token of the connection has expired since it opened.
    pub fn token_expired() -> Self {
        let error = Self::new(Code::TokenExpired, "the token has expired: connect again with a new one");
        Self { ends_connection: true, ..error }
    }

    /// The same whether the conversation exists or not.
    pub fn not_a_participant() -> Self {
        Self::new(Code::Forbidden, "conversationId: no conversation of yours has this id")
    }

    /// Only a connection that joined the conversation may do this.
    pub fn not_joined() -> Self {
        Self::new(Code::Forbidden, "conversationId: this connection has not joined it")
    }

    /// The thing that a field names does not exist.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// The caller has done enough of it for now; `message` says of what.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Code::RateLimited, message) }
    }

    /// The connection was the oldest of too many, and is closed for a newer one. To connect again at once
    /// would only close another.
    pub fn too_many_connections(limit: usize) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(60);
        let message = format!("more than {limit} connections of this user: the oldest is closed");
        Self { ends_connection: true, ..Self::rate_limited(message, RETRY_AFTER) }
    }

    /// The connection's lease is gone: nobody would reach it, so the client has to make a new one.
    pub fn connection_lost() -> Self {
        let error = Self::new(Code::Unavailable, "this connection is no longer known: connect again");
        Self { ends_connection: true, ..error }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = match failure.kind {
            FailureKind::Unavailable => {
                Self::new(Code::Unavailable, "the service cannot do this now: try again")
            }
            FailureKind::Unexpected => Self::new(Code::Internal, "the service made a mistake"),
        };
        Self { cause: Some(failure.into()), ..error }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::invalid_request(refused.0)
    }
}

impl Error {
    /// Whether it is the client's doing, so that the same request fails for ever.
    pub fn is_refusal(&self) -> bool {
        self.cause.is_none()
    }

    /// What really happened, if it is the service's doing. Messages are left out: they may repeat what the
    /// client sent.
    pub fn cause_chain(&self) -> Option<String> {
        let cause = self.cause.as_ref()?;
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(error) = source {
            chain.push_str(&format!(": {error}"));
            source = error.source();
        }
        Some(chain)
    }
}
