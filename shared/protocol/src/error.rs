//! Errors as clients get them. Programs branch on `code`; `message` is for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::FrameId;

/// The codes of errors. This list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is malformed or breaks a limit; the message names the field.
    InvalidRequest,
    /// There is no valid token.
    Unauthenticated,
    /// The token was valid when the connection opened, and has expired since.
    TokenExpired,
    /// The caller does not take part in the conversation, there is no such conversation, or this connection
    /// has not joined it.
    Forbidden,
    /// What the request names does not exist.
    NotFound,
    /// The caller has sent too many requests, or has too many connections.
    RateLimited,
    /// A dependency of the service is down, or this connection is not known any more; to try again may help.
    Unavailable,
    /// The service has made a mistake.
    Internal,
}

impl Code {
    /// The code as text, as serde writes it.
    // strum would be another derive macro for two methods: this one and `Role::as_str`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        match self {
            Self::RateLimited | Self::Unavailable => true,
            Self::InvalidRequest
            | Self::Unauthenticated
            | Self::TokenExpired
            | Self::Forbidden
            | Self::NotFound
            | Self::Internal => false,
        }
    }
}

/// An error as a frame: `{"type": "error", "id"?, "error": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "error")]
pub struct ErrorFrame {
    /// The `id` of the frame that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameId>,
    /// The error.
    pub error: ErrorDetail,
}

/// An error in a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
    /// Whether the same frame may succeed later.
    pub retryable: bool,
    /// When to send the frame again, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorFrame {
    /// The answer to the frame with this `id`.
    pub fn new(id: Option<FrameId>, code: Code, message: impl Into<String>) -> Self {
        let retryable = code.retryable();
        Self { id, error: ErrorDetail { code, message: message.into(), retryable, retry_after_ms: None } }
    }

    /// The same error, with the time to wait before a repeat.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.error.retry_after_ms = wait.as_millis().try_into().ok();
        self
    }
}

/// An error as the body of an HTTP response: `{"error": {"code", "message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: HttpErrorDetail,
}

/// An error over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HttpErrorDetail {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl ErrorBody {
    /// The body with this code and message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { error: HttpErrorDetail { code, message: message.into() } }
    }
}
