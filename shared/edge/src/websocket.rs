//! The events of the WebSocket API: who is calling, what they sent, and how they are answered.
//!
//! An answer is the function's return value, which API Gateway hands to the client as the route response.
//! Only two things go over the callback: the last frames of a connection, since nothing can be returned to
//! one that is closed first, and what is wrong with a frame of a route that has no answer.

use std::convert::Infallible;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use aws_lambda_events::encodings::Body;
use domain::{AvatarUrl, ConnectionId, DisplayName, Invalid, Name, Profile, Timestamp, UserId};
use lambda_runtime::{LambdaEvent, service_fn};
use protocol::{Answer, AnyFrame, Code, ErrorFrame, Event, FrameId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::telemetry::{Invocation, observe};
use crate::token::context;

/// Whose connection an event is about, as the authorizer said when it opened.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// When the token expires that the connection was opened with.
    pub token_expires_at: Timestamp,
}

/// Serves a route of frames: reads each as a `T`, and answers it with the event that `handle` gives.
///
/// `hang_up` sends a connection its last frames and closes it.
pub async fn run_frames<T: DeserializeOwned>(
    handle: impl AsyncFn(&Caller, T) -> Result<Event, Error>,
    hang_up: impl AsyncFn(&ConnectionId, Vec<String>),
) -> Result<(), lambda_runtime::Error> {
    let (handle, hang_up) = (&handle, &hang_up);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| async move {
        // In a box: with all the calls that it makes it is large, and the runtime's layers would move it
        // each.
        let (id, answer, caller) = Box::pin(answer(event, handle)).await?;
        match answer {
            Ok(event) => respond(&Answer { id, event }),
            Err(error) => {
                // What was done is the answer to the frame, and then the error is nobody's.
                let frame = refusal(id.clone().filter(|_| error.after.is_none()), &error);
                let done = error.after.map(|event| Answer { id, event: *event });
                if !error.ends_connection {
                    return respond(&frame);
                }
                let done = done.map(|answer| serde_json::to_string(&answer)).transpose()?;
                let frames = done.into_iter().chain([serde_json::to_string(&frame)?]).collect();
                hang_up(&caller.connection_id, frames).await;
                Ok(accepted())
            }
        }
    }))
    .await
}

/// What a client reads of an error.
fn refusal(id: Option<FrameId>, error: &Error) -> ErrorFrame {
    let frame = ErrorFrame::new(id, error.code, error.message.clone());
    match error.retry_after {
        Some(wait) => frame.retry_after(wait),
        None => frame,
    }
}

/// The frame that tells a connection why it is closed.
pub fn last_frame(error: &Error) -> String {
    serde_json::to_string(&refusal(None, error)).expect("an error is made of strings and numbers")
}

/// Serves a route whose frames are not answered. What is wrong with one is told over the callback: `post`
/// sends a connection a frame, `hang_up` its last one.
pub async fn run_one_way<T: DeserializeOwned>(
    handle: impl AsyncFn(&Caller, T) -> Result<(), Error>,
    post: impl AsyncFn(&ConnectionId, String),
    hang_up: impl AsyncFn(&ConnectionId, Vec<String>),
) -> Result<(), lambda_runtime::Error> {
    let (handle, post, hang_up) = (&handle, &post, &hang_up);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| async move {
        let (id, done, caller) = answer(event, handle).await?;
        if let Err(error) = done {
            let frame = serde_json::to_string(&refusal(id, &error))?;
            match error.ends_connection {
                true => hang_up(&caller.connection_id, vec![frame]).await,
                false => post(&caller.connection_id, frame).await,
            }
        }
        Ok::<_, lambda_runtime::Error>(accepted())
    }))
    .await
}

/// Serves the route of the frames that no other route takes: each is answered with an error, and nothing else
/// happens.
///
/// It has no effect that an expired token could have, so it does not close the connection; the next frame
/// with one does.
pub async fn run_unrouted(refuse: impl Fn(AnyFrame) -> Error) -> Result<(), lambda_runtime::Error> {
    let refuse = &refuse;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| async move {
        let (event, request_id) = (event.payload, event.context.request_id);
        let (id, frame) = protocol::read_frame(event.body.as_deref().unwrap_or_default());
        let refused = async { Err::<Infallible, _>(frame.map_or_else(Error::from, refuse)) };
        match observe(invocation(&event, &request_id), refused).await {
            Ok(never) => match never {},
            Err(error) => respond(&refusal(id, &error)),
        }
    }))
    .await
}

