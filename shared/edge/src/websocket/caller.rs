//! The user and the connection that an event comes from.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use domain::{AvatarUrl, ConnectionId, DisplayName, Invalid, Name, Profile, Timestamp, UserId};
use serde_json::Value;

use crate::token::context;

/// The user and the connection that an event comes from, as the authorizer context names them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// When the token expires that the connection was opened with.
    pub token_expires_at: Timestamp,
}

/// The event lacks what API Gateway and the authorizer put into every event: the route is misconfigured.
#[derive(Debug, thiserror::Error)]
pub enum Unexpected {
    /// The field is missing.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// The value of the field is invalid.
    #[error("the event's {0} {1}")]
    Invalid(&'static str, Invalid),
}

/// Reads the caller of an event.
///
/// # Errors
///
/// The event names no user or no connection.
pub fn caller(event: &ApiGatewayWebsocketProxyRequest) -> Result<Caller, Unexpected> {
    // The principal is the only field that every `$disconnect` has.
    let user_id = field(event, context::PRINCIPAL_ID).ok_or(Unexpected::Missing("principalId"))?;
    let connection_id =
        event.request_context.connection_id.as_deref().ok_or(Unexpected::Missing("connectionId"))?;
    Ok(Caller {
        user_id: UserId::parse(user_id).map_err(|reason| Unexpected::Invalid("principalId", reason))?,
        connection_id: ConnectionId::parse(connection_id)
            .map_err(|reason| Unexpected::Invalid("connectionId", reason))?,
        token_expires_at: token_expires_at(event),
    })
}

/// Reads the profile that the authorizer found in the token of a connection that opens.
///
/// # Errors
///
/// A field of the profile breaks its limits.
pub fn profile(event: &ApiGatewayWebsocketProxyRequest) -> Result<Profile, Unexpected> {
    let said = |name| field(event, name);
    Ok(Profile {
        name: said(context::NAME)
            .map(Name::parse)
            .transpose()
            .map_err(|reason| Unexpected::Invalid(context::NAME, reason))?,
        display_name: said(context::DISPLAY_NAME)
            .map(DisplayName::parse)
            .transpose()
            .map_err(|reason| Unexpected::Invalid(context::DISPLAY_NAME, reason))?,
        avatar_url: said(context::AVATAR_URL)
            .map(AvatarUrl::parse)
            .transpose()
            .map_err(|reason| Unexpected::Invalid(context::AVATAR_URL, reason))?,
    })
}

/// A token without a known expiry counts as expired.
fn token_expires_at(event: &ApiGatewayWebsocketProxyRequest) -> Timestamp {
    let seconds = field(event, context::TOKEN_EXPIRES_AT).and_then(|seconds| seconds.parse().ok());
    seconds.and_then(|seconds| Timestamp::from_unix_timestamp(seconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When the token of a connection that opens was issued.
pub fn issued_at(event: &ApiGatewayWebsocketProxyRequest) -> Option<i64> {
    field(event, context::TOKEN_ISSUED_AT)?.parse().ok()
}

fn field<'a>(event: &'a ApiGatewayWebsocketProxyRequest, name: &str) -> Option<&'a str> {
    event.request_context.authorizer.fields.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Values of a context field: mostly strings, since an authorizer returns no others.
    fn said() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            "[a-zA-Z0-9_=-]{1,200}".prop_map(Value::from),
            "https://[a-z./ ]{0,40}".prop_map(Value::from),
            "-?[0-9]{1,25}".prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(Value::Null),
            Just(json!({ "nested": [true] })),
        ]
    }

    proptest! {
        #[test]
        fn what_an_event_says_is_taken_as_it_is_or_refused(
            (user, expiry, connection) in (said(), said(), said()),
            (name, display_name, avatar) in (said(), said(), said()),
        ) {
            let authorizer = json!({
                context::PRINCIPAL_ID: user,
                context::TOKEN_EXPIRES_AT: expiry,
                context::NAME: name,
                context::DISPLAY_NAME: display_name,
                context::AVATAR_URL: avatar,
            });
            let event = json!({ "requestContext": { "authorizer": authorizer, "connectionId": connection } });
            // The runtime refuses an event that cannot be deserialized.
            let Ok(event) = serde_json::from_value::<ApiGatewayWebsocketProxyRequest>(event) else {
                return Ok(());
            };
            if let Ok(caller) = caller(&event) {
                prop_assert_eq!(Some(caller.user_id.as_str()), user.as_str());
                prop_assert_eq!(Some(caller.connection_id.as_str()), connection.as_str());
            }
            if let Ok(profile) = profile(&event) {
                prop_assert_eq!(profile.name.as_ref().map(|name| name.as_str()), name.as_str());
                prop_assert_eq!(profile.avatar_url.as_ref().map(|url| url.as_str()), avatar.as_str());
            }
        }
    }
}
