//! The Lambda authorizer of `$connect`.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Inner;
use super::event::Event;
use super::handshake::Refusal;
use crate::lambda::InvokeError;
use crate::policy::Policy;
use crate::request::AUTHORIZER_TIMEOUT;

/// The maximum length of an authorizer's result in bytes (API Gateway quota).
const MAX_ANSWER: usize = 8 * 1024;

/// The result of an authorizer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    principal_id: String,
    policy_document: Policy,
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

impl Inner {
    /// The authorizer context of later events, or why the handshake is refused.
    pub(super) async fn authorize(
        &self,
        function: &str,
        event: Event,
    ) -> Result<Map<String, Value>, Refusal> {
        let invoked = self.lambda.invoke(function, event.payload.to_string());
        let answer = match timeout(AUTHORIZER_TIMEOUT, invoked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(InvokeError::Function(error))) if is_unauthorized(&error) => {
                return Err(StatusCode::UNAUTHORIZED.into());
            }
            Ok(Err(_)) | Err(_) => return Err(MISCONFIGURED),
        };
        if answer.len() > MAX_ANSWER {
            return Err(MISCONFIGURED);
        }
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| MISCONFIGURED)?;
        if !answer.policy_document.allows(&self.connect_arn()) {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let mut context = Map::new();
        for (name, value) in answer.context.unwrap_or_default() {
            context.insert(name, as_text(value).ok_or(MISCONFIGURED)?);
        }
        context.insert("principalId".to_owned(), answer.principal_id.into());
        Ok(context)
    }
}

/// The authorizer has failed, whatever the client sent.
const MISCONFIGURED: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    error_type: Some("AuthorizerConfigurationException"),
};

/// API Gateway compares with this message.
fn is_unauthorized(error: &[u8]) -> bool {
    let error: Value = serde_json::from_slice(error).unwrap_or_default();
    error["errorMessage"] == "Unauthorized"
}

/// Strings, numbers and booleans become strings; objects and lists are invalid.
fn as_text(value: Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
