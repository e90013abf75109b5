//! What every call to AWS needs: the SDK's configuration, and what Secrets Manager keeps.
//!
//! Whoever calls AWS trusts Amazon's own root certificates and no others.

mod config;
mod secret;

pub use aws_config::SdkConfig;
pub use config::load_config;
pub use secret::Secret;
