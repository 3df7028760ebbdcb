//! Faults on request, and recovery.

use quotegate_sim::{Fault, SimSettings};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::error::Error as SocketError;

use crate::client::{Client, Sim, busy, quiet};

fn faulty(name: &str) -> SimSettings {
    SimSettings { fault: Some(name.parse().unwrap()), ..busy() }
}

async fn is_healthy(client: &mut Client) {
    let quotes = client.items().await;
    assert!(quotes.iter().all(|item| item["T"] == "q"), "{quotes:?}");
}

/// Reads until it has seen frames with valid quotes and frames that match `is_faulty`.
async fn valid_and_faulty(client: &mut Client, is_faulty: impl Fn(&[u8]) -> bool) {
    let (mut good, mut odd, mut good_after) = (0, 0, 0);
    while good == 0 || odd < 3 || good_after == 0 {
        let frame = client.data().await.expect("the connection has ended").into_data();
        if is_faulty(&frame) {
            odd += 1;
        } else {
            good += 1;
            good_after += usize::from(odd > 0);
        }
    }
}

fn items(frame: &[u8]) -> Option<Vec<Value>> {
    serde_json::from_slice(frame).ok()
}

#[tokio::test]
async fn keys_are_refused_until_the_fault_is_gone() {
    for (fault, code, text) in
        [("auth-refused", 402, "auth failed"), ("connection-limit", 406, "connection limit exceeded")]
    {
        let sim = Sim::start(faulty(fault)).await;
        let mut client = sim.connect(&[]).await;
        client.authenticate("key", "secret").await;
        client.expect_error(code, text).await;
        sim.handle.set_fault(None);
        client.authenticate("key", "secret").await;
        client.expect_authenticated().await;
    }
}

#[tokio::test]
async fn a_session_that_ends_without_a_close_still_counts_for_a_while() {
    let sim = Sim::start(SimSettings { fault: Some("dead-session=3600".parse().unwrap()), ..quiet() }).await;
    assert!(sim.client().await.goodbye().await);
    // A closed one does not count.
    drop(sim.client().await);
    sim.until("the end of the session", |handle| handle.connected() == 0).await;
    let mut client = sim.connect(&[]).await;
    client.authenticate("key", "secret").await;
    client.expect_error(406, "connection limit exceeded").await;
}

#[tokio::test]
async fn an_upgrade_is_refused_with_429() {
    let sim = Sim::start(faulty("http-429")).await;
    match sim.try_connect("/v2/iex", &[]).await {
        Err(SocketError::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{:?}", other.err()),
    }
    sim.until("the count", |handle| handle.refused() == 1).await;
    sim.handle.set_fault(None);
    sim.client().await;
}

#[tokio::test]
async fn a_slow_client_gets_an_error_and_is_disconnected() {
    let sim = Sim::start(faulty("slow-client")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    is_healthy(&mut client).await;
    client.expect_error(407, "slow client").await;
    assert_eq!(client.data().await, None);
}

#[tokio::test]
async fn an_internal_error_comes_after_good_quotes() {
    let sim = Sim::start(faulty("internal-error")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    is_healthy(&mut client).await;
    client.expect_error(500, "internal error").await;
}

#[tokio::test]
async fn each_connection_ends_after_the_configured_number_of_frames() {
    let sim = Sim::start(faulty("drop-after=3")).await;
    for _ in 0..2 {
        let mut client = sim.subscriber(&["SPY"]).await;
        assert_eq!(client.frames_to_the_end().await, 3);
    }
    assert_eq!(sim.handle.connections(), 2);
}

#[tokio::test]
async fn a_silent_server_answers_pings_and_sends_nothing() {
    let sim = Sim::start(faulty("silent")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    is_healthy(&mut client).await;
    // All quotes before the first pong were sent before its ping was read, so none may come before the second pong.
    client.ping().await;
    let sent = sim.handle.quotes_sent();
    client.ping().await;
    assert_eq!((sim.handle.quotes_sent(), sent), (sent, 100));
    sim.handle.set_fault(None);
    is_healthy(&mut client).await;
}

#[tokio::test]
async fn a_dead_connection_neither_reads_nor_sends_and_the_next_one_works() {
    let sim = Sim::start(faulty("no-pong")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    is_healthy(&mut client).await;
    sim.until("a dead session", |handle| handle.connected() == 0).await;
    let sent = sim.handle.quotes_sent();
    assert!(client.has_no_pong().await, "a dead server answered");
    assert_eq!(sim.handle.quotes_sent(), sent);
    // The first connection is still open but takes no slot.
    let mut next = sim.subscriber(&["SPY"]).await;
    is_healthy(&mut next).await;
}

#[tokio::test]
async fn garbage_comes_between_good_quotes() {
    let sim = Sim::start(faulty("garbage")).await;
    valid_and_faulty(&mut sim.subscriber(&["SPY"]).await, |frame| items(frame).is_none()).await;
}

#[tokio::test]
async fn truncated_frames_come_between_good_ones() {
    let sim = Sim::start(faulty("truncated-json")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    valid_and_faulty(&mut client, |frame| items(frame).is_none() && frame.starts_with(b"[{\"T\":\"q\"")).await;
}

#[tokio::test]
async fn unknown_messages_come_between_good_quotes() {
    let sim = Sim::start(faulty("unknown-types")).await;
    let is_faulty = |frame: &[u8]| items(frame).unwrap().iter().any(|item| item["T"] != "q" || !item["c"].is_array());
    valid_and_faulty(&mut sim.subscriber(&["SPY"]).await, is_faulty).await;
}

#[tokio::test]
async fn a_huge_frame_comes_between_ordinary_ones() {
    let sim = Sim::start(faulty("huge-frame")).await;
    let mut client = sim.subscriber(&["SPY"]).await;
    while client.items().await.len() != 50_000 {}
    assert_eq!(client.items().await.len(), 5);
}

#[tokio::test]
async fn a_partial_acknowledgement_is_completed_by_requesting_again() {
    let sim = Sim::start(SimSettings { fault: Some(Fault::MissingAck), ..quiet() }).await;
    let mut client = sim.client().await;
    let all = json!(["A", "B", "C", "D"]);
    let set = client.request(json!({"action": "subscribe", "quotes": all})).await;
    assert_eq!(set["quotes"].as_array().unwrap().len(), 2, "{set}");
    assert_eq!(sim.handle.subscribed().len(), 2);
    sim.handle.set_fault(None);
    assert_eq!(client.request(json!({"action": "subscribe", "quotes": all})).await["quotes"], all);
}
