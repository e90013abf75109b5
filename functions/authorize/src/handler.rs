//! Decides whether a client may connect. The context that it returns is part of later events of the
//! connection.

use std::collections::HashMap;

use domain::Identity;
use edge::telemetry::{Invocation, observe};
use edge::token::{Claims, Verifier, Verify, bearer, context};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The fields of the event that are read here. The type in `aws_lambda_events` lacks the connection id.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    method_arn: String,
    headers: Option<HashMap<String, String>>,
    query_string_parameters: Option<HashMap<String, String>>,
    request_context: Connection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    connection_id: Option<String>,
}

/// The policy that allows the caller to connect, and the context. API Gateway answers the error
/// `Unauthorized` with 401, and other errors with 500.
pub(crate) async fn handle(verifier: &Verifier, event: LambdaEvent<Asked>) -> Result<Value, Diagnostic> {
    let asked = event.payload;
    let invocation = Invocation {
        route: "authorize",
        request_id: &event.context.request_id,
        connection: asked.request_context.connection_id.as_deref(),
    };
    let verified = observe(invocation, async {
        // Browsers cannot set headers on a WebSocket, so the query string takes precedence.
        let in_query = asked.query_string_parameters.as_ref().and_then(|parameters| parameters.get("token"));
        let token = match in_query {
            Some(token) => Ok(token.as_str()),
            None => bearer(asked.headers.as_ref().and_then(authorization)),
        };
        verifier.verify(token).await.inspect_err(|error| {
            // Lambda counts both as errors, so alarms use these metrics instead.
            match error.is_refusal() {
                true => tracing::trace!(target: "measured", tokens_refused = 1_u64),
                false => tracing::trace!(target: "measured", tokens_unverified = 1_u64),
            }
        })
    });
    match verified.await {
        Ok(claims) => Ok(allow(&asked.method_arn, claims)),
        Err(error) if error.is_refusal() => Err(diagnostic("Unauthorized", "Unauthorized")),
        Err(_) => Err(diagnostic("Unavailable", "the token cannot be verified now")),
    }
}

fn authorization(headers: &HashMap<String, String>) -> Option<&str> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    found.map(|(_, value)| value.as_str())
}

/// Context values reach the other functions as strings. Absent claims are left out.
fn allow(method_arn: &str, claims: Claims) -> Value {
    let mut said = Map::new();
    let Identity { user_id, issued_at } = claims.identity;
    said.insert(context::USER_ID.to_owned(), user_id.as_str().into());
    said.insert(context::TOKEN_EXPIRES_AT.to_owned(), claims.expires_at.into());
    said.extend(issued_at.map(|seconds| (context::TOKEN_ISSUED_AT.to_owned(), seconds.into())));
    let profile = claims.profile;
    let profile = [
        (context::NAME, profile.name.map(String::from)),
        (context::DISPLAY_NAME, profile.display_name.map(String::from)),
        (context::AVATAR_URL, profile.avatar_url.map(String::from)),
    ];
    said.extend(profile.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    json!({
        "principalId": user_id.as_str(),
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow", "Resource": method_arn }],
        },
        "context": said,
    })
}

fn diagnostic(error_type: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: message.to_owned() }
}
