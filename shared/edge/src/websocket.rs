//! The events of the WebSocket API.
//!
//! A function returns its answer, and API Gateway hands it to the client as the route response. Two kinds of
//! frames go over the connection callbacks instead: the last frames of a connection, since it is closed
//! before anything can be returned; and errors on a route that has no route response.

mod caller;
mod reply;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use domain::{Identity, Profile, Timestamp};
use lambda_runtime::{LambdaEvent, service_fn};
use protocol::{Answer, AnyFrame, Code};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::telemetry::{Failed, Invocation, observe};

pub use caller::{Caller, Unexpected, caller, issued_at, profile};
pub use reply::{Callbacks, Closing, Reply, dismiss};
use reply::{hang_up, json, refusal, response};

/// Serves a route of frames: reads each as a `T`, and answers it with the reply of `handle`.
///
/// # Errors
///
/// The Runtime API of Lambda cannot be reached.
pub async fn serve<T: DeserializeOwned>(
    callbacks: &impl Callbacks,
    handle: impl AsyncFn(&Caller, T) -> Result<Reply, Error>,
) -> Result<(), lambda_runtime::Error> {
    serve_frames(Answers::AreReturned, callbacks, handle).await
}

/// Serves a route of frames that has no route response: replies and errors are posted.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_one_way<T: DeserializeOwned>(
    callbacks: &impl Callbacks,
    handle: impl AsyncFn(&Caller, T) -> Result<Reply, Error>,
) -> Result<(), lambda_runtime::Error> {
    serve_frames(Answers::ArePosted, callbacks, handle).await
}

/// How a route answers a connection that stays open.
#[derive(Clone, Copy)]
enum Answers {
    AreReturned,
    ArePosted,
}

async fn serve_frames<T: DeserializeOwned>(
    answers: Answers,
    callbacks: &impl Callbacks,
    handle: impl AsyncFn(&Caller, T) -> Result<Reply, Error>,
) -> Result<(), lambda_runtime::Error> {
    run(async |received| {
        let caller = caller(&received.event)?;
        let connection = &caller.connection_id;
        let (id, frame) = protocol::read_frame(received.body());
        let replied = received.observe(async {
            // Unlike at the handshake there is no leeway: it is for clocks that differ when a token is new.
            match caller.token_expires_at <= Timestamp::now_utc() {
                true => Err(Error::token_expired()),
                false => handle(&caller, frame?).await,
            }
        });
        let (frame, ends) = match replied.await {
            Ok(Reply::Silent) => return Ok(response(200, None)),
            Ok(Reply::Event(event)) => (json(&Answer { id, event }), false),
            Ok(Reply::Last(event)) => {
                // The event answers the frame, so the error carries no id.
                let farewell = json(&refusal(None, &Error::connection_lost()));
                hang_up(callbacks, connection, vec![json(&Answer { id, event }), farewell]).await;
                return Ok(response(200, None));
            }
            Err(error) => (json(&refusal(id, &error)), error.ends_connection),
        };
        match answers {
            _ if ends => {
                hang_up(callbacks, connection, vec![frame]).await;
            }
            Answers::ArePosted => callbacks.post(connection, frame).await,
            Answers::AreReturned => return Ok(response(200, Some(frame))),
        }
        Ok(response(200, None))
    })
    .await
}

/// Serves `$default`: the frames that no other route takes. Each is answered with the error of `refuse`.
///
/// An expired token does not close the connection here, since nothing is done for its owner. The next frame
/// of another route closes it.
///
/// # Errors
///
/// As [`serve`].
pub async fn unrouted(refuse: impl Fn(AnyFrame) -> Error) -> Result<(), lambda_runtime::Error> {
    run(async |received| {
        let (id, frame) = protocol::read_frame(received.body());
        let error = frame.map_or_else(Error::from, &refuse);
        let refused = received.observe::<(), _>(async { Err(error) }).await;
        Ok(response(200, refused.err().map(|error| json(&refusal(id, &error)))))
    })
    .await
}

/// Serves `$connect`: an error refuses the connection.
///
/// # Errors
///
/// As [`serve`].
pub async fn connect(
    handle: impl AsyncFn(&Caller, &Identity, Profile) -> Result<(), Error>,
) -> Result<(), lambda_runtime::Error> {
    run(async |received| {
        let (caller, profile) = (caller(&received.event)?, profile(&received.event)?);
        let identity = Identity { user_id: caller.user_id.clone(), issued_at: issued_at(&received.event) };
        let status = match received.observe(handle(&caller, &identity, profile)).await {
            Ok(()) => 200,
            Err(error) => crate::http::status(error.code).as_u16(),
        };
        Ok(response(status, None))
    })
    .await
}

/// Serves `$disconnect`, whose answer is ignored. An internal error makes Lambda count the event as failed;
/// an unavailable dependency does not, since the sweep does the work later.
///
/// # Errors
///
/// As [`serve`].
pub async fn disconnect(
    handle: impl AsyncFn(&Caller) -> Result<(), Error>,
) -> Result<(), lambda_runtime::Error> {
    run(async |received| {
        let caller = caller(&received.event)?;
        match received.observe(handle(&caller)).await {
            Err(error) if error.code == Code::Internal => {
                Err(format!("the disconnect of {} was not carried out", caller.connection_id).into())
            }
            Ok(()) | Err(_) => Ok(response(200, None)),
        }
    })
    .await
}

/// An event of a route, and the id of its invocation.
struct Received {
    event: ApiGatewayWebsocketProxyRequest,
    request_id: String,
}

impl Received {
    fn body(&self) -> &str {
        self.event.body.as_deref().unwrap_or_default()
    }

    async fn observe<T, E: Failed>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let context = &self.event.request_context;
        let invocation = Invocation {
            route: context.route_key.as_deref().unwrap_or("?"),
            request_id: &self.request_id,
            connection: context.connection_id.as_deref(),
        };
        observe(invocation, work).await
    }
}

/// Answers one event after another, until Lambda ends the process.
async fn run(
    answer: impl AsyncFn(Received) -> Result<ApiGatewayProxyResponse, lambda_runtime::Error>,
) -> Result<(), lambda_runtime::Error> {
    let answer = &answer;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayWebsocketProxyRequest>| {
        // In a box: the future is large, and each layer of the runtime would move it.
        Box::pin(answer(Received { event: event.payload, request_id: event.context.request_id }))
    }))
    .await
}
