//! Starts the function that tells backends of events.

use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use domain::{ConversationId, Dependency, Failure};
use environment::Misconfigured;
use serde_json::json;

use crate::config::with_limits;
use crate::failure;

/// Starts deliveries of events, if there are any events.
#[derive(Clone, Debug)]
pub struct Deliveries(Option<Invoking>);

#[derive(Clone, Debug)]
struct Invoking {
    client: Client,
    function: String,
}

impl Deliveries {
    /// Reads `EVENTS_URL`, without which nothing is ever started, and the name of the function,
    /// `DELIVER_EVENTS`.
    ///
    /// # Errors
    ///
    /// Only the first variable is set.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        if environment::optional(environment::EVENTS_URL).is_none() {
            return Ok(Self(None));
        }
        let function = environment::required("DELIVER_EVENTS")?;
        Ok(Self(Some(Invoking { client: Client::new(&with_limits(sdk)), function })))
    }

    /// Opens a connection to Lambda, for the first event: see `edge::warm_up`. A dry run starts nothing.
    ///
    /// # Errors
    ///
    /// Lambda did not answer, or not as it should.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        let Some(Invoking { client, function }) = &self.0 else { return Ok(()) };
        let dry_run = client.invoke().function_name(function).invocation_type(InvocationType::DryRun);
        dry_run.send().await.map(drop).map_err(|error| failure(Dependency::Lambda, &error))
    }

    /// Starts the delivery of an event that was committed. It goes on after this returns. If it cannot be
    /// started, the schedule starts one within a minute.
    pub async fn start(&self, conversation: Option<ConversationId>) {
        let Some(Invoking { client, function }) = &self.0 else { return };
        let _waiting = tracing::trace_span!(target: "measured", "Lambda");
        let payload = json!({ "conversationId": conversation }).to_string();
        let started = client
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload))
            .send()
            .await;
        if let Err(error) = started {
            tracing::warn!(error = %DisplayErrorContext(&error), "the delivery of events was not started");
        }
    }
}
