//! Connections that fail, and how the feed reacts.

use std::time::Duration;

use quotegate_feed::{AuthBy, ConnectionState, FeedError, FeedSettings, RetryCause};

use crate::server::{Host, Server, pause, settings};

/// Long enough for a handshake on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn an_undocumented_welcome_leads_to_a_retry() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    let welcomes = [
        r#"{"T":"success","msg":"connected"}"#,
        r#"["connected"]"#,
        r#"[{"T":"subscription","msg":"connected"}]"#,
        r#"[{"T":"success","msg":"disconnected"}]"#,
        r#"[{"T":"success","msg":"connected"},{"T":"success","msg":"connected"}]"#,
        "[]",
    ];
    for welcome in welcomes {
        let mut peer = server.accept().await;
        peer.send(welcome).await;
        peer.goodbye().await;
    }
    server.session(&["SPY"]).await;
    assert_eq!(host.snapshot().retries["handshake"], 6);
    host.end().await;
}

#[tokio::test]
async fn an_undocumented_reply_to_the_key_leads_to_a_retry() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    for answer in [r#"[{"T":"success","msg":"connected"}]"#, "[1]", r#"[{"T":"error","code":400,"msg":"x"}]"#] {
        let mut peer = server.accept().await;
        peer.send(r#"[{"T":"success","msg":"connected"}]"#).await;
        peer.next().await;
        peer.send(answer).await;
        peer.goodbye().await;
    }
    server.session(&["SPY"]).await;
    assert_eq!(host.snapshot().retries["handshake"], 3);
    host.end().await;
}

#[tokio::test]
async fn a_silent_server_is_dropped_after_the_step_timeout() {
    let server = Server::start().await;
    let host = Host::start(FeedSettings { step_timeout: SHORT, ..settings(&server) }, &["SPY"]);
    server.accept().await.goodbye().await;
    host.until("a retry", |snapshot| snapshot.retries.get("handshake") == Some(&1)).await;
    host.end().await;
}

#[tokio::test]
async fn an_unacknowledged_request_ends_the_connection() {
    let server = Server::start().await;
    let host = Host::start(FeedSettings { step_timeout: SHORT, ..settings(&server) }, &["SPY"]);
    let mut peer = server.welcome().await;
    peer.expect_subscribe(&["SPY"]).await;
    peer.goodbye().await;
    host.until("a retry", |snapshot| snapshot.retries.get("unacknowledged") == Some(&1)).await;
    host.end().await;
}

#[tokio::test]
async fn fatal_error_codes_stop_the_feed_with_advice() {
    let fatal = [
        (402, FeedError::AuthenticationFailed),
        (408, FeedError::NotEnabled),
        (409, FeedError::InsufficientSubscription),
        (410, FeedError::NoQuotes),
        (411, FeedError::InsufficientScope),
        (412, FeedError::MessagePackOnly),
        (413, FeedError::WildcardRefused),
    ];
    for (code, expected) in fatal {
        for subscribed in [false, true] {
            let server = Server::start().await;
            let host = Host::start(settings(&server), &["SPY"]);
            let mut peer = if subscribed { server.session(&["SPY"]).await } else { server.accept().await };
            peer.error(code).await;
            let (failure, _) = tokio::join!(host.failure(), peer.goodbye());
            assert_eq!(failure, expected);
            assert!(failure.to_string().contains(": "), "{failure} names no remedy");
        }
    }
}

#[tokio::test]
async fn transient_error_codes_lead_to_a_reconnect() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    for code in [401, 404, 407, 500] {
        let mut peer = server.session(&["SPY"]).await;
        peer.error(code).await;
        peer.goodbye().await;
    }
    server.session(&["SPY"]).await;
    let snapshot = host.snapshot();
    assert_eq!((snapshot.retries["server_error"], snapshot.errors.len()), (4, 4));
    host.end().await;
}

#[tokio::test]
async fn a_connection_held_elsewhere_is_reported_and_taken_when_free() {
    let server = Server::start().await;
    let mut held = settings(&server);
    held.backoff.held_elsewhere = pause(200);
    let mut host = Host::start(held, &["SPY"]);
    for _ in 0..2 {
        let mut peer = server.accept().await;
        peer.send(r#"[{"T":"success","msg":"connected"}]"#).await;
        peer.next().await;
        peer.error(406).await;
        peer.goodbye().await;
        host.until("the state", |snapshot| snapshot.connection == ConnectionState::HeldElsewhere).await;
    }
    let mut peer = server.session(&["SPY"]).await;
    peer.quote("SPY").await;
    host.quote().await;
    let snapshot = host.until("recovery", |snapshot| snapshot.attempts == 0).await;
    assert_eq!((snapshot.retries["held_elsewhere"], snapshot.errors[&406]), (2, 2));
    host.end().await;
}

#[tokio::test]
async fn http_429_and_502_are_retried_and_401_is_fatal() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    server.refuse("429 Too Many Requests").await;
    server.refuse("502 Bad Gateway").await;
    server.refuse("401 Unauthorized").await;
    let status = host.until("all three", |snapshot| snapshot.connection == ConnectionState::Stopped).await;
    assert_eq!((status.retries["rate_limited"], status.retries["connect"]), (1, 1));
    assert_eq!(host.failure().await, FeedError::AuthenticationFailed);
}

