//! `wss`: the real program over real TLS, with trusted and untrusted certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::harness::{Running, SNAPSHOT, Sim, finish, quotegate};
use quotegate_market::Quote;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A simulator behind TLS.
struct SecureSim {
    sim: Sim,
    address: SocketAddr,
    /// Contains the authority's certificate.
    folder: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl SecureSim {
    /// With a certificate for `name` from an unknown authority.
    fn named(name: &str) -> Self {
        let sim = Sim::quiet();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();

        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (address, behind) = (listener.local_addr().unwrap(), sim.address());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        Self { sim, address, folder, _runtime: runtime }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = quotegate([verb]);
        command
            .env("TENANT_ID", "acme")
            .env("DRY_RUN", "1")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "hush-hush")
            .env("QUOTEGATE_FEED__URL", format!("wss://localhost:{}/v2/iex", self.address.port()));
        command
    }
}

#[test]
fn quotes_arrive_over_tls_from_a_trusted_server() {
    let server = SecureSim::named("localhost");
    for encoding in ["json", "msgpack"] {
        let mut host = Running::start(
            server
                .command("run")
                .env("QUOTEGATE_FEED__CA_FILE", server.authority())
                .env("QUOTEGATE_FEED__ENCODING", encoding)
                .env_remove(SNAPSHOT),
        );
        server.sim.wait_for_symbols(&["SPY"]);
        // REST is asked with the same authorities.
        host.wait_for_event("snapshot");
        server.sim.send("SPY", &Quote { bid_price: 1.0, ask_price: 1.0, event_time: 1, ..Quote::default() });
        host.wait_for("a quote document", |line| line["path"] == "tenants/acme/live_quotes/SPY");
        host.signal("TERM");
        let ended = host.wait();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        server.sim.wait_for_symbols(&[]);
    }
}

#[test]
fn an_untrusted_server_gets_no_credentials() {
    let stranger = SecureSim::named("localhost");
    let wrong_name = SecureSim::named("somebody-else.example");
    for (server, authority, expected) in
        [(&stranger, None, "UnknownIssuer"), (&wrong_name, Some(wrong_name.authority()), "not valid for name")]
    {
        let mut command = server.command("run");
        if let Some(authority) = authority {
            command.env("QUOTEGATE_FEED__CA_FILE", authority);
        }
        let mut host = Running::start(&mut command);
        let line = host.wait_for("the refusal", |line| line["event_type"] == "alpaca_disconnect");
        assert!(line.to_string().contains(expected) && line.to_string().contains("feed.ca_file"), "{line}");
        assert_eq!(server.sim.handle().connections(), 0);
        host.signal("TERM");
        let ended = host.wait();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(!ended.stderr.contains("hush-hush"));
    }
}

#[test]
fn an_invalid_ca_file_is_reported_before_anything_starts() {
    let server = SecureSim::named("localhost");
    let file = server.folder.path().join("empty.pem");
    for (content, expected) in [
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n", "empty.pem"),
    ] {
        std::fs::write(&file, content).unwrap();
        for verb in ["check", "run"] {
            let ended = finish(server.command(verb).env("QUOTEGATE_FEED__CA_FILE", &file));
            assert_eq!(ended.code, 2, "{verb}: {}", ended.stderr);
            let said = &ended.stderr;
            assert!(said.contains("feed.ca_file") && said.contains("empty.pem") && said.contains(expected), "{said}");
            assert!(!said.contains("startup"), "{said}");
        }
    }
    let ended = finish(server.command("check").env("QUOTEGATE_FEED__CA_FILE", server.folder.path().join("missing")));
    assert!(ended.code == 2 && ended.stderr.contains("cannot be read"), "{}", ended.stderr);
}
