//! Subscriptions: chunks, acknowledgements, changes, rejections.

use serde_json::{Value, json};

use crate::server::{Host, Server, settings, symbols};

#[tokio::test]
async fn many_symbols_are_sent_in_chunks_each_acknowledged_before_the_next() {
    let server = Server::start().await;
    let names: Vec<String> = (0..1200).map(|n| format!("S{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut host = Host::start(settings(&server), &names);
    let mut peer = server.welcome().await;
    for end in [500, 1000, 1200] {
        let request = peer.next_json().await;
        let start = (end - 1) / 500 * 500;
        assert_eq!(request, json!({"action": "subscribe", "quotes": &names[start..end]}));
        peer.acknowledge(&names[..end]).await;
    }
    peer.quote("S0001").await;
    assert_eq!(host.quote().await, "S0001");
    assert_eq!(host.snapshot().missing_symbols, 0);
    host.end().await;
}

#[tokio::test]
async fn the_wanted_set_is_subscribed_again_after_a_reconnect() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &["AMD", "SPY"]);
    drop(server.session(&["AMD", "SPY"]).await);
    let mut peer = server.session(&["AMD", "SPY"]).await;
    peer.quote("AMD").await;
    assert_eq!(host.quote().await, "AMD");
    let snapshot = host.snapshot();
    assert_eq!((snapshot.connections, snapshot.retries["closed"]), (2, 1));
    host.end().await;
}

#[tokio::test]
async fn a_change_while_disconnected_applies_to_the_next_connection() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["AMD"]);
    let peer = server.session(&["AMD"]).await;
    host.wanted.send(symbols(&["SPY"])).unwrap();
    drop(peer);
    // Whether or not the change reached the old connection, the new one starts from the current set.
    server.session(&["SPY"]).await;
    host.end().await;
}

#[tokio::test]
async fn a_change_lost_with_the_socket_is_made_on_the_next_connection() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["AMD"]);
    let mut peer = server.session(&["AMD"]).await;
    host.wanted.send(symbols(&["AMD", "SPY"])).unwrap();
    peer.expect_subscribe(&["SPY"]).await;
    drop(peer);
    server.session(&["AMD", "SPY"]).await;
    host.end().await;
}

#[tokio::test]
async fn only_the_difference_is_sent_while_connected() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &["AMD", "SPY"]);
    let mut peer = server.session(&["AMD", "SPY"]).await;
    host.wanted.send(symbols(&["QQQ", "SPY"])).unwrap();
    peer.expect(json!({"action": "unsubscribe", "quotes": ["AMD"]})).await;
    peer.acknowledge(&["SPY"]).await;
    peer.expect_subscribe(&["QQQ"]).await;
    peer.acknowledge(&["QQQ", "SPY"]).await;
    peer.quote("QQQ").await;
    assert_eq!(host.quote().await, "QQQ");
    host.end().await;
}

#[tokio::test]
async fn a_symbol_missing_in_an_acknowledgement_is_reported() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["AMD", "SPY"]);
    let mut peer = server.welcome().await;
    peer.expect_subscribe(&["AMD", "SPY"]).await;
    peer.acknowledge(&["SPY"]).await;
    let snapshot = host.until("a missing symbol", |snapshot| snapshot.missing_symbols == 1).await;
    assert_eq!((snapshot.missing, snapshot.connections), (vec!["AMD".to_owned()], 1));
    host.end().await;
}

#[tokio::test]
async fn the_symbol_limit_keeps_the_connection_and_its_subscriptions() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &["AMD"]);
    let mut peer = server.session(&["AMD"]).await;
    host.wanted.send(symbols(&["AMD", "SPY"])).unwrap();
    peer.expect_subscribe(&["SPY"]).await;
    peer.error(405).await;
    peer.quote("AMD").await;
    assert_eq!(host.quote().await, "AMD");
    let snapshot = host.until("the error", |snapshot| snapshot.errors.get(&405) == Some(&1)).await;
    assert_eq!((snapshot.missing, snapshot.connections), (vec!["SPY".to_owned()], 1));
    host.end().await;
}

#[tokio::test]
async fn a_malformed_symbol_is_found_and_the_others_are_subscribed() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["A", "B", "C", "D", "E"]);
    let mut peer = server.welcome().await;
    let mut held: Vec<String> = Vec::new();
    while held.len() < 4 {
        let request = peer.next_json().await;
        let names: Vec<String> = serde_json::from_value::<Vec<String>>(request["quotes"].clone()).unwrap();
        if names.iter().any(|name| name == "C") {
            peer.error(400).await;
        } else {
            held.extend(names);
            let all: Vec<&str> = held.iter().map(String::as_str).collect();
            peer.acknowledge(&all).await;
        }
    }
    held.sort();
    assert_eq!(held, ["A", "B", "D", "E"]);
    let snapshot = host.until("the culprit", |snapshot| snapshot.missing == ["C"]).await;
    assert_eq!((snapshot.connections, snapshot.missing_symbols), (1, 1));
    host.end().await;
}

#[tokio::test]
async fn the_wildcard_is_sent_as_one_name() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &[]);
    let mut peer = server.welcome().await;
    host.wanted.send(std::sync::Arc::new(quotegate_market::Subscription::All)).unwrap();
    let request: Value = peer.next_json().await;
    assert_eq!(request, json!({"action": "subscribe", "quotes": ["*"]}));
    peer.acknowledge(&["*"]).await;
    peer.quote("ANY").await;
    assert_eq!(host.quote().await, "ANY");
    host.end().await;
}