/// Serves `$connect`: an error refuses the connection.
pub async fn run_connect(
    handle: impl AsyncFn(&Caller, Profile) -> Result<(), Error>,
) -> Result<(), lambda_runtime::Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| async move {
        let (event, request_id) = (event.payload, event.context.request_id);
        let (caller, profile) = (caller(&event)?, profile(&event)?);
        let status = match observe(invocation(&event, &request_id), handle(&caller, profile)).await {
            Ok(()) => 200,
            Err(error) => crate::http::status(error.code).as_u16(),
        };
        Ok::<_, lambda_runtime::Error>(response(status.into(), None))
    }))
    .await
}

/// Serves `$disconnect`. Its answer goes nowhere. A mistake of ours makes Lambda count the event as failed; a
/// dependency that is down does not: the sweep does the work then.
pub async fn run_disconnect(
    handle: impl AsyncFn(&Caller) -> Result<(), Error>,
) -> Result<(), lambda_runtime::Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| async move {
        let (event, request_id) = (event.payload, event.context.request_id);
        let caller = caller(&event)?;
        observe(invocation(&event, &request_id), handle(&caller))
            .await
            .or_else(|error| if error.code == Code::Internal { Err(error) } else { Ok(()) })
            .map_err(|_| format!("the disconnect of {} was not carried out", caller.connection_id))?;
        Ok::<_, lambda_runtime::Error>(accepted())
    }))
    .await
}

/// Reads a frame and has it handled: its id, what came of it, and whose it was.
async fn answer<T: DeserializeOwned, A>(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    handle: &impl AsyncFn(&Caller, T) -> Result<A, Error>,
) -> Result<(Option<FrameId>, Result<A, Error>, Caller), Unexpected> {
    let (event, request_id) = (event.payload, event.context.request_id);
    let caller = caller(&event)?;
    let (id, frame) = protocol::read_frame(event.body.as_deref().unwrap_or_default());
    let work = async {
        // Without leeway: that is for clocks that differ, and this connection's time has been running since
        // it was verified.
        if caller.token_expires_at <= Timestamp::now_utc() {
            return Err(Error::token_expired());
        }
        handle(&caller, frame?).await
    };
    let answer = observe(invocation(&event, &request_id), work).await;
    Ok((id, answer, caller))
}

/// The event lacks what API Gateway and the authorizer put into every event: the route is misconfigured.
#[derive(Debug, thiserror::Error)]
pub enum Unexpected {
    /// It is not there.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// It is there, but not what it should be.
    #[error("the event's {0} {1}")]
    Invalid(&'static str, Invalid),
}

fn invocation<'a>(event: &'a ApiGatewayWebsocketProxyRequest, request_id: &'a str) -> Invocation<'a> {
    let context = &event.request_context;
    Invocation {
        route: context.route_key.as_deref().unwrap_or("?"),
        request_id,
        connection: context.connection_id.as_deref(),
    }
}

/// Whose connection an event is about.
pub fn caller(event: &ApiGatewayWebsocketProxyRequest) -> Result<Caller, Unexpected> {
    // The principal is all that `$disconnect` is sure to carry.
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

/// What the authorizer said of the user of a connection that opens.
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

/// A token whose end is not known has ended.
fn token_expires_at(event: &ApiGatewayWebsocketProxyRequest) -> Timestamp {
    let seconds = field(event, context::TOKEN_EXPIRES_AT).and_then(|seconds| seconds.parse().ok());
    seconds.and_then(|seconds| Timestamp::from_unix_timestamp(seconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn field<'a>(event: &'a ApiGatewayWebsocketProxyRequest, name: &str) -> Option<&'a str> {
    event.request_context.authorizer.fields.get(name).and_then(Value::as_str)
}

fn respond(frame: &impl serde::Serialize) -> Result<ApiGatewayProxyResponse, lambda_runtime::Error> {
    Ok(response(200, Some(serde_json::to_string(frame)?)))
}

fn accepted() -> ApiGatewayProxyResponse {
    response(200, None)
}

fn response(status_code: i64, body: Option<String>) -> ApiGatewayProxyResponse {
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status_code;
    response.body = body.map(Body::Text);
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What may stand in a field of the context: mostly text, since an authorizer gives no other.
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
            // What is no such event at all never comes to us.
            let Ok(event) = serde_json::from_value::<ApiGatewayWebsocketProxyRequest>(event) else { return Ok(()) };
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
