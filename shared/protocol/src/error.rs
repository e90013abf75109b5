//! How a refusal is told. Clients branch on `code`; `message` is for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::FrameId;

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be understood or breaks a limit; the message names the field.
    InvalidRequest,
    /// There is no valid token.
    Unauthenticated,
    /// The token was valid when the connection opened and no longer is.
    TokenExpired,
    /// The caller takes no part in that conversation, or it does not exist: no telling which.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// Too many requests.
    RateLimited,
    /// Something the service needs is down; trying again may help.
    Unavailable,
    /// A mistake of the service.
    Internal,
}

impl Code {
    /// As it is written.
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

/// `{"type": "error", "id"?, "error": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "error")]
pub struct ErrorFrame {
    /// The `id` of the frame that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameId>,
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong, in a frame.
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
    /// When to try again, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorFrame {
    /// The answer to the frame `id`.
    pub fn new(id: Option<FrameId>, code: Code, message: impl Into<String>) -> Self {
        let retryable = code.retryable();
        Self { id, error: ErrorDetail { code, message: message.into(), retryable, retry_after_ms: None } }
    }

    /// The same, and when to try again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.error.retry_after_ms = wait.as_millis().try_into().ok();
        self
    }
}

/// `{"error": {"code", "message"}}`, the body of an HTTP error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// What is wrong.
    pub error: HttpErrorDetail,
}

/// What is wrong, over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HttpErrorDetail {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl ErrorBody {
    /// The body that says `code` and `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { error: HttpErrorDetail { code, message: message.into() } }
    }
}
