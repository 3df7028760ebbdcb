//! A scripted server and a feed that connects to it: a test reads like the conversation.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use quotegate_feed::{
    AuthBy, Calendar, Credentials, Encoding, Feed, FeedError, FeedSettings, FeedSnapshot, FeedStatus, FrameTap,
    ReconnectBackoff, SnapshotSettings, snapshots, system_clock,
};
use quotegate_market::{Quote, QuoteColumns, QuoteReceiver, Subscription, Symbol, SymbolId, SymbolTable};
use quotegate_pace::Backoff;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tokio_util::sync::CancellationToken;

/// Longer than any step takes on any machine. Only failing tests wait this long.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: impl Debug, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("timed out waiting for {what:?}"))
}

pub(crate) struct Server(TcpListener);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v2/test", self.0.local_addr().unwrap())
    }

    #[allow(clippy::result_large_err)]
    pub(crate) async fn accept(&self) -> Peer {
        let (socket, _) = within("a connection", self.0.accept()).await.unwrap();
        let mut headers = Vec::new();
        let stream = accept_hdr_async(socket, |request: &Request, response: Response| {
            headers = request.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
            Ok(response)
        });
        let stream = within("an upgrade", stream).await.unwrap();
        Peer { stream, headers }
    }

    /// Accepts a connection and authenticates the feed.
    pub(crate) async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.send(r#"[{"T":"success","msg":"connected"}]"#).await;
        peer.expect(json!({"action": "auth", "key": "key", "secret": "secret"})).await;
        peer.send(r#"[{"T":"success","msg":"authenticated"}]"#).await;
        peer
    }

    /// Like [`Server::welcome`], then acknowledges a subscription to exactly `symbols`.
    pub(crate) async fn session(&self, symbols: &[&str]) -> Peer {
        let mut peer = self.welcome().await;
        peer.expect_subscribe(symbols).await;
        peer.acknowledge(symbols).await;
        peer
    }

    /// Answers the upgrade with an HTTP status.
    pub(crate) async fn refuse(&self, status: &str) {
        let (mut socket, _) = within("a connection", self.0.accept()).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    }
}

pub(crate) struct Peer {
    stream: WebSocketStream<TcpStream>,
    headers: Vec<(String, String)>,
}

