//! Encryption of connections, and verification of the server.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// It is not encrypted.
    Off,
    /// As with libpq's `verify-full`: the certificate has to be for the host name, and signed by one of these
    /// roots, or, if there are none, by one of those in the package.
    Verified { roots: Option<Roots> },
}

/// Root certificates, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    File(PathBuf),
    Given(String),
}

impl Roots {
    /// A path, as with libpq, or the certificates themselves, since a secret has room for them.
    pub(crate) fn read(text: &str) -> Self {
        match text.contains("-----BEGIN CERTIFICATE-----") {
            true => Self::Given(text.to_owned()),
            false => Self::File(text.into()),
        }
    }

    fn load(&self) -> Result<RootCertStore, String> {
        match self {
            Self::Given(pem) => store(pem.as_bytes()).map_err(|error| format!("sslrootcert: {error}")),
            Self::File(path) => std::fs::read(path)
                .map_err(|error| error.to_string())
                .and_then(|pem| store(&pem))
                .map_err(|error| format!("sslrootcert {}: {error}", path.display())),
        }
    }
}

/// The roots of hosted Postgres services. `infra/roots.py` says where they come from.
static ROOTS: LazyLock<RootCertStore> =
    LazyLock::new(|| store(include_bytes!("roots.pem")).expect("infra/roots.py wrote it"));

/// A connector that verifies the server against these roots, or against those in the package.
pub(crate) fn connector(roots: Option<&Roots>) -> Result<MakeRustlsConnect, String> {
    let roots = roots.map_or_else(|| Ok(ROOTS.clone()), Roots::load)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn store(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use super::{ROOTS, Roots, connector, store};

    #[test]
    fn the_roots_in_the_package_can_be_read() {
        assert!(ROOTS.len() > 80, "{}", ROOTS.len());
        connector(None).unwrap();
    }

    #[test]
    fn roots_that_cannot_be_read_are_named() {
        let missing = connector(Some(&Roots::read("/nowhere/roots.pem"))).err().unwrap();
        assert!(missing.starts_with("sslrootcert /nowhere/roots.pem: "), "{missing}");
        assert_eq!(store(b"no certificate").unwrap_err(), "holds no certificate");
    }
}
