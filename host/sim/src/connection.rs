mod quotes;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use quotegate_market::{Encoding, Quote, Symbol};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::handle::{Push, Shared};
use crate::market::Market;
use crate::protocol::{self, Request, Session, error};
use crate::story::Story;
use crate::wire::{self, FrameBuilder};
use crate::{Fault, Rate};

/// How often quotes that have come due leave.
const TICK: Duration = Duration::from_millis(2);
/// Quotes in a frame at the most, and in every frame at the highest rate.
const FULL_FRAME: usize = 64;
/// Frames, or quotes, after which the faults that wait begin.
const WARM_UP: u64 = 100;
/// What is written for the key when the secret is a token.
const TOKENS: [&str; 2] = ["access_token", "oauth"];

/// What is known of a client from its upgrade.
pub(crate) struct Client {
    pub(crate) path: String,
    pub(crate) encoding: Encoding,
    /// Key and secret, if they were in the headers.
    pub(crate) keys: Option<(String, String)>,
}

/// One client from its upgrade to its end.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    client: Client,
    number: u64,
    shared: Arc<Shared>,
    pushes: broadcast::Receiver<Push>,
    session: Session,
    market: Market,
    /// What is told instead of the market's own quotes.
    story: Option<Story>,
    /// The stocks of the market that the client has subscribed to.
    chosen: Vec<usize>,
    frame: FrameBuilder,
    rng: Rng,
    frames: u64,
    quotes: u64,
    last_time: i64,
    holds_place: bool,
}

/// The connection is over.
struct Over;

type Step = Result<(), Over>;

impl Connection {
    pub(crate) fn new(socket: WebSocketStream<TcpStream>, client: Client, number: u64, shared: Arc<Shared>) -> Self {
        let settings = &shared.settings;
        Self {
            pushes: shared.pushes.subscribe(),
            session: Session::default(),
            market: Market::new(settings.symbols(), settings.seed),
            story: None,
            chosen: Vec::new(),
            frame: FrameBuilder::new(client.encoding),
            rng: Rng::with_seed(settings.seed),
            frames: 0,
            quotes: 0,
            last_time: 0,
            holds_place: false,
            socket,
            client,
            number,
            shared,
        }
    }

    pub(crate) async fn run(mut self) {
        let _ = self.talk().await;
    }

