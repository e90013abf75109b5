//! The SDK configuration: region, credentials, endpoints and the HTTP client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use environment::Misconfigured;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The root certificates of AWS endpoints: to read all roots of the system would slow down a cold start.
/// `infra/roots.py` says where they come from.
const ROOTS: &[u8] = include_bytes!("roots.pem");

/// Time limits of one try of a call that a client waits for, and of all its tries together.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);
const CALL_TIMEOUT: Duration = Duration::from_millis(1800);

/// The variable with the path of root certificates in PEM, such as that of a proxy. They replace those of AWS
/// for all calls of the SDK. Other AWS SDKs read it too; this one does not by itself.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Region, credentials and endpoint overrides (`AWS_ENDPOINT_URL_DYNAMODB`) from the environment, as every
/// AWS SDK reads them.
///
/// # Errors
///
/// `AWS_CA_BUNDLE` cannot be read.
pub async fn load_config() -> Result<SdkConfig, Misconfigured> {
    let roots = match environment::optional(CA_BUNDLE) {
        None => ROOTS.to_vec(),
        Some(path) => certificates(&path).map_err(|error| Misconfigured::Invalid(CA_BUNDLE, error))?,
    };
    let roots = TrustStore::empty().with_pem_certificate(roots);
    let tls = TlsContext::builder().with_trust_store(roots).build().expect("a trust store is all it needs");
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls);
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.build_https())
        // It protects long bodies. Ours are short, and every call has a time limit.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    Ok(sdk)
}

/// The file at `path`, if it holds certificates: the SDK would panic at others.
fn certificates(path: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("is not in PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(pem) }
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

#[cfg(test)]
mod tests {
    use super::{ROOTS, certificates};

    #[test]
    fn certificates_that_cannot_be_used_are_told_apart() {
        let folder = std::env::temp_dir().join(format!("certificates-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("bundle.pem");
        let path = path.to_str().unwrap();
        let missing = certificates(path).unwrap_err();
        assert!(missing.starts_with("cannot be read: "), "{missing}");
        let read = |content: &[u8]| {
            std::fs::write(path, content).unwrap();
            certificates(path)
        };
        assert_eq!(read(b"no certificate").unwrap_err(), "holds no certificate");
        let invalid = read(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap_err();
        assert!(invalid.starts_with("cannot be used: "), "{invalid}");
        assert_eq!(read(ROOTS).unwrap(), ROOTS);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
