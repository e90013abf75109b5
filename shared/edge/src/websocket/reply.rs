//! The reply to a frame, and how it reaches the client.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use domain::ConnectionId;
use protocol::{ErrorFrame, Event, FrameId};
use serde::Serialize;

use crate::Error;

/// What a handler replies to a frame.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The event answers the frame.
    Event(Event),
    /// The event answers the frame, and then the connection is closed: its lease is gone, so nobody can reach
    /// it.
    Last(Event),
    /// Nothing answers the frame.
    Silent,
}

/// The connection callbacks of API Gateway, as far as replies need them. Neither call reports a failure: the
/// implementation logs it.
pub trait Callbacks {
    /// Sends a frame to a connection.
    fn post(&self, connection: &ConnectionId, frame: String) -> impl Future<Output = ()>;

    /// Closes a connection.
    fn close(&self, connection: &ConnectionId) -> impl Future<Output = Closing>;
}

/// What has become of a connection that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It was open, and is closed.
    Closed,
    /// There is no such connection, unless its `$connect` is still running.
    Gone,
    /// Nothing is known of it.
    Failed,
}

/// Tells a connection why it is closed, and closes it.
pub async fn dismiss(callbacks: &impl Callbacks, connection: &ConnectionId, why: &Error) -> Closing {
    hang_up(callbacks, connection, vec![json(&refusal(None, why))]).await
}

/// Sends a connection its last frames, and closes it.
pub(super) async fn hang_up(
    callbacks: &impl Callbacks,
    connection: &ConnectionId,
    last_frames: Vec<String>,
) -> Closing {
    for frame in last_frames {
        callbacks.post(connection, frame).await;
    }
    callbacks.close(connection).await
}

/// The frame by which a client learns of an error.
pub(super) fn refusal(id: Option<FrameId>, error: &Error) -> ErrorFrame {
    let frame = ErrorFrame::new(id, error.code, error.message.clone());
    match error.retry_after {
        Some(wait) => frame.retry_after(wait),
        None => frame,
    }
}

pub(super) fn json(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("a frame is made of strings and numbers")
}

/// What the function returns to API Gateway. The body is the route response, a frame to the client.
pub(super) fn response(status_code: u16, frame: Option<String>) -> ApiGatewayProxyResponse {
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status_code.into();
    response.body = frame.map(Body::Text);
    response
}
