//! Authentication and connection limits.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quotegate_sim::SimSettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Sim, quiet};

fn with_keys() -> SimSettings {
    SimSettings { keys: Some(("id".into(), "hidden".into())), ..quiet() }
}

#[tokio::test]
async fn a_simulator_without_keys_accepts_any_key() {
    let sim = Sim::start(quiet()).await;
    sim.client().await;
    assert_eq!((sim.handle.connections(), sim.handle.refused()), (1, 0));
}

#[tokio::test]
async fn only_the_configured_key_pair_is_accepted_and_a_retry_can_succeed() {
    let sim = Sim::start(with_keys()).await;
    let mut client = sim.connect(&[]).await;
    for (key, secret) in [("id", "wrong"), ("wrong", "hidden"), ("", "")] {
        client.authenticate(key, secret).await;
        client.expect_error(402, "auth failed").await;
    }
    client.authenticate("id", "hidden").await;
    client.expect_authenticated().await;
    assert_eq!(sim.handle.refused(), 3);
}

#[tokio::test]
async fn tokens_replace_the_key_pair() {
    for key in ["access_token", "oauth"] {
        let sim = Sim::start(with_keys()).await;
        let mut client = sim.connect(&[]).await;
        client.authenticate(key, "wrong").await;
        client.expect_error(402, "auth failed").await;
        client.authenticate(key, "hidden").await;
        client.expect_authenticated().await;
    }
}

#[tokio::test]
async fn headers_authenticate_without_a_message() {
    let basic = format!("Basic {}", STANDARD.encode("id:hidden"));
    let ways: [&[(&str, &str)]; 3] = [
        &[("APCA-API-KEY-ID", "id"), ("APCA-API-SECRET-KEY", "hidden")],
        &[("Authorization", "Bearer hidden")],
        &[("Authorization", &basic)],
    ];
    for headers in ways {
        let sim = Sim::start(with_keys()).await;
        let mut client = sim.connect(headers).await;
        client.expect_authenticated().await;
        client.authenticate("id", "hidden").await;
        client.expect_error(403, "already authenticated").await;
    }
}

#[tokio::test]
async fn wrong_headers_get_an_error_message() {
    let sim = Sim::start(with_keys()).await;
    let mut client = sim.connect(&[("APCA-API-KEY-ID", "id"), ("APCA-API-SECRET-KEY", "wrong")]).await;
    client.expect_error(402, "auth failed").await;
}

#[tokio::test]
async fn nothing_is_subscribed_before_authentication() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.connect(&[]).await;
    client.say(json!({"action": "subscribe", "quotes": ["SPY"]})).await;
    client.expect_error(401, "not authenticated").await;
    assert!(sim.handle.subscribed().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_in_time_is_disconnected() {
    let sim = Sim::start(SimSettings { auth_timeout: Duration::from_millis(50), ..quiet() }).await;
    let mut client = sim.connect(&[]).await;
    client.expect_error(404, "auth timeout").await;
    assert_eq!(client.data().await, None);
}

#[tokio::test]
async fn a_path_has_one_connection_slot_which_a_close_frees_at_once() {
    let sim = Sim::start(quiet()).await;
    let first = sim.client().await;
    let mut second = sim.connect(&[]).await;
    second.authenticate("key", "secret").await;
    second.expect_error(406, "connection limit exceeded").await;
    assert_eq!((sim.handle.connected(), sim.handle.refused()), (1, 1));

    let mut elsewhere = sim.try_connect("/v1beta3/crypto/us", &[]).await.unwrap();
    elsewhere.expect(json!({"T": "success", "msg": "connected"})).await;
    elsewhere.authenticate("key", "secret").await;
    elsewhere.expect_authenticated().await;

    assert!(first.goodbye().await, "a goodbye is answered by one");
    second.authenticate("key", "secret").await;
    second.expect_authenticated().await;
}

#[tokio::test]
async fn a_slot_is_freed_when_the_socket_is_dropped() {
    let sim = Sim::start(quiet()).await;
    drop(sim.client().await);
    sim.until("a free place", |handle| handle.connected() == 0).await;
    sim.client().await;
}

#[tokio::test]
async fn the_connection_limit_is_configurable() {
    let sim = Sim::start(SimSettings { connection_limit: 2, ..quiet() }).await;
    let _both = (sim.client().await, sim.client().await);
    assert_eq!(sim.handle.connected(), 2);
}

#[tokio::test]
async fn messagepack_requests_get_messagepack_answers() {
    let sim = Sim::start(quiet()).await;
    let mut client = sim.try_connect("/v2/iex", &[("Content-Type", "application/msgpack")]).await.unwrap();
    let welcome = client.data().await.unwrap();
    assert_eq!(welcome, Message::binary(&b"\x91\x82\xa1T\xa7success\xa3msg\xa9connected"[..]));
    client.send(Message::binary(&b"\x83\xa6action\xa4auth\xa3key\xa1k\xa6secret\xa1s"[..])).await;
    let answer = client.data().await.unwrap();
    assert_eq!(answer, Message::binary(&b"\x91\x82\xa1T\xa7success\xa3msg\xadauthenticated"[..]));
}
