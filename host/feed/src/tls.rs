//! The root certificates that `wss` servers are checked against: the public ones, compiled in, and those in a file.

use std::path::Path;
use std::sync::Arc;

use quotegate_io::{TEXT_LIMIT, read};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::FeedSettingsError;

/// The certificate authorities that a `wss` server's certificate may come from.
#[derive(Debug, Clone)]
pub struct RootCerts(Arc<ClientConfig>);

impl RootCerts {
    /// Mozilla's list at build time. Compiled in, because a distroless image has none.
    pub fn public() -> Result<Self, FeedSettingsError> {
        Self::of(public_roots())
    }

    /// The public ones and those in a PEM file: for a proxy that intercepts TLS, or a private server.
    pub fn public_and(file: &Path) -> Result<Self, FeedSettingsError> {
        let invalid = |reason: String| FeedSettingsError::Certificates(file.to_owned(), reason);
        let mut roots = public_roots();
        let public = roots.len();
        let pem = read(file, TEXT_LIMIT).map_err(|error| invalid(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
            roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
        }
        if roots.len() == public {
            return Err(invalid("it contains no certificate".to_owned()));
        }
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, FeedSettingsError> {
        // Passed explicitly, because the process default exists only if someone has set it.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| FeedSettingsError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// True if the connection failed because the server's certificate was not accepted.
pub(crate) fn is_untrusted(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
