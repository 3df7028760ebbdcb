mod quotes;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{SinkExt, StreamExt};
use quotegate_market::{Encoding, Quote, Symbol};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::handle::{Push, Shared};
use crate::playback::Playback;
use crate::protocol::{self, ClientState, Request, error};
use crate::wire::{self, FrameBuilder};
use crate::{Fault, Rate, clock};

/// How often due quotes are sent.
const TICK: Duration = Duration::from_millis(2);
/// Maximum quotes per frame; at the highest rate, every frame has this many.
const MAX_FRAME_QUOTES: usize = 64;
/// Frames or quotes before a delayed fault begins.
const WARM_UP: u64 = 100;
/// A client, as described by its upgrade request.
pub(crate) struct Client {
    pub(crate) path: String,
    pub(crate) encoding: Encoding,
    /// Key and secret, if sent in headers.
    pub(crate) keys: Option<(String, String)>,
}

/// One client's connection.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    client: Client,
    number: u64,
    shared: Arc<Shared>,
    pushes: broadcast::Receiver<Push>,
    state: ClientState,
    /// Replaces the market's quotes if there is a scenario.
    playback: Option<Playback>,
    /// Indexes of the market's symbols that the client is subscribed to.
    chosen: Vec<usize>,
    frame: FrameBuilder,
    rng: Rng,
    frames: u64,
    quotes: u64,
    last_time: i64,
    holds_slot: bool,
}

/// The connection has ended.
struct Disconnected;

impl Connection {
    pub(crate) fn new(socket: WebSocketStream<TcpStream>, client: Client, number: u64, shared: Arc<Shared>) -> Self {
        let settings = &shared.settings;
        Self {
            pushes: shared.pushes.subscribe(),
            state: ClientState::default(),
            playback: None,
            chosen: Vec::new(),
            frame: FrameBuilder::new(client.encoding),
            rng: Rng::with_seed(settings.seed),
            frames: 0,
            quotes: 0,
            last_time: 0,
            holds_slot: false,
            socket,
            client,
            number,
            shared,
        }
    }

