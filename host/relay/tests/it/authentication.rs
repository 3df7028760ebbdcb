use std::path::PathBuf;

use quotegate_relay::{Authentication, Relay, RelayError, RelaySettings};
use quotegate_test_support::NatsServer;

use crate::common::{Reader, Worker, settings, until};

/// A user's key, made for this test.
const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

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

#[tokio::test(flavor = "multi_thread")]
async fn quotes_pass_with_a_token_and_with_an_nkey() {
    let public = nkeys::KeyPair::from_seed(SEED).unwrap().public_key();
    for (configuration, authentication) in [
        ("authorization { token: \"right\" }\n".to_owned(), Authentication::Token("right".to_owned().into())),
        (format!("authorization {{ users: [{{ nkey: {public} }}] }}\n"), Authentication::Nkey(SEED.to_owned().into())),
    ] {
        let Some(server) = NatsServer::start_with(&configuration) else { return };
        let mut reader = Reader::start_with(with(&server, authentication.clone()), 1).await;
        let worker = Worker::start_with(with(&server, authentication), quotegate_market::Subscription::All).await;
        reader.quote("SPY", 1);
        worker.has(&reader.sent).await;
        worker.end().await;
        reader.end().await;
    }
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
