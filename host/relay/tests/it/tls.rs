use std::path::Path;

use quotegate_market::Subscription;
use quotegate_relay::{ClientCertificate, Relay, RelaySettings};
use quotegate_test_support::NatsServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::{Reader, Worker, settings, until};

/// A certificate authority with a server and a client, in `folder`.
fn make_certificates(folder: &Path) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_pass_over_tls_and_only_to_clients_with_certificates() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    let configuration = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}\n",
        file("server.pem"),
        file("server-key.pem"),
        file("ca.pem"),
    );
    let Some(server) = NatsServer::start_with(&configuration) else { return };
    let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
    let trusting = RelaySettings { ca_file: Some(file("ca.pem")), ..settings(&url) };
    let certificate = ClientCertificate { certificate: file("client.pem"), key: file("client-key.pem") };
    let known = RelaySettings { client_certificate: Some(certificate), ..trusting.clone() };

    let mut reader = Reader::start_with(known.clone(), 1).await;
    let worker = Worker::start_with(known, Subscription::All).await;
    reader.quote("SPY", 1);
    worker.has(&reader.sent).await;
    worker.end().await;
    reader.end().await;

    let expected = ["invalid peer certificate: UnknownIssuer", "received fatal alert: CertificateRequired"];
    for (refused, why) in [settings(&url), trusting].into_iter().zip(expected) {
        let relay = Relay::connect(refused).await.unwrap();
        let problem = || relay.status().connection.problem;
        let expected = format!("TLS with {} failed: {why}", url.trim_start_matches("tls://"));
        until("it says why", || problem().as_ref() == Some(&expected)).await;
        assert!(!relay.status().connection.connected);
    }
}