    pub(crate) async fn run(mut self) {
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> Result<(), Disconnected> {
        self.send_control(&json!({"T": "success", "msg": "connected"})).await?;
        if let Some((key, secret)) = self.client.keys.clone() {
            self.authenticate(&key, &secret).await?;
        }
        let deadline = Instant::now() + self.shared.settings.auth_timeout;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sent_until = Instant::now();
        loop {
            if self.is_stuck() {
                return self.hang().await;
            }
            let settings = &self.shared.settings;
            let full_speed = settings.rate == Rate::Max && settings.scenario.is_none() && !self.chosen.is_empty();
            tokio::select! {
                biased;
                message = self.socket.next() => match message {
                    Some(Ok(Message::Close(_))) => return self.answer_close().await,
                    Some(Err(_)) | None => return Err(Disconnected),
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        self.handle_message(&message).await?;
                        sent_until = Instant::now();
                    }
                    // The library queues pong replies and sends them with the next write or flush.
                    Some(Ok(_)) => self.socket.flush().await.map_err(|_| Disconnected)?,
                },
                push = self.pushes.recv() => self.handle_push(push).await?,
                () = sleep_until(deadline), if !self.state.authenticated => {
                    return self.refuse(404, "auth timeout").await;
                }
                () = std::future::ready(()), if full_speed => {
                    for _ in 0..MAX_FRAME_QUOTES {
                        self.send_quotes(self.shared.settings.quotes_per_frame.unwrap_or(MAX_FRAME_QUOTES)).await?;
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

    /// Neither reads nor writes, with the socket open, until the fault is removed. The slot is free meanwhile, as Alpaca
    /// gives up a dead connection after a while; otherwise no client could recover.
    async fn hang(&mut self) -> Result<(), Disconnected> {
        self.release();
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
        Err(Disconnected)
    }

    /// Answers a close frame, which the library does on the next read. Frees the slot before the client sees the answer.
    async fn answer_close(&mut self) -> Result<(), Disconnected> {
        self.release();
        while let Some(Ok(_)) = self.socket.next().await {}
        Err(Disconnected)
    }

    fn release(&mut self) {
        self.shared.forget(self.number);
        if std::mem::take(&mut self.holds_slot) {
            self.shared.free_slot(&self.client.path);
        }
    }

    async fn handle_message(&mut self, message: &Message) -> Result<(), Disconnected> {
        let message = wire::read(self.client.encoding, message);
        match protocol::read(message.as_ref()) {
            Request::Authenticate(key, secret) => self.authenticate(&key, &secret).await,
            _ if !self.state.authenticated => self.send_control(&error(401, "not authenticated")).await,
            Request::Invalid(code, text) => self.send_control(&error(code, text)).await,
            Request::Change { subscribe, lists } => {
                match self.state.change(subscribe, lists, self.shared.settings.symbol_limit) {
                    Err(error) => self.send_control(&error).await,
                    Ok(()) => {
                        if self.shared.fault() == Some(Fault::MissingAck) {
                            self.state.forget_half();
                        }
                        self.update_chosen();
                        let acknowledgement = self.state.acknowledgement();
                        self.send_control(&acknowledgement).await
                    }
                }
            }
        }
    }

    async fn authenticate(&mut self, key: &str, secret: &str) -> Result<(), Disconnected> {
        if self.state.authenticated {
            return self.send_control(&error(403, "already authenticated")).await;
        }
        if !self.shared.accepts(key, secret) {
            self.shared.counters.refused.fetch_add(1, Relaxed);
            return self.send_control(&error(402, "auth failed")).await;
        }
        if self.shared.fault() == Some(Fault::ConnectionLimit) || !self.shared.take_slot(&self.client.path) {
            self.shared.counters.refused.fetch_add(1, Relaxed);
            // The socket stays open, because Alpaca's Go client tries again on it.
            return self.send_control(&error(406, "connection limit exceeded")).await;
        }
        self.holds_slot = true;
        self.state.authenticated = true;
        self.send_control(&json!({"T": "success", "msg": "authenticated"})).await
    }

    fn update_chosen(&mut self) {
        let mut market = self.shared.market();
        if self.shared.settings.any_symbol {
            let named = self.state.quotes().filter_map(|name| Symbol::new(name).ok());
            named.for_each(|symbol| market.simulate(&symbol));
        }
        self.chosen = market.simulated(|symbol| self.state.wants(symbol));
        drop(market);
        self.shared.set_subscribed(self.number, self.state.quotes().cloned().collect());
    }

    async fn handle_push(&mut self, push: Result<Push, broadcast::error::RecvError>) -> Result<(), Disconnected> {
        match push {
            Ok(Push::Quote(symbol, quote)) if self.state.wants(&symbol) => self.send_quote(&symbol, &quote).await,
            Ok(Push::Raw(message)) if self.state.authenticated => self.send(message).await,
            Ok(Push::Disconnect) => Err(Disconnected),
            // Not for this client, or it was too slow and missed some pushes.
            _ => Ok(()),
        }
    }

    async fn send_quote(&mut self, symbol: &Symbol, quote: &Quote) -> Result<(), Disconnected> {
        let mut frame = FrameBuilder::new(self.client.encoding);
        frame.push(symbol, quote);
        self.shared.counters.quotes.fetch_add(1, Relaxed);
        self.send(frame.take()).await
    }

    /// The current time, but never earlier than the last quote.
    fn now(&self) -> i64 {
        clock::unix_nanos().max(self.last_time)
    }

    async fn refuse(&mut self, code: u16, text: &str) -> Result<(), Disconnected> {
        self.send_control(&error(code, text)).await?;
        let _ = self.socket.close(None).await;
        Err(Disconnected)
    }

    async fn send_control(&mut self, message: &Value) -> Result<(), Disconnected> {
        let message = wire::control(self.client.encoding, message);
        self.send(message).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Disconnected> {
        self.socket.send(message).await.map_err(|_| Disconnected)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.forget(self.number);
        if self.holds_slot {
            self.shared.end_without_close(&self.client.path);
        }
    }
}
