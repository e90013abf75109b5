//! The SDK configuration: region, credentials, endpoints and the HTTP client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

/// The root certificates of AWS endpoints: to read all roots of the system would slow down a cold start.
/// `infra/roots.py` says where they come from.
const ROOTS: &[u8] = include_bytes!("roots.pem");

/// Time limits of one try of a call that a client waits for, and of all its tries together.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);
const CALL_TIMEOUT: Duration = Duration::from_millis(1800);

/// Region, credentials and endpoint overrides (`AWS_ENDPOINT_URL_DYNAMODB`) from the environment, as every
/// AWS SDK reads them.
pub async fn load_config() -> SdkConfig {
    let roots = TrustStore::empty().with_pem_certificate(ROOTS);
    let tls = TlsContext::builder().with_trust_store(roots).build().expect("a trust store is all it needs");
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.build_https())
        // It protects long bodies. Ours are short, and every call has a time limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// The same configuration for calls that a client waits for.
pub(crate) fn with_limits(sdk: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(2);
    sdk.to_builder()
        .timeout_config(timeouts)
        .retry_config(retries.with_initial_backoff(Duration::from_millis(50)))
        .build()
}
