//! Whom a `wss` address is believed: the public authorities, compiled in, and those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::FeedSettingsError;

/// The authorities whose certificates a `wss` server may have.
#[derive(Debug, Clone)]
pub struct RootCerts(Arc<ClientConfig>);

impl RootCerts {
    /// Mozilla's list, as it was when this program was built: a distroless image has none of its own.
    pub fn public() -> Result<Self, FeedSettingsError> {
        Self::of(public_roots())
    }

    /// The public ones and those of a PEM file: for a proxy that opens TLS, or a server of one's own.
    pub fn public_and(file: &Path) -> Result<Self, FeedSettingsError> {
        let problem = |problem: String| FeedSettingsError::Certificates { file: file.display().to_string(), problem };
        let mut roots = public_roots();
        let public = roots.len();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| problem(error.to_string()))? {
            let certificate = certificate.map_err(|error| problem(error.to_string()))?;
            roots.add(certificate).map_err(|error| problem(error.to_string()))?;
        }
        if roots.len() == public {
            return Err(problem("it holds no certificate".to_owned()));
        }
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, FeedSettingsError> {
        // Named, not the process's default, which is there only once somebody has set it.
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

/// Whether a connection failed because nobody vouches for the server.
pub(crate) fn is_untrusted(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
