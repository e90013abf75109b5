//! IAM policies of authorizers: which ARNs may be invoked.

use serde::Deserialize;
use wildmatch::WildMatch;

/// The action that a policy has to allow.
const INVOKE: &str = "execute-api:Invoke";

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    statement: OneOrMany<Statement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Policy {
    /// Whether the policy allows `arn` to be invoked. A deny overrides an allow, and the default is to deny.
    pub(crate) fn allows(&self, arn: &str) -> bool {
        let says = |effect| {
            self.statement.as_slice().iter().any(|statement| {
                statement.effect == effect
                    // Actions are case-insensitive, resources are not.
                    && statement.action.as_slice().iter().any(|action| {
                        matches(&action.to_ascii_lowercase(), &INVOKE.to_ascii_lowercase())
                    })
                    && statement.resource.as_slice().iter().any(|resource| matches(resource, arn))
            })
        };
        says(Effect::Allow) && !says(Effect::Deny)
    }
}

/// Whether a text matches a pattern with IAM's wildcards: `*` for any text, `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:1:api/v1/$connect";

    fn allows(statements: serde_json::Value) -> bool {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        serde_json::from_value::<Policy>(policy).unwrap().allows(ARN)
    }

    fn statement(effect: &str, resource: &str) -> serde_json::Value {
        json!({ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource })
    }

    #[test]
    fn a_policy_allows_what_it_names() {
        assert!(allows(json!([statement("Allow", ARN)])));
        assert!(allows(statement("Allow", "arn:aws:execute-api:*:api/v?/*")));
        assert!(!allows(json!([statement("Allow", "arn:aws:execute-api:us-east-1:1:api/v1/*/*")])));
        assert!(!allows(json!([])));
    }

    #[test]
    fn another_action_allows_nothing() {
        let allow = |action: &str| json!({ "Effect": "Allow", "Action": [action], "Resource": [ARN] });
        assert!(allows(allow("execute-api:*")));
        assert!(allows(allow("*")));
        assert!(!allows(allow("execute-api:ManageConnections")));
    }

    #[test]
    fn a_deny_beats_an_allow() {
        assert!(!allows(json!([statement("Allow", "*"), statement("Deny", ARN)])));
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(40), &"a".repeat(30)));
    }
}
