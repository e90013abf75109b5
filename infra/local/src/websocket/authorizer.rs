//! The Lambda authorizer: who may open a connection.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Inner;
use super::event::Event;
use crate::lambda::InvokeError;

/// API Gateway's quota.
const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(10);

/// What an authorizer answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    principal_id: String,
    policy_document: Policy,
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    statement: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    resource: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Inner {
    /// What later events carry as `authorizer`, or the status that the handshake ends with.
    pub(super) async fn authorize(
        &self,
        function: &str,
        event: Event,
    ) -> Result<Map<String, Value>, StatusCode> {
        let invoked = self.lambda.invoke(function, event.payload.to_string().into());
        let answer = match timeout(AUTHORIZER_TIMEOUT, invoked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(InvokeError::Function(error))) if is_unauthorized(&error) => {
                return Err(StatusCode::UNAUTHORIZED);
            }
            Ok(Err(_)) | Err(_) => return Err(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        if !allows(&answer.policy_document, &self.connect_arn()) {
            return Err(StatusCode::FORBIDDEN);
        }
        let mut context = Map::new();
        for (name, value) in answer.context.unwrap_or_default() {
            context.insert(name, as_text(value).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?);
        }
        context.insert("principalId".to_owned(), answer.principal_id.into());
        Ok(context)
    }
}

/// API Gateway looks for this very message.
fn is_unauthorized(error: &[u8]) -> bool {
    let error: Value = serde_json::from_slice(error).unwrap_or_default();
    error["errorMessage"] == "Unauthorized"
}

/// A deny beats an allow, and nothing is allowed that no statement allows.
fn allows(policy: &Policy, arn: &str) -> bool {
    let effects = |wanted: &str| {
        policy.statement.iter().any(|statement| {
            statement.effect == wanted
                && match &statement.resource {
                    OneOrMany::One(resource) => matches(resource, arn),
                    OneOrMany::Many(resources) => resources.iter().any(|resource| matches(resource, arn)),
                }
        })
    };
    effects("Allow") && !effects("Deny")
}

/// IAM's wildcards: `*` for any text, `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }
        Some(wanted) => match text.chars().next() {
            Some(found) if wanted == '?' || wanted == found => {
                matches(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
            }
            _ => false,
        },
    }
}

/// Strings, numbers and booleans reach the functions as strings; objects and lists are invalid.
fn as_text(value: Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(statements: &[(&str, &str)]) -> Policy {
        let statement = statements
            .iter()
            .map(|(effect, resource)| Statement {
                effect: (*effect).to_owned(),
                resource: OneOrMany::One((*resource).to_owned()),
            })
            .collect();
        Policy { statement }
    }

    const ARN: &str = "arn:aws:execute-api:us-east-1:1:api/v1/$connect";

    #[test]
    fn a_policy_allows_what_it_names() {
        assert!(allows(&policy(&[("Allow", ARN)]), ARN));
        assert!(allows(&policy(&[("Allow", "arn:aws:execute-api:*:api/v?/*")]), ARN));
        assert!(!allows(&policy(&[("Allow", "arn:aws:execute-api:us-east-1:1:api/v1/*/*")]), ARN));
        assert!(!allows(&policy(&[]), ARN));
    }

    #[test]
    fn a_deny_beats_an_allow() {
        assert!(!allows(&policy(&[("Allow", "*"), ("Deny", ARN)]), ARN));
    }
}
