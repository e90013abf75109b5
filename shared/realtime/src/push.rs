//! Pushes: frames to connections over the connection callbacks of API Gateway.
//!
//! A push has a short time limit, and a failed push is retried. It never fails its caller, who learns which
//! connections are gone.

use std::time::Duration;

use aws::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::error::DisplayErrorContext;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use domain::{ConnectionId, Dependency, Failure};
use edge::websocket::{Callbacks, Closing};
use environment::Misconfigured;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use crate::target::Target;

/// The maximum number of concurrent pushes: each uses a socket.
const CONCURRENCY: usize = 64;

/// Time limits of one try of a push, and of all pushes of an event with their retries: the sender waits for
/// them.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(700);
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before a push that was answered 410 is retried once: API Gateway has been seen to answer 410 for
/// open connections (aws-sdk-js issue 3773, aws-sdk-js-v3 issue 2763).
const GONE_PAUSE: Duration = Duration::from_millis(100);

/// The result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// API Gateway accepted the frame.
    Sent,
    /// There is no such connection.
    Gone,
    /// The push failed, and nothing is known of the connection.
    Failed,
}

/// The connection callbacks of an API.
#[derive(Clone, Debug)]
pub struct Push {
    client: Client,
    /// Whether a push that was answered 410 is retried before the connection counts as gone.
    doubts_gone: bool,
}

impl Push {
    /// Reads `PUSH_ENDPOINT`, the URL of the API with its stage.
    ///
    /// # Errors
    ///
    /// The variable is not set.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        // Retries broken sockets (after a freeze), 429 and 5xx.
        Self::with(sdk, RetryConfig::standard().with_max_attempts(3), true)
    }

    /// The same without retries, for events that are outdated a moment later.
    ///
    /// # Errors
    ///
    /// As [`Self::from_env`].
    pub fn once_from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        Self::with(sdk, RetryConfig::disabled(), false)
    }

    fn with(sdk: &SdkConfig, retries: RetryConfig, doubts_gone: bool) -> Result<Self, Misconfigured> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(FAN_OUT_TIMEOUT)
            .build();
        let config = aws_sdk_apigatewaymanagement::config::Builder::from(sdk)
            .endpoint_url(environment::required("PUSH_ENDPOINT")?)
            .timeout_config(timeouts)
            .retry_config(retries.with_initial_backoff(Duration::from_millis(25)))
            .build();
        Ok(Self { client: Client::from_conf(config), doubts_gone })
    }

    /// Opens a connection to the callbacks, for the first event: see [`edge::warm_up`]. It pushes to a
    /// connection that cannot exist, which API Gateway refuses.
    ///
    /// # Errors
    ///
    /// API Gateway did not answer.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        let push = self.client.post_to_connection().connection_id("none").data(Blob::new([]));
        match push.send().await {
            Err(error) if error.as_service_error().is_none() => {
                Err(Failure::unavailable(Dependency::Callbacks, DisplayErrorContext(error).to_string()))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Sends each frame to its target, concurrently, and returns the targets that are gone. A push that is
    /// answered 410 is tried once more, unless this is [`Self::once_from_env`], or the target may still be
    /// opening: the caller must not forget such a target.
    pub async fn fan_out(&self, frames: Vec<(Target, Bytes)>) -> Vec<Target> {
        if frames.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let deadline = began + FAN_OUT_TIMEOUT;
        let mut outcomes = self.try_all(frames, deadline).await;
        let is_doubtful = |(target, _, delivery): &(Target, Bytes, Delivery)| {
            self.doubts_gone && *delivery == Delivery::Gone && !target.may_be_opening()
        };
        let doubtful: Vec<_> = outcomes.extract_if(.., |outcome| is_doubtful(outcome)).collect();
        if !doubtful.is_empty() {
            tokio::time::sleep(GONE_PAUSE).await;
            let again = doubtful.into_iter().map(|(target, frame, _)| (target, frame)).collect();
            outcomes.extend(self.try_all(again, deadline).await);
        }
        let count = |wanted| outcomes.iter().filter(|(.., delivery)| *delivery == wanted).count() as u64;
        tracing::trace!(
            target: "measured",
            pushes_us = began.elapsed().as_micros(),
            fan_out = outcomes.len() as u64,
            pushes_sent = count(Delivery::Sent),
            pushes_gone = count(Delivery::Gone),
            pushes_failed = count(Delivery::Failed),
        );
        let gone = outcomes.into_iter().filter(|(.., delivery)| *delivery == Delivery::Gone);
        gone.map(|(target, ..)| target).collect()
    }

    async fn try_all(
        &self,
        frames: Vec<(Target, Bytes)>,
        deadline: Instant,
    ) -> Vec<(Target, Bytes, Delivery)> {
        let pushes = frames.into_iter().map(|(target, frame)| async move {
            let pushing = self.push(&target.connection, frame.clone());
            let delivery = timeout_at(deadline, pushing).await.unwrap_or_else(|_| {
                let connection = &target.connection;
                tracing::warn!(%connection, "push to {connection} took too long");
                Delivery::Failed
            });
            (target, frame, delivery)
        });
        stream::iter(pushes).buffer_unordered(CONCURRENCY).collect().await
    }

    async fn push(&self, connection: &ConnectionId, frame: Bytes) -> Delivery {
        let _waiting = tracing::trace_span!(target: "measured", "callback");
        let sent = self
            .client
            .post_to_connection()
            .connection_id(connection.as_str())
            .data(Blob::new(frame))
            .send()
            .await;
        match sent {
            Ok(_) => Delivery::Sent,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_gone_exception()) => Delivery::Gone,
            Err(error) => {
                tracing::warn!(%connection, error = %DisplayErrorContext(&error),
                    "push to {connection} failed");
                Delivery::Failed
            }
        }
    }
}

impl Callbacks for Push {
    async fn post(&self, connection: &ConnectionId, frame: String) {
        self.push(connection, frame.into()).await;
    }

    async fn close(&self, connection: &ConnectionId) -> Closing {
        let _waiting = tracing::trace_span!(target: "measured", "callback");
        match self.client.delete_connection().connection_id(connection.as_str()).send().await {
            Ok(_) => Closing::Closed,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_gone_exception()) => Closing::Gone,
            Err(error) => {
                tracing::warn!(%connection, error = %DisplayErrorContext(&error),
                    "closing {connection} failed");
                Closing::Failed
            }
        }
    }
}
