use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use quotegate_market::Subscription;
use quotegate_relay::{Authentication, Relay, RelayError, RelaySettings};
use quotegate_test_support::NatsServer;
use serde_json::{Value, json};

use crate::common::{Reader, Worker, settings, until};

/// Keys made for these tests.
const USER: &str = "SUAAEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPSAIOM6Y";
const ACCOUNT: &str = "SAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IFO3A";
const OPERATOR: &str = "SOAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2AJA";

fn with(server: &NatsServer, authentication: Authentication) -> RelaySettings {
    RelaySettings { authentication, ..settings(&server.url()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_a_clear_problem_that_does_not_contain_it() {
    let Some(server) = NatsServer::start_with("authorization { token: \"right\" }\n") else { return };
    let wrong = with(&server, Authentication::Token("hush-hush".to_owned().into()));
    let relay = Relay::connect(wrong).await.unwrap();
    until("it says why", || relay.status().connection.problem.is_some()).await;
    let status = relay.status();
    assert!(!status.connection.connected);
    assert_eq!(
        status.connection.problem.unwrap(),
        format!(
            "{} refused the credentials; check the token, NKEY or credentials file in the relay's settings",
            server.address()
        )
    );
    assert!(!format!("{relay:?}").contains("hush"));
}

/// A quote passes from a reader to a worker.
async fn quotes_pass(server: &NatsServer, authentication: Authentication) {
    let mut reader = Reader::start_with(with(server, authentication.clone()), 1).await;
    let worker = Worker::start_with(with(server, authentication), Subscription::All).await;
    reader.quote("SPY", 1);
    worker.has(&reader.sent).await;
    worker.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_pass_with_a_token() {
    let Some(server) = NatsServer::start_with("authorization { token: \"right\" }\n") else { return };
    quotes_pass(&server, Authentication::Token("right".to_owned().into())).await;
}

/// The permissions are those that the shipped configuration suggests.
#[tokio::test(flavor = "multi_thread")]
async fn quotes_pass_with_an_nkey_and_the_suggested_permissions() {
    let shipped = include_str!("../../../../config/nats/nats.conf");
    let suggested = shipped.lines().find(|line| line.contains("nkey: \"UD…\"")).unwrap();
    let user = suggested.trim_start_matches('#').replace("UD…", &public(USER));
    let Some(server) = NatsServer::start_with(&format!("authorization {{ users: [ {user} ] }}\n")) else { return };
    quotes_pass(&server, Authentication::Nkey(USER.to_owned().into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotes_pass_with_a_credentials_file() {
    let operator = jwt(OPERATOR, OPERATOR, &json!({"type": "operator", "version": 2}));
    let any = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
    });
    let account =
        json!({"type": "account", "version": 2, "limits": any, "default_permissions": {"pub": {}, "sub": {}}});
    let account = jwt(OPERATOR, ACCOUNT, &account);
    let user = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let user = jwt(ACCOUNT, USER, &user);
    let configuration =
        format!("operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {account} }}\n", public(ACCOUNT));
    let Some(server) = NatsServer::start_with(&configuration) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{USER}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(file.path(), text).unwrap();
    quotes_pass(&server, Authentication::CredentialsFile(file.path().to_owned())).await;
}

fn public(seed: &str) -> String {
    KeyPair::from_seed(seed).unwrap().public_key()
}

/// A JWT in which `issuer` says something about `subject`, as `nsc` makes it.
fn jwt(issuer: &str, subject: &str, says: &Value) -> String {
    let claims =
        json!({"iat": 1_700_000_000, "iss": public(issuer), "sub": public(subject), "name": "test", "nats": says});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), encode(&claims));
    let signature = KeyPair::from_seed(issuer).unwrap().sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_missing_file_is_found_at_the_start_and_named() {
    let missing = PathBuf::from("/nowhere/relay.creds");
    let error = |settings| async { Relay::connect(settings).await.err() };
    let mut wrong = settings("nats://127.0.0.1:1");
    wrong.authentication = Authentication::CredentialsFile(missing.clone());
    let expected = |file: &str| {
        let reason = "No such file or directory (os error 2)".to_owned();
        Some(RelayError::File { file: file.to_owned(), reason })
    };
    assert_eq!(error(wrong).await, expected("/nowhere/relay.creds"));
    let mut wrong = settings("nats://127.0.0.1:1");
    wrong.ca_file = Some("/nowhere/ca.pem".into());
    assert_eq!(error(wrong).await, expected("/nowhere/ca.pem"));
}
