//! Lambda authorizers of payload format 2.0. The gateway caches their answers per identity.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::lambda::Lambda;
use crate::policy::Policy;
use crate::request::AUTHORIZER_TIMEOUT;
use crate::template::HttpAuthorizer;

/// The maximum number of cached answers.
const KEPT: usize = 1000;

/// The cached answers.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<Asked, (Instant, Decision)>>);

/// The name of an authorizer, and the identity.
type Asked = (String, Vec<String>);

/// The answer of an authorizer: the routes that it allows, and the context for their functions.
#[derive(Clone, Debug)]
struct Decision {
    allows: Allows,
    context: Value,
}

#[derive(Clone, Debug)]
enum Allows {
    All(bool),
    Some(Policy),
}

/// The question to an authorizer.
pub(super) struct Question<'a> {
    /// The name of the authorizer.
    pub(super) name: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: &'a [(String, String)],
    pub(super) route_arn: String,
    /// The event that the function of the route would get.
    pub(super) event: &'a Value,
}

impl Answers {
    /// The context for the function of the route, or the status of the refusal.
    pub(super) async fn ask(
        &self,
        lambda: &Lambda,
        authorizer: &HttpAuthorizer,
        question: Question<'_>,
    ) -> Result<Value, StatusCode> {
        let sources = &authorizer.asks.identity;
        let identity: Option<Vec<_>> =
            sources.iter().map(|source| source.value(question.headers, question.query)).collect();
        let identity = identity.ok_or(StatusCode::UNAUTHORIZED)?;
        let key = (question.name.to_owned(), identity);
        let counts = !authorizer.ttl.is_zero() && !sources.is_empty();
        let known = if counts { self.known(&key, authorizer) } else { None };
        let decision = match known {
            Some(decision) => decision,
            None => {
                let decision = decide(lambda, authorizer, &question, &key.1).await?;
                if counts {
                    self.keep(key, decision.clone());
                }
                decision
            }
        };
        let allowed = match &decision.allows {
            Allows::All(allowed) => *allowed,
            Allows::Some(policy) => policy.allows(&question.route_arn),
        };
        if allowed { Ok(decision.context) } else { Err(StatusCode::FORBIDDEN) }
    }

    fn known(&self, key: &Asked, authorizer: &HttpAuthorizer) -> Option<Decision> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, decision) = answers.get(key)?;
        (at.elapsed() < authorizer.ttl).then(|| decision.clone())
    }

    fn keep(&self, key: Asked, decision: Decision) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KEPT {
            // An answer that is dropped too early is only asked for again.
            answers.clear();
        }
        answers.insert(key, (Instant::now(), decision));
    }
}

async fn decide(
    lambda: &Lambda,
    authorizer: &HttpAuthorizer,
    question: &Question<'_>,
    identity: &[String],
) -> Result<Decision, StatusCode> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Simple {
        is_authorized: bool,
        #[serde(default)]
        context: Option<Map<String, Value>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WithPolicy {
        policy_document: Policy,
        #[serde(default)]
        context: Option<Map<String, Value>>,
    }
    const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

    let event = event(question, identity).to_string();
    let invoked = lambda.invoke(&authorizer.asks.function, event);
    let answer = timeout(AUTHORIZER_TIMEOUT, invoked).await.map_err(|_| FAILED)?.map_err(|_| FAILED)?;
    let (allows, context) = if authorizer.simple {
        let answer: Simple = serde_json::from_slice(&answer).map_err(|_| FAILED)?;
        (Allows::All(answer.is_authorized), answer.context)
    } else {
        let answer: WithPolicy = serde_json::from_slice(&answer).map_err(|_| FAILED)?;
        (Allows::Some(answer.policy_document), answer.context)
    };
    // Unchanged: unlike on a WebSocket API, numbers stay numbers.
    Ok(Decision { allows, context: context.map_or(Value::Null, Value::Object) })
}

/// The event for an authorizer, made from that of the route.
fn event(question: &Question<'_>, identity: &[String]) -> Value {
    let mut event = json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": question.route_arn,
        "identitySource": identity,
    });
    for name in [
        "routeKey",
        "rawPath",
        "rawQueryString",
        "cookies",
        "headers",
        "queryStringParameters",
        "requestContext",
        "pathParameters",
    ] {
        if let Some(value) = question.event.get(name) {
            event[name] = value.clone();
        }
    }
    event
}
