//! Latest quotes over REST: what is asked for and when, and that nothing waits for it.

use std::time::Duration;

use quotegate_feed::{FeedName, RetryCause, SnapshotSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Host, Server, pause, settings, symbols, within};

/// A scripted REST: the test answers request by request.
struct Rest(TcpListener);

/// One request that waits for its answer.
struct Request {
    socket: TcpStream,
    head: String,
}

impl Rest {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn settings(&self, server: &Server) -> SnapshotSettings {
        let feed = settings(server);
        let url = format!("http://{}", self.0.local_addr().unwrap());
        let rest = SnapshotSettings::new(url, FeedName::Iex, feed.credentials, feed.root_certs).unwrap();
        SnapshotSettings { backoff: pause(1), request_timeout: Duration::from_secs(60), ..rest }
    }

    async fn request(&self) -> Request {
        let (mut socket, _) = within("a request", self.0.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("a head", socket.read_u8()).await.unwrap());
        }
        Request { socket, head: String::from_utf8(head).unwrap() }
    }

    /// Expects a request for exactly these symbols.
    async fn expect(&self, symbols: &str) -> Request {
        let request = self.request().await;
        let wanted = format!("GET /v2/stocks/quotes/latest?symbols={symbols}&feed=iex HTTP/1.1\r\n");
        assert!(request.head.starts_with(&wanted), "{}", request.head);
        request
    }
}

impl Request {
    async fn answer(mut self, status: &str, body: &str) {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // The feed may have given up on it.
        let _ = self.socket.write_all((head + body).as_bytes()).await;
        let _ = self.socket.shutdown().await;
    }

    /// Answers with a quote of each symbol: its bid, and the second of its exchange time.
    async fn quotes(self, quotes: &[(&str, u32, u32)]) {
        let quote = |(symbol, bid, second): &(&str, u32, u32)| {
            format!(r#""{symbol}":{{"bp":{bid},"ap":0,"t":"2023-04-06T11:54:{second:02}Z"}}"#)
        };
        let quotes: Vec<String> = quotes.iter().map(quote).collect();
        self.answer("200 OK", &format!(r#"{{"quotes":{{{}}}}}"#, quotes.join(","))).await;
    }
}

async fn bid(host: &mut Host) -> (String, f64) {
    let (symbol, quote) = host.full_quote().await;
    (symbol, quote.bid_price)
}

#[tokio::test]
async fn symbols_are_asked_for_at_the_start_after_a_reload_and_after_a_gap() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["AMD", "SPY"], rest.settings(&server));
    let mut peer = server.session(&["AMD", "SPY"]).await;
    let request = rest.expect("AMD,SPY").await;
    assert!(request.head.contains("apca-api-key-id: key\r\n"), "{}", request.head);
    assert!(request.head.contains("apca-api-secret-key: secret\r\n"), "{}", request.head);
    // REST does not know AMD.
    request.quotes(&[("SPY", 7, 1)]).await;
    assert_eq!(bid(&mut host).await, ("SPY".into(), 7.0));

    host.wanted.send(symbols(&["AMD", "QQQ", "SPY"])).unwrap();
    peer.expect_subscribe(&["QQQ"]).await;
    peer.acknowledge(&["AMD", "QQQ", "SPY"]).await;
    rest.expect("QQQ").await.quotes(&[("QQQ", 8, 1)]).await;
    assert_eq!(bid(&mut host).await, ("QQQ".into(), 8.0));
    assert_eq!(host.snapshot().gap, None);

    drop(peer);
    let _peer = server.session(&["AMD", "QQQ", "SPY"]).await;
    rest.expect("AMD,QQQ,SPY").await.quotes(&[("AMD", 9, 2), ("SPY", 10, 2)]).await;
    assert_eq!([bid(&mut host).await, bid(&mut host).await], [("AMD".into(), 9.0), ("SPY".into(), 10.0)]);
    let snapshot = host.snapshot();
    let gap = snapshot.gap.unwrap();
    assert!(gap.to.is_some_and(|to| to >= gap.from) && gap.cause == RetryCause::Closed, "{gap:?}");
    assert_eq!((snapshot.snapshot.requests, snapshot.snapshot.quotes, snapshot.snapshot.skipped), (3, 4, 0));
    // They are no sign that the feed is alive.
    assert_eq!((snapshot.quotes, snapshot.last_received_time, snapshot.attempts), (0, None, 1));
    host.end().await;
}

#[tokio::test]
async fn the_wildcard_asks_for_the_symbols_that_have_quoted() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &[], rest.settings(&server));
    host.wanted.send(std::sync::Arc::new(quotegate_market::Subscription::All)).unwrap();
    let mut peer = server.session(&["*"]).await;
    peer.quote("SPY").await;
    assert_eq!(host.quote().await, "SPY");
    drop(peer);
    let _peer = server.session(&["*"]).await;
    rest.expect("SPY").await.quotes(&[("SPY", 3, 30)]).await;
    assert_eq!(bid(&mut host).await, ("SPY".into(), 3.0));
    host.end().await;
}

