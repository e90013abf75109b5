//! What every call to AWS needs: the SDK's configuration, what an error means, and secrets.
//!
//! Whoever calls AWS trusts Amazon's own root certificates and no others.

mod config;
mod failure;
mod secret;

pub use aws_config::SdkConfig;
pub use config::load_config;
pub use failure::failure;
pub use secret::Secret;
