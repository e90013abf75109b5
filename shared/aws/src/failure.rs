//! The meaning of SDK errors.

use std::error::Error;

use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use domain::{Dependency, Failure};

/// Error codes of requests that are wrong or not allowed, so that a repeat fails again.
const MISTAKES: [&str; 6] = [
    "AccessDeniedException",
    "DecryptionFailure",
    "InvalidParameterException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// The failure that an SDK error stands for. Calls that fail otherwise than by [`MISTAKES`] may succeed
/// later.
pub fn failure<E>(dependency: Dependency, error: &SdkError<E>) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let is_mistake = code.is_some_and(|code| MISTAKES.contains(&code));
    let cause = DisplayErrorContext(error).to_string();
    match is_mistake {
        true => Failure::unexpected(dependency, cause),
        false => Failure::unavailable(dependency, cause),
    }
}