    async fn talk(&mut self) -> Step {
        self.say(&json!({"T": "success", "msg": "connected"})).await?;
        if let Some((key, secret)) = self.client.keys.clone() {
            self.authenticate(&key, &secret).await?;
        }
        let deadline = Instant::now() + self.shared.settings.auth_timeout;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sent_until = Instant::now();
        loop {
            if self.is_stuck() {
                return self.play_dead().await;
            }
            let settings = &self.shared.settings;
            let full_speed = settings.rate == Rate::Max && settings.scenario.is_none() && !self.chosen.is_empty();
            tokio::select! {
                biased;
                message = self.socket.next() => match message {
                    Some(Ok(Message::Close(_))) => return self.say_goodbye().await,
                    Some(Err(_)) | None => return Err(Over),
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        self.hear(&message).await?;
                        sent_until = Instant::now();
                    }
                    // The library answers pings by itself, with the next write.
                    Some(Ok(_)) => self.socket.flush().await.map_err(|_| Over)?,
                },
                push = self.pushes.recv() => self.obey(push).await?,
                () = sleep_until(deadline), if !self.session.authenticated => {
                    return self.refuse(404, "auth timeout").await;
                }
                () = std::future::ready(()), if full_speed => {
                    for _ in 0..FULL_FRAME {
                        self.send_quotes(self.shared.settings.quotes_per_frame.unwrap_or(FULL_FRAME)).await?;
                    }
                    tokio::task::yield_now().await;
                }
                now = ticks.tick() => sent_until = self.send_due(sent_until, now).await?,
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.shared.fault() == Some(Fault::NoPong) && self.quotes >= WARM_UP
    }

    /// Neither reads nor writes, with the socket open, until somebody outside ends it. The place is free meanwhile, as
    /// Alpaca gives up a dead session in time: else no client could be seen to recover.
    async fn play_dead(&mut self) -> Step {
        self.leave();
        let mut ticks = interval(TICK);
        while self.shared.fault() == Some(Fault::NoPong) {
            tokio::select! {
                push = self.pushes.recv() => {
                    if let Ok(Push::Disconnect) = push {
                        break;
                    }
                }
                _ = ticks.tick() => {}
            }
        }
        Err(Over)
    }

    /// Answers a goodbye, which the library does with the next read. The place is free before the client can know.
    async fn say_goodbye(&mut self) -> Step {
        self.leave();
        while let Some(Ok(_)) = self.socket.next().await {}
        Err(Over)
    }

    fn leave(&mut self) {
        self.shared.forget(self.number);
        if std::mem::take(&mut self.holds_place) {
            self.shared.free_place(&self.client.path);
        }
    }

    /// Any key if none is configured; a token stands for the pair, and is as secret as its secret.
    fn knows(&self, key: &str, secret: &str) -> bool {
        match &self.shared.settings.keys {
            None => !key.is_empty(),
            Some((known, hidden)) => secret == hidden && (key == known || TOKENS.contains(&key)),
        }
    }

    async fn hear(&mut self, message: &Message) -> Step {
        let message = wire::read(self.client.encoding, message);
        match protocol::read(message.as_ref()) {
            Request::Authenticate(key, secret) => self.authenticate(&key, &secret).await,
            _ if !self.session.authenticated => self.say(&error(401, "not authenticated")).await,
            Request::Wrong(code, text) => self.say(&error(code, text)).await,
            Request::Change { subscribe, lists } => {
                match self.session.change(subscribe, lists, self.shared.settings.symbol_limit) {
                    Err(error) => self.say(&error).await,
                    Ok(()) => {
                        if self.shared.fault() == Some(Fault::MissingAck) {
                            self.session.forget_half();
                        }
                        self.choose();
                        let acknowledgement = self.session.acknowledgement();
                        self.say(&acknowledgement).await
                    }
                }
            }
        }
    }

    async fn authenticate(&mut self, key: &str, secret: &str) -> Step {
        if self.session.authenticated {
            return self.say(&error(403, "already authenticated")).await;
        }
        let fault = self.shared.fault();
        if !self.knows(key, secret) || fault == Some(Fault::AuthRefused) {
            self.shared.counters.refused.fetch_add(1, Relaxed);
            return self.say(&error(402, "auth failed")).await;
        }
        if fault == Some(Fault::ConnectionLimit) || !self.shared.take_place(&self.client.path) {
            self.shared.counters.refused.fetch_add(1, Relaxed);
            // The socket stays open: Alpaca's Go client tries again on it.
            return self.say(&error(406, "connection limit exceeded")).await;
        }
        self.holds_place = true;
        self.session.authenticated = true;
        self.say(&json!({"T": "success", "msg": "authenticated"})).await
    }

    fn choose(&mut self) {
        let chosen = self.market.symbols().enumerate().filter(|(_, symbol)| self.session.wants(symbol));
        self.chosen = chosen.map(|(at, _)| at).collect();
        self.shared.set_subscribed(self.number, self.session.quotes().cloned().collect());
    }

    async fn obey(&mut self, push: Result<Push, broadcast::error::RecvError>) -> Step {
        match push {
            Ok(Push::Quote(symbol, quote)) if self.session.wants(&symbol) => self.send_quote(&symbol, &quote).await,
            Ok(Push::Raw(message)) if self.session.authenticated => self.send(message).await,
            Ok(Push::Disconnect) => Err(Over),
            // Not for this client, or so slow that pushes were missed: then they are missed.
            _ => Ok(()),
        }
    }

    async fn send_quote(&mut self, symbol: &Symbol, quote: &Quote) -> Step {
        let mut frame = FrameBuilder::new(self.client.encoding);
        frame.push(symbol, quote);
        self.shared.counters.quotes.fetch_add(1, Relaxed);
        self.send(frame.take()).await
    }

    /// Later than any quote before.
    fn now(&self) -> i64 {
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        now.max(self.last_time)
    }

    async fn refuse(&mut self, code: u16, text: &str) -> Step {
        self.say(&error(code, text)).await?;
        let _ = self.socket.close(None).await;
        Err(Over)
    }

    async fn say(&mut self, message: &Value) -> Step {
        let message = wire::control(self.client.encoding, message);
        self.send(message).await
    }

    async fn send(&mut self, message: Message) -> Step {
        self.socket.send(message).await.map_err(|_| Over)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
    }
}