impl Peer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// False once the feed has disconnected.
    pub(crate) async fn try_send(&mut self, text: &str) -> bool {
        self.stream.send(Message::text(text)).await.is_ok()
    }

    pub(crate) async fn error(&mut self, code: u16) {
        self.send(format!(r#"[{{"T":"error","code":{code},"msg":"no"}}]"#)).await;
    }

    pub(crate) async fn quote(&mut self, symbol: &str) {
        self.send(format!(r#"[{{"T":"q","S":"{symbol}","bp":1,"ap":2,"t":"2023-04-06T11:54:21Z"}}]"#)).await;
    }

    /// The next data or close frame. Pings are answered.
    pub(crate) async fn next(&mut self) -> Message {
        within("a message", async {
            loop {
                let message = self.stream.next().await.expect("the feed is connected").unwrap();
                if message.is_text() || message.is_binary() || message.is_close() {
                    return message;
                }
            }
        })
        .await
    }

    pub(crate) async fn next_json(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    pub(crate) async fn expect(&mut self, expected: Value) {
        assert_eq!(self.next_json().await, expected);
    }

    pub(crate) async fn expect_subscribe(&mut self, symbols: &[&str]) {
        self.expect(json!({"action": "subscribe", "quotes": symbols})).await;
    }

    pub(crate) async fn acknowledge(&mut self, symbols: &[&str]) {
        self.send(json!([{"T": "subscription", "trades": [], "quotes": symbols}]).to_string()).await;
    }

    /// Waits for `count` pings and answers them.
    pub(crate) async fn pings(&mut self, count: usize) {
        let mut seen = 0;
        while seen < count {
            let message = within("a ping", self.stream.next()).await.unwrap().unwrap();
            seen += usize::from(message.is_ping());
        }
    }

    /// Reads to the end; true if the feed sent a close frame first.
    pub(crate) async fn goodbye(mut self) -> bool {
        let mut polite = false;
        within("the end of the connection", async {
            while let Some(Ok(message)) = self.stream.next().await {
                polite |= message.is_close();
            }
        })
        .await;
        polite
    }
}

struct Receiver(mpsc::UnboundedSender<(String, Quote)>);

impl QuoteReceiver for Receiver {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        for row in 0..quotes.len() {
            let name = symbols.symbol(SymbolId(quotes.symbol[row])).to_string();
            self.0.send((name, quotes.quote(row))).ok();
        }
    }
}

/// A running feed.
pub(crate) struct Host {
    pub(crate) stop: CancellationToken,
    pub(crate) wanted: watch::Sender<Arc<Subscription>>,
    status: Arc<FeedStatus>,
    quotes: mpsc::UnboundedReceiver<(String, Quote)>,
    task: JoinHandle<Result<(), FeedError>>,
}

pub(crate) fn symbols(names: &[&str]) -> Arc<Subscription> {
    Arc::new(Subscription::Symbols(names.iter().map(|name| Symbol::new(name).unwrap()).collect()))
}

pub(crate) fn pause(milliseconds: u64) -> Backoff {
    let base = Duration::from_millis(milliseconds);
    Backoff::new(base, base * 4).unwrap()
}

/// JSON, short delays, and no watchdog that could fire.
pub(crate) fn settings(server: &Server) -> FeedSettings {
    let credentials = Credentials { key_id: "key".into(), secret_key: "secret".to_owned().into(), by: AuthBy::Message };
    let backoff = ReconnectBackoff { ordinary: pause(1), held_elsewhere: pause(1), rate_limited: pause(1) };
    FeedSettings {
        encoding: Encoding::Json,
        backoff,
        stale_after: None,
        close_timeout: Duration::from_millis(50),
        calendar: Calendar::Always,
        ..FeedSettings::new(server.url(), credentials).unwrap()
    }
}

impl Host {
    pub(crate) fn start(settings: FeedSettings, wanted: &[&str]) -> Self {
        Self::start_with(settings, wanted, None, None)
    }

    pub(crate) fn start_with_tap(settings: FeedSettings, wanted: &[&str], tap: Box<dyn FrameTap>) -> Self {
        Self::start_with(settings, wanted, Some(tap), None)
    }

    /// Asks REST for latest quotes, too.
    pub(crate) fn start_with_rest(settings: FeedSettings, wanted: &[&str], rest: SnapshotSettings) -> Self {
        Self::start_with(settings, wanted, None, Some(rest))
    }

    fn start_with(
        settings: FeedSettings,
        wanted: &[&str],
        tap: Option<Box<dyn FrameTap>>,
        rest: Option<SnapshotSettings>,
    ) -> Self {
        assert_eq!(settings.check(), Ok(()));
        let (wanted, subscription) = watch::channel(symbols(wanted));
        let (sender, quotes) = mpsc::unbounded_channel();
        let (status, stop) = (Arc::new(FeedStatus::default()), CancellationToken::new());
        let feed = Feed {
            settings,
            subscription,
            status: Arc::clone(&status),
            clock: system_clock(),
            tap,
            snapshots: rest.and_then(|rest| {
                let (task, snapshots) = snapshots(&rest, Arc::clone(&status), system_clock()).unwrap()?;
                tokio::spawn(task.run(stop.clone()));
                Some(snapshots)
            }),
            stop: stop.clone(),
        };
        let task = tokio::spawn(async move { feed.run(&mut Receiver(sender)).await });
        Self { stop, wanted, status, quotes, task }
    }

    pub(crate) async fn quote(&mut self) -> String {
        self.full_quote().await.0
    }

    pub(crate) async fn full_quote(&mut self) -> (String, Quote) {
        within("a quote", self.quotes.recv()).await.expect("the feed ended")
    }

    pub(crate) fn snapshot(&self) -> FeedSnapshot {
        self.status.snapshot()
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&FeedSnapshot) -> bool) -> FeedSnapshot {
        within(what, async {
            loop {
                let snapshot = self.snapshot();
                if condition(&snapshot) {
                    return snapshot;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Waits until the feed gives up.
    pub(crate) async fn failure(self) -> FeedError {
        within("a fatal error", self.task).await.unwrap().unwrap_err()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        within("the end", self.task).await.unwrap().unwrap();
    }
}
