//! Who may connect, and what every later event of the connection will know of them.

use aws_lambda_events::apigw::ApiGatewayCustomAuthorizerRequestTypeRequest as AuthorizerRequest;
use edge::telemetry::observe;
use edge::token::{Claims, Verifier, bearer, context};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Map, Value, json};

/// The policy that lets the caller in, with their identity. API Gateway answers 401 to the error
/// `Unauthorized`, 500 to others.
pub(crate) async fn handle(
    verifier: &Verifier,
    event: LambdaEvent<AuthorizerRequest>,
) -> Result<Value, Diagnostic> {
    let request = event.payload;
    // Browsers cannot set headers on a WebSocket, so the query string comes first.
    let token = match request.query_string_parameters.first("token") {
        Some(token) => Ok(token),
        None => bearer(&request.headers),
    };
    let verified = observe("authorize", &event.context.request_id, async { verifier.verify(token?).await });
    match verified.await {
        Ok(claims) => Ok(allow(request.method_arn.as_deref().unwrap_or_default(), claims)),
        Err(error) if error.is_refusal() => Err(diagnostic("Unauthorized", "Unauthorized")),
        Err(_) => Err(diagnostic("Unavailable", "the token cannot be verified now")),
    }
}

/// Context values reach the other functions as strings; absent claims are left out.
fn allow(method_arn: &str, claims: Claims) -> Value {
    let mut said = Map::new();
    said.insert(context::USER_ID.to_owned(), claims.user_id.as_str().into());
    said.insert(context::TOKEN_EXPIRES_AT.to_owned(), claims.expires_at.into());
    let profile = claims.profile;
    let profile = [
        (context::NAME, profile.name.map(String::from)),
        (context::DISPLAY_NAME, profile.display_name.map(String::from)),
        (context::AVATAR_URL, profile.avatar_url.map(String::from)),
    ];
    said.extend(profile.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
    json!({
        "principalId": claims.user_id.as_str(),
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
