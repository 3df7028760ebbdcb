//! A running simulator and its clients: a test reads like the conversation.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use quotegate_market::Symbol;
use quotegate_sim::{Rate, SimHandle, SimSettings, Simulator, Universe};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than any step takes on any machine. Only failing tests wait this long.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: impl Debug, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited in vain for {what:?}"))
}

pub(crate) fn symbol(name: &str) -> Symbol {
    Symbol::new(name).unwrap()
}

/// Two symbols; only pushed quotes are sent.
pub(crate) fn quiet() -> SimSettings {
    let universe = Universe::List(vec![symbol("SPY"), symbol("AAPL")]);
    SimSettings { universe, rate: Rate::PerSecond(0.0), ..SimSettings::default() }
}

/// Two symbols, as fast as the client reads.
pub(crate) fn busy() -> SimSettings {
    SimSettings { rate: Rate::Max, quotes_per_frame: Some(5), ..quiet() }
}

pub(crate) struct Sim {
    url: String,
    pub(crate) handle: SimHandle,
    _stop: DropGuard,
}

impl Sim {
    pub(crate) async fn start(settings: SimSettings) -> Self {
        let simulator = Simulator::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
        let (url, handle) = (format!("ws://{}", simulator.local_addr()), simulator.handle());
        let stop = CancellationToken::new();
        tokio::spawn(simulator.run(stop.clone()));
        Self { url, handle, _stop: stop.drop_guard() }
    }

    pub(crate) async fn try_connect(&self, path: &str, headers: &[(&str, &str)]) -> Result<Client, SocketError> {
        let mut request = format!("{}{path}", self.url).into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let (stream, _) = within("an upgrade", Box::pin(connect_async(request))).await?;
        Ok(Client { stream })
    }

    /// Connects and reads the welcome.
    pub(crate) async fn connect(&self, headers: &[(&str, &str)]) -> Client {
        let mut client = self.try_connect("/v2/iex", headers).await.unwrap();
        client.expect(json!({"T": "success", "msg": "connected"})).await;
        client
    }

    /// Connects and authenticates, in JSON.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.connect(&[]).await;
        client.authenticate("key", "secret").await;
        client.expect_authenticated().await;
        client
    }

    /// Like [`Sim::client`], then subscribes to quotes of these symbols.
    pub(crate) async fn subscriber(&self, names: &[&str]) -> Client {
        let mut client = self.client().await;
        client.say(json!({"action": "subscribe", "quotes": names})).await;
        assert_eq!(client.control().await["T"], "subscription");
        client
    }

    /// A request over REST: the status and the body.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let address = self.url.trim_start_matches("ws://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        // In two parts, as a network may deliver it.
        let (first, second) = request.split_at(20);
        socket.write_all(first.as_bytes()).await.unwrap();
        socket.write_all(second.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
    }

    /// Polls, because the handle's counters have no notification.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&SimHandle) -> bool) {
        within(what, async {
            while !holds(&self.handle) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

pub(crate) struct Client {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        within("room to send", self.stream.send(message)).await.unwrap();
    }

    pub(crate) async fn authenticate(&mut self, key: &str, secret: &str) {
        self.say(json!({"action": "auth", "key": key, "secret": secret})).await;
    }

    pub(crate) async fn expect_authenticated(&mut self) {
        self.expect(json!({"T": "success", "msg": "authenticated"})).await;
    }

    /// The next message of any kind; `None` once the connection has ended.
    pub(crate) async fn any(&mut self) -> Option<Message> {
        within("a message", self.stream.next()).await?.ok()
    }

    /// The next data frame; `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Message> {
        loop {
            let message = self.any().await?;
            if message.is_text() || message.is_binary() {
                return Some(message);
            }
        }
    }

    /// The items of the next text frame.
    pub(crate) async fn items(&mut self) -> Vec<Value> {
        let frame = self.data().await.expect("the connection has ended");
        serde_json::from_str(frame.to_text().unwrap()).unwrap()
    }

    /// The next item that is not a quote; it must be alone in its frame.
    pub(crate) async fn control(&mut self) -> Value {
        loop {
            let items = self.items().await;
            if items[0]["T"] != "q" {
                assert_eq!(items.len(), 1, "{items:?}");
                return items[0].clone();
            }
        }
    }

    pub(crate) async fn expect(&mut self, expected: Value) {
        assert_eq!(self.control().await, expected);
    }

    pub(crate) async fn expect_error(&mut self, code: u16, text: &str) {
        self.expect(json!({"T": "error", "code": code, "msg": text})).await;
    }

    pub(crate) async fn request(&mut self, message: Value) -> Value {
        self.say(message).await;
        self.control().await
    }

    /// Sends a ping and waits for its pong, skipping other messages.
    pub(crate) async fn ping(&mut self) {
        self.send(Message::Ping(Bytes::from_static(b"there?"))).await;
        while !matches!(self.any().await.expect("the connection has ended"), Message::Pong(_)) {}
    }

    /// Sends a ping and reads for a while, because the absence of a pong cannot be observed. If that is too short, a
    /// faulty server may pass, but a correct one never fails.
    pub(crate) async fn has_no_pong(&mut self) -> bool {
        self.send(Message::Ping(Bytes::from_static(b"there?"))).await;
        let pong = async { while !matches!(self.stream.next().await, Some(Ok(Message::Pong(_))) | None) {} };
        timeout(Duration::from_millis(100), pong).await.is_err()
    }

    /// Closes the websocket; true if the server answers with a close frame.
    pub(crate) async fn goodbye(mut self) -> bool {
        within("a goodbye", self.stream.close(None)).await.unwrap();
        let mut answered = false;
        while let Some(message) = self.any().await {
            answered |= message.is_close();
        }
        answered
    }

    /// Reads to the end and returns the number of frames with quotes.
    pub(crate) async fn frames_to_the_end(&mut self) -> usize {
        let mut frames = 0;
        while let Some(frame) = self.data().await {
            frames += usize::from(frame.to_text().unwrap().contains(r#""T":"q""#));
        }
        frames
    }
}
