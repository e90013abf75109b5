//! Calls to DynamoDB: the meaning of their errors, and their measurement.

use std::time::Instant;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use domain::{Dependency, Failure};
use tracing::Span;

/// The failure that an error of DynamoDB stands for.
pub(crate) fn dynamodb_failure<E>(error: SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    aws::failure(Dependency::DynamoDb, &error)
}

/// The result of a conditional write; `None` if the condition did not hold.
pub(crate) fn unless_condition_failed<T, E>(result: Result<T, SdkError<E>>) -> Result<Option<T>, Failure>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let failed = |error: &SdkError<E>| {
        error.as_service_error().and_then(ProvideErrorMetadata::code)
            == Some("ConditionalCheckFailedException")
    };
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if failed(&error) => Ok(None),
        Err(error) => Err(dynamodb_failure(error)),
    }
}

/// Measures every call of a client, with its retries.
#[derive(Debug)]
pub(crate) struct Measured;

/// When a call began, and the span of the wait for it.
#[derive(Debug)]
struct Began {
    at: Instant,
    _waiting: Span,
}

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Measured {
    fn name(&self) -> &'static str {
        "Measured"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Began {
            at: Instant::now(),
            _waiting: tracing::trace_span!(target: "measured", "DynamoDB"),
        });
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Began { at, .. }) = config.load::<Began>() {
            tracing::trace!(target: "measured", dynamodb_us = at.elapsed().as_micros());
        }
        Ok(())
    }
}
