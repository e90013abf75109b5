//! What every call to AWS needs: the SDK configuration, the meaning of errors, and secrets.
//!
//! Calls to AWS trust Amazon's root certificates and no others.

mod config;
mod failure;
mod secret;

pub use aws_config::SdkConfig;
pub use config::load_config;
pub use failure::failure;
pub use secret::Secret;
