//! The log of a function: JSON lines on standard output, where Lambda collects them.
//!
//! Lines are written at the boundary only, and hold identifiers; never tokens, bodies or message content.

use tracing_subscriber::EnvFilter;

/// Sets up the log, at the level that `RUST_LOG` says, `info` by default. The SDKs and the HTTP stack speak up from `warn` on.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,tokio_postgres=warn")
    });
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .init();
}