#[tokio::test]
async fn an_invalid_url_or_key_is_fatal() {
    let server = Server::start().await;
    for url in ["https://host/v2/iex", "not an address", "wss://"] {
        let failure = Host::start(FeedSettings { url: url.into(), ..settings(&server) }, &[]).failure().await;
        assert!(matches!(failure, FeedError::Address(..)), "{url}: {failure:?}");
    }
    let mut broken = settings(&server);
    broken.credentials.by = AuthBy::Headers;
    broken.credentials.key_id = "key\n".into();
    assert_eq!(Host::start(broken, &[]).failure().await, FeedError::CredentialCharacters);
}

#[tokio::test]
async fn a_socket_that_does_not_answer_pings_is_dropped() {
    let server = Server::start().await;
    let silent = FeedSettings { ping_interval: SHORT, pong_timeout: SHORT, close_timeout: SHORT, ..settings(&server) };
    let host = Host::start(silent, &["SPY"]);
    // Stop reading, so that no pong is sent, but keep the TCP connection open.
    let _mute = server.session(&["SPY"]).await;
    host.until("a retry", |snapshot| snapshot.retries.get("silent") == Some(&1)).await;
    server.session(&["SPY"]).await;
    host.end().await;
}

#[tokio::test]
async fn control_frames_do_not_hide_stale_data() {
    let server = Server::start().await;
    let host = Host::start(FeedSettings { stale_after: Some(SHORT), ..settings(&server) }, &["SPY"]);
    let mut peer = server.session(&["SPY"]).await;
    let control_messages = [
        r#"[{"T":"subscription","quotes":["SPY"]}]"#,
        r#"[{"T":"error","code":403,"msg":"x"}]"#,
        r#"[{"T":"heartbeat"}]"#,
        "[{}]",
        r#"[{"T":"t"}]"#,
        r#"[{"T":"q"}]"#,
    ];
    let flood = async {
        for control in control_messages.iter().cycle() {
            if !peer.try_send(control).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = flood => {}
        _ = host.until("a retry", |snapshot| snapshot.retries.get("stale") == Some(&1)) => {}
    }
    host.until("a retry", |snapshot| snapshot.retries.get("stale") == Some(&1)).await;
    host.end().await;
}

#[tokio::test]
async fn the_delay_grows_until_a_quote_arrives() {
    let server = Server::start().await;
    let stale = FeedSettings { stale_after: Some(SHORT), ..settings(&server) };
    let mut host = Host::start(stale, &["SPY"]);
    for attempts in 1..=3 {
        server.session(&["SPY"]).await.goodbye().await;
        host.until("an attempt", |snapshot| snapshot.attempts == attempts).await;
    }
    let mut peer = server.session(&["SPY"]).await;
    peer.quote("SPY").await;
    host.quote().await;
    host.until("a fresh start", |snapshot| snapshot.attempts == 0).await;
    // The healthy connection goes stale too, and the count starts at one again.
    peer.goodbye().await;
    host.until("an attempt", |snapshot| snapshot.attempts == 1).await;
    host.end().await;
}

#[tokio::test]
async fn acknowledgements_alone_do_not_reset_the_backoff() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    for attempts in 1..=4 {
        drop(server.session(&["SPY"]).await);
        host.until("an attempt", |snapshot| snapshot.attempts >= attempts).await;
    }
    host.end().await;
}

#[tokio::test]
async fn stop_interrupts_a_reconnect_delay() {
    let server = Server::start().await;
    let mut patient = settings(&server);
    patient.backoff.rate_limited = pause(3_600_000);
    let host = Host::start(patient, &["SPY"]);
    server.refuse("429 Too Many Requests").await;
    let waiting = ConnectionState::Waiting(RetryCause::RateLimited);
    host.until("the pause", |snapshot| snapshot.connection == waiting).await;
    host.end().await;
}

#[tokio::test]
async fn stop_interrupts_a_handshake() {
    let server = Server::start().await;
    let host = Host::start(FeedSettings { close_timeout: SHORT, ..settings(&server) }, &["SPY"]);
    let _mute = server.accept().await;
    host.until("the handshake", |snapshot| snapshot.connection == ConnectionState::Authenticating).await;
    host.end().await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection_not_the_feed() {
    let server = Server::start().await;
    let host = Host::start(FeedSettings { max_message_size: 10_000, ..settings(&server) }, &["SPY"]);
    let mut peer = server.session(&["SPY"]).await;
    peer.send("x".repeat(20_000)).await;
    peer.goodbye().await;
    server.session(&["SPY"]).await;
    assert_eq!(host.snapshot().retries["closed"], 1);
    host.end().await;
}
