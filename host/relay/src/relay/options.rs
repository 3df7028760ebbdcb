//! What the client is told about servers, TLS and failures.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use quotegate_io::{SECRET_LIMIT, TEXT_LIMIT, read};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::authentication;
use super::state::ConnectionState;
use crate::error::RelayError;
use crate::settings::{ClientCertificate, RelaySettings};

/// Messages that the client holds for the connection. When the broker stands still, these are what it gets late; the rest
/// conflates in the publisher.
const QUEUED_MESSAGES: usize = 1024;
/// Messages that wait for the subscriber, per bucket: about a second at full load. What comes on top is dropped, which the
/// subscriber sees as a gap.
const WAITING_MESSAGES: usize = 512;
/// A connection is given up when two of these pass without an answer: within six seconds.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts at most, so that quotes flow within a second of the broker's return.
const LONGEST_DELAY: Duration = Duration::from_millis(500);

pub(super) fn connect_options(
    settings: &RelaySettings,
    state: Arc<ConnectionState>,
) -> Result<ConnectOptions, RelayError> {
    authentication::check(&settings.authentication)?;
    let authentication = Arc::new(settings.authentication.clone());
    let tried = state.clone();
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let answer = authentication::answer(&authentication, &nonce);
        async move { answer }
    });
    Ok(options
        .name(&settings.name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(CONNECT_LIMIT)
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(delay)
        // Asked before each attempt, and the only place that tells why the one before failed.
        .reconnect_to_server_callback(move |servers, _| {
            tried.attempts(&servers);
            async { None }
        })
        .event_callback(move |event| {
            state.event(event);
            async {}
        })
        .client_capacity(QUEUED_MESSAGES)
        .subscription_capacity(WAITING_MESSAGES)
        .request_timeout(None)
        .skip_subject_validation(true)
        .tls_client_config(tls(settings)?))
}

fn delay(attempts: usize) -> Duration {
    // The first attempt follows at once.
    let doubled = attempts.saturating_sub(1).min(10);
    let delay = Duration::from_millis(if doubled == 0 { 0 } else { 25 << doubled });
    delay.min(LONGEST_DELAY)
}

/// As for the feed: the public authorities are compiled in, because a distroless image has none.
fn tls(settings: &RelaySettings) -> Result<ClientConfig, RelayError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    if let Some(file) = &settings.ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| invalid(file, &error))?;
        }
    }
    // Passed explicitly, because the process default exists only if someone has set it.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RelayError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    match &settings.client_certificate {
        None => Ok(config.with_no_client_auth()),
        Some(ClientCertificate { certificate, key }) => {
            let pem = read(key, SECRET_LIMIT).map_err(|error| invalid(key, &error))?;
            let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| invalid(key, &error))?;
            let chain = certificates(certificate)?;
            config.with_client_auth_cert(chain, secret).map_err(|error| invalid(certificate, &error))
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, RelayError> {
    let pem = read(file, TEXT_LIMIT).map_err(|error| invalid(file, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| invalid(file, &error))?;
    if certificates.is_empty() {
        return Err(invalid(file, &"it contains no certificate"));
    }
    Ok(certificates)
}

fn invalid(file: &Path, reason: &dyn std::fmt::Display) -> RelayError {
    RelayError::File { file: file.display().to_string(), reason: reason.to_string() }
}
