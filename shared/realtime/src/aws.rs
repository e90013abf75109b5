//! What the two SDK clients share: where they get their configuration, and what their errors mean.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use domain::{Dependency, Failure};

/// Region, credentials and endpoint overrides (`AWS_ENDPOINT_URL_DYNAMODB`) from the environment, as every AWS SDK reads them.
pub async fn load_sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// What a failed DynamoDB call means: its own word that the request was wrong is our mistake, all else may pass.
pub(crate) fn dynamodb_failure<E>(error: SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    const MISTAKES: [&str; 4] = [
        "ValidationException",
        "ResourceNotFoundException",
        "AccessDeniedException",
        "UnrecognizedClientException",
    ];
    let mistake = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .is_some_and(|code| MISTAKES.contains(&code));
    let cause = DisplayErrorContext(&error).to_string();
    if mistake {
        Failure::unexpected(Dependency::DynamoDb, cause)
    } else {
        Failure::unavailable(Dependency::DynamoDb, cause)
    }
}

/// The result of a conditional write, `None` if the condition did not hold.
pub(crate) fn unless_condition_failed<T, E>(result: Result<T, SdkError<E>>) -> Result<Option<T>, Failure>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
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
