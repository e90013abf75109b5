//! A certificate authority that is made for one run, and the certificate of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use tokio_rustls::TlsAcceptor;

use crate::file_error::{At, FileError};

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    File(#[from] FileError),
}

/// A certificate authority.
pub(super) struct Authority {
    /// The file with its certificate.
    pub(super) certificate: PathBuf,
    /// Encrypts as this machine, whose certificate it has signed.
    pub(super) acceptor: TlsAcceptor,
}

impl Authority {
    pub(super) fn new(folder: &Path) -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], PrivateKeyDer::from(key))?;
        // Two stacks may share the folder.
        let certificate = folder.join(format!("authority-{}.pem", std::process::id()));
        std::fs::write(&certificate, issuer.pem()).at(&certificate)?;
        Ok(Self { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Authority").field(&self.certificate).finish()
    }
}
