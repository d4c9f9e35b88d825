//! What deliveries over TLS trust.

use std::{io, path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Why certificates cannot be trusted as configured. The error is for an operator.
#[warn(missing_docs)]
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read. Holds its path and why.
    #[error("{0}: {1}")]
    Unreadable(String, io::Error),
    /// The file is not PEM. Holds its path and why.
    #[error("{0}: not a file of PEM certificates: {1}")]
    NotPem(String, String),
    /// The file has no certificate. Holds its path.
    #[error("{0}: it holds no certificate")]
    Empty(String),
    /// A certificate cannot be trusted as a root. Holds the path of the file and why.
    #[error("{0}: a certificate in it cannot be used: {1}")]
    Unfit(String, rustls::Error),
}

/// The Mozilla root certificates, and HTTP/1.1 only: with HTTP/2 one connection would carry all deliveries,
/// and `awc` could not close it for one of them.
pub fn tls_config() -> Arc<rustls::ClientConfig> {
    config(public_roots())
}

/// As [`tls_config`], and trusts the authorities in the PEM file as well.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be used.
pub fn tls_config_with(extra_ca_file: &Path) -> Result<Arc<rustls::ClientConfig>, TrustError> {
    let name = extra_ca_file.display().to_string();
    let pem = std::fs::read(extra_ca_file).map_err(|error| TrustError::Unreadable(name.clone(), error))?;
    let mut roots = public_roots();
    let public = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|error| TrustError::NotPem(name.clone(), format!("{error:?}")))?;
        roots
            .add(certificate)
            .map_err(|error| TrustError::Unfit(name.clone(), error))?;
    }
    if roots.len() == public {
        return Err(TrustError::Empty(name));
    }
    Ok(config(roots))
}

fn public_roots() -> rustls::RootCertStore {
    rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn config(roots: rustls::RootCertStore) -> Arc<rustls::ClientConfig> {
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the protocol versions that rustls takes for safe")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