#[tokio::test]
async fn a_rest_that_does_not_answer_delays_no_quote_and_no_end() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["SPY"], rest.settings(&server));
    let mut peer = server.session(&["SPY"]).await;
    let _never_answered = rest.expect("SPY").await;
    peer.quote("SPY").await;
    assert_eq!(host.quote().await, "SPY");
    host.end().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_sent_again() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let impatient = SnapshotSettings { request_timeout: Duration::from_millis(100), ..rest.settings(&server) };
    let mut host = Host::start_with_rest(settings(&server), &["SPY"], impatient);
    let _peer = server.session(&["SPY"]).await;
    let _never_answered = rest.expect("SPY").await;
    // On a slow machine more of them take too long.
    let answering = async {
        loop {
            rest.expect("SPY").await.quotes(&[("SPY", 5, 1)]).await;
        }
    };
    tokio::select! {
        () = answering => {}
        quote = bid(&mut host) => assert_eq!(quote, ("SPY".into(), 5.0)),
    }
    assert!(host.snapshot().snapshot.failures["unreachable"] > 0);
    host.end().await;
}

#[tokio::test]
async fn overload_and_failures_are_retried() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["SPY"], rest.settings(&server));
    let mut peer = server.session(&["SPY"]).await;
    for answer in ["429 Too Many Requests", "503 Service Unavailable", "500 Internal Server Error"] {
        rest.expect("SPY").await.answer(answer, "{}").await;
        peer.quote("SPY").await;
        assert_eq!(host.quote().await, "SPY");
    }
    rest.expect("SPY").await.answer("200 OK", "<html>").await;
    rest.expect("SPY").await.quotes(&[("SPY", 5, 1)]).await;
    assert_eq!(bid(&mut host).await, ("SPY".into(), 5.0));
    let failures = host.snapshot().snapshot.failures;
    assert_eq!((failures.get("rate_limited"), failures.get("server_error")), (Some(&1), Some(&3)));
    host.end().await;
}

#[tokio::test]
async fn one_invalid_symbol_costs_the_others_nothing() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["A", "BAD", "C"], rest.settings(&server));
    let _peer = server.session(&["A", "BAD", "C"]).await;
    rest.expect("A,BAD,C").await.answer("400 Bad Request", "{}").await;
    rest.expect("A").await.quotes(&[("A", 1, 1)]).await;
    rest.expect("BAD,C").await.answer("400 Bad Request", "{}").await;
    rest.expect("BAD").await.answer("400 Bad Request", "{}").await;
    rest.expect("C").await.quotes(&[("C", 3, 1)]).await;
    assert_eq!([bid(&mut host).await, bid(&mut host).await], [("A".into(), 1.0), ("C".into(), 3.0)]);
    host.end().await;
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_until_the_next_gap() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["SPY"], rest.settings(&server));
    let peer = server.session(&["SPY"]).await;
    rest.expect("SPY").await.answer("403 Forbidden", r#"{"message":"forbidden."}"#).await;
    host.until("the refusal", |snapshot| snapshot.snapshot.failures.get("refused") == Some(&1)).await;
    drop(peer);
    let mut peer = server.session(&["SPY"]).await;
    rest.expect("SPY").await.quotes(&[("SPY", 2, 1)]).await;
    assert_eq!(bid(&mut host).await, ("SPY".into(), 2.0));
    peer.quote("SPY").await;
    assert_eq!(host.quote().await, "SPY");
    assert_eq!(host.snapshot().snapshot.requests, 1);
    host.end().await;
}

#[tokio::test]
async fn quotes_from_the_future_are_skipped() {
    let (server, rest) = (Server::start().await, Rest::start().await);
    let mut host = Host::start_with_rest(settings(&server), &["A", "B"], rest.settings(&server));
    let _peer = server.session(&["A", "B"]).await;
    let body = r#"{"quotes":{"A":{"bp":1,"t":"2999-01-01T00:00:00Z"},"B":{"bp":2,"t":"2023-04-06T11:54:00Z"}}}"#;
    rest.expect("A,B").await.answer("200 OK", body).await;
    assert_eq!(bid(&mut host).await, ("B".into(), 2.0));
    assert_eq!((host.snapshot().snapshot.quotes, host.snapshot().snapshot.skipped), (1, 1));
    host.end().await;
}
