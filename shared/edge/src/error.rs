//! An error: what the client may read of it, and what only the log gets.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

use domain::{Failure, FailureKind};
use protocol::{Code, Refused};

/// Why a request fails.
#[derive(Debug)]
pub struct Error {
    /// The code on which the client branches.
    pub code: Code,
    /// The message for the developer of the client.
    pub message: Cow<'static, str>,
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether an `unauthenticated` request has no token at all, rather than one that is refused.
    pub token_is_missing: bool,
    /// Whether the connection is closed after this.
    pub ends_connection: bool,
    /// The cause, for the log.
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

    /// The request is malformed or breaks a limit; `message` says which field and why.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// There is no valid token; `message` says what is wrong with it, and repeats no part of it.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    /// There is no token.
    pub fn token_missing() -> Self {
        let error = Self::unauthenticated("the header Authorization: Bearer is missing");
        Self { token_is_missing: true, ..error }
    }

    /// The token was issued before the tokens of its user were revoked.
    pub fn token_revoked() -> Self {
        Self::unauthenticated("the token is revoked")
    }

    /// The token of the connection has expired since the connection opened.
    pub fn token_expired() -> Self {
        let error = Self::new(Code::TokenExpired, "the token has expired: connect again with a new one");
        Self { ends_connection: true, ..error }
    }

    /// The caller does not take part in the conversation. The same if there is no such conversation.
    pub fn not_a_participant() -> Self {
        Self::new(Code::Forbidden, "conversationId: no conversation of yours has this id")
    }

    /// The caller may not do this to what a field names; `message` says which field.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// The service cannot do this now. The same request may succeed later.
    pub fn unavailable() -> Self {
        Self::new(Code::Unavailable, "the service cannot do this now: try again")
    }

    /// Only owners of the conversation may do this.
    pub fn not_an_owner() -> Self {
        Self::new(Code::Forbidden, "conversationId: only its owners may do this")
    }

    /// The conversation of two takes nothing new: one of them has blocked the other, or is erased. The same
    /// to both.
    pub fn conversation_closed(field: &str) -> Self {
        Self::new(Code::Forbidden, format!("{field}: this conversation is closed"))
    }

    /// The connection has not joined the conversation.
    pub fn not_joined() -> Self {
        Self::new(Code::Forbidden, "conversationId: this connection has not joined it")
    }

    /// What a field names does not exist.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// The caller has exceeded a rate limit; `message` says which.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Code::RateLimited, message) }
    }

    /// The connection is closed for a newer one, since the user has too many. If its client connected again
    /// at once, that would close another one.
    pub fn too_many_connections(limit: usize) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(60);
        let message = format!("more than {limit} connections of this user: the oldest is closed");
        Self { ends_connection: true, ..Self::rate_limited(message, RETRY_AFTER) }
    }

    /// The lease of the connection is gone, so no push reaches it. The client has to connect again.
    pub fn connection_lost() -> Self {
        let error = Self::new(Code::Unavailable, "this connection is no longer known: connect again");
        Self { ends_connection: true, ..error }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = match failure.kind {
            FailureKind::Revoked => return Self::token_revoked(),
            FailureKind::Unavailable => Self::unavailable(),
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
    /// Whether the service is not at fault, so that there is no cause to log.
    pub fn is_refusal(&self) -> bool {
        self.cause.is_none()
    }

    /// The cause with its own causes, if the service is at fault. The message is left out: it may repeat what
    /// the client sent.
    pub fn cause_chain(&self) -> Option<String> {
        self.cause.as_ref().map(|cause| with_causes(&**cause))
    }
}

/// An error with its causes, for the log. A cause is left out if the text before it contains its text.
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failed {
        text: &'static str,
        source: Option<Box<Failed>>,
    }

    #[test]
    fn each_cause_is_there_once() {
        let caused_by = |text, source| Failed { text, source: Some(Box::new(source)) };
        let refused = Failed { text: "refused", source: None };
        let connecting = caused_by("connecting: refused", refused);
        assert_eq!(with_causes(&caused_by("no answer", connecting)), "no answer: connecting: refused");
    }
}
