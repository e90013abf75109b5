//! What every call to AWS needs: the SDK configuration, the meaning of errors, and secrets. And the start of
//! another function.
//!
//! Calls to AWS trust Amazon's root certificates and no others.

mod config;
mod deliveries;
mod failure;
mod secret;

pub use aws_config::SdkConfig;
pub use config::load_config;
pub use deliveries::Deliveries;
pub use failure::failure;
pub use secret::{Secret, secrets};
