//! Healthy connections: handshakes, encodings, watchdogs that do not fire, shutdown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotegate_feed::{AuthBy, Calendar, ConnectionState, Encoding, FrameTap, Payload};
use tokio_tungstenite::tungstenite::Message;

use crate::server::{Host, Server, settings};

#[tokio::test]
async fn quotes_arrive_after_the_documented_handshake() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &["AMD", "SPY"]);
    let mut peer = server.session(&["AMD", "SPY"]).await;
    assert_eq!(peer.header("content-type"), Some("application/json"));
    assert_eq!(peer.header("apca-api-secret-key"), None);
    peer.quote("SPY").await;
    assert_eq!(host.quote().await, "SPY");
    let snapshot = host.snapshot();
    assert_eq!((snapshot.connection, snapshot.quotes, snapshot.attempts), (ConnectionState::Streaming, 1, 0));
    assert!(snapshot.last_lag.is_some_and(|lag| lag > 0));
    host.end().await;
}

#[tokio::test]
async fn stop_closes_the_websocket() {
    let server = Server::start().await;
    let host = Host::start(settings(&server), &["SPY"]);
    let peer = server.session(&["SPY"]).await;
    let (polite, ()) = tokio::join!(peer.goodbye(), host.end());
    assert!(polite);
}

#[tokio::test]
async fn header_authentication_accepts_any_frame_timing() {
    let (connected, authenticated) =
        (r#"{"T":"success","msg":"connected"}"#, r#"{"T":"success","msg":"authenticated"}"#);
    let timings = [
        vec![format!("[{connected}]"), format!("[{authenticated}]")],
        vec![format!("[{connected},{authenticated}]")],
        vec![format!("[{authenticated}]")],
        vec![format!("[{connected}]"), r#"[{"T":"error","code":403,"msg":"x"}]"#.into(), format!("[{authenticated}]")],
    ];
    // More quotes than a batch before authentication: the next frame must still be read.
    let early = r#",{"T":"q","S":"SPY","t":"2023-04-06T11:54:21Z"}"#.repeat(1100);
    let timings = timings.into_iter().chain([vec![format!("[{connected}{early}]"), format!("[{authenticated}]")]]);
    for frames in timings {
        let server = Server::start().await;
        let mut with_headers = settings(&server);
        with_headers.credentials.by = AuthBy::Headers;
        let mut host = Host::start(with_headers, &["SPY"]);
        let mut peer = server.accept().await;
        assert_eq!(peer.header("apca-api-key-id"), Some("key"));
        assert_eq!(peer.header("apca-api-secret-key"), Some("secret"));
        for frame in frames {
            peer.send(frame).await;
        }
        peer.expect_subscribe(&["SPY"]).await;
        peer.acknowledge(&["SPY"]).await;
        peer.quote("SPY").await;
        assert_eq!(host.quote().await, "SPY");
        host.end().await;
    }
}

#[tokio::test]
async fn msgpack_is_used_in_both_directions() {
    let server = Server::start().await;
    let mut host =
        Host::start(quotegate_feed::FeedSettings { encoding: Encoding::MessagePack, ..settings(&server) }, &["SPY"]);
    let mut peer = server.accept().await;
    assert_eq!(peer.header("content-type"), Some("application/msgpack"));
    peer.send_binary(b"\x91\x82\xa1T\xa7success\xa3msg\xa9connected".to_vec()).await;
    let auth = b"\x83\xa6action\xa4auth\xa3key\xa3key\xa6secret\xa6secret";
    assert_eq!(peer.next().await, Message::binary(auth.to_vec()));
    peer.send_binary(b"\x91\x82\xa1T\xa7success\xa3msg\xadauthenticated".to_vec()).await;
    let subscribe = b"\x82\xa6action\xa9subscribe\xa6quotes\x91\xa3SPY";
    assert_eq!(peer.next().await, Message::binary(subscribe.to_vec()));
    peer.send_binary(b"\x91\x82\xa1T\xacsubscription\xa6quotes\x91\xa3SPY".to_vec()).await;
    peer.send_binary(b"\x91\x83\xa1T\xa1q\xa1S\xa3SPY\xa1t\xd6\xff\x60\0\0\0".to_vec()).await;
    assert_eq!(host.quote().await, "SPY");
    assert_eq!(host.snapshot().missing_symbols, 0);
    host.end().await;
}

#[tokio::test]
async fn quiet_hours_do_not_reconnect() {
    let server = Server::start().await;
    let mut quiet = settings(&server);
    quiet.calendar = Calendar::Never;
    quiet.stale_after = Some(Duration::from_millis(5));
    quiet.ping_interval = Duration::from_millis(20);
    let mut host = Host::start(quiet, &["SPY"]);
    let mut peer = server.session(&["SPY"]).await;
    peer.pings(10).await;
    peer.quote("SPY").await;
    assert_eq!(host.quote().await, "SPY");
    assert_eq!(host.snapshot().connections, 1);
    host.end().await;
}

#[tokio::test]
async fn a_connection_without_symbols_is_never_stale() {
    let server = Server::start().await;
    let mut empty = settings(&server);
    empty.stale_after = Some(Duration::from_millis(5));
    empty.ping_interval = Duration::from_millis(20);
    let host = Host::start(empty, &[]);
    let mut peer = server.welcome().await;
    peer.pings(10).await;
    assert_eq!(host.snapshot().connections, 1);
    host.end().await;
}

#[tokio::test]
async fn unknown_garbage_and_truncated_frames_are_counted_and_the_rest_is_decoded() {
    let server = Server::start().await;
    let mut host = Host::start(settings(&server), &["SPY"]);
    let mut peer = server.session(&["SPY"]).await;
    peer.send(r#"[{"T":"x","S":"SPY"},{"T":"heartbeat"}]"#).await;
    peer.send("not json").await;
    peer.send(r#"[{"T":"q","S":"SPY","t":"2023-04-06T11:54:21Z"},{"T":"q","S":"SP"#).await;
    peer.send_binary(vec![0xc1; 20]).await;
    peer.quote("AMD").await;
    assert_eq!((host.quote().await, host.quote().await), ("SPY".into(), "AMD".into()));
    let snapshot = host.snapshot();
    assert_eq!((snapshot.skipped.unknown_type, snapshot.skipped.malformed, snapshot.connections), (2, 3, 1));
    host.end().await;
}

struct Tap(Arc<Mutex<Vec<String>>>);

impl FrameTap for Tap {
    fn frame(&mut self, received_time: i64, payload: Payload<'_>) {
        assert!(received_time > 0);
        if let Payload::Text(text) = payload {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

#[tokio::test]
async fn the_tap_sees_every_frame_in_order() {
    let server = Server::start().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut host = Host::start_with_tap(settings(&server), &["SPY"], Box::new(Tap(Arc::clone(&seen))));
    let mut peer = server.session(&["SPY"]).await;
    peer.send("junk").await;
    peer.quote("SPY").await;
    host.quote().await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 5, "{seen:?}");
    let starts = [r#"[{"T":"success","msg":"c"#, r#"[{"T":"success","msg":"a"#, "[{", "junk", r#"[{"T":"q""#];
    assert!(seen.iter().zip(starts).all(|(frame, start)| frame.starts_with(start)), "{seen:?}");
    host.end().await;
}
