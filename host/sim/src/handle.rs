use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use quotegate_market::{Quote, Symbol};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use crate::market::Market;
use crate::{Fault, Rate, SimSettings};

/// Pushes that can queue for a slow client before it misses some.
const PUSH_CAPACITY: usize = 65_536;

/// What clients send as the key if the secret is a token.
pub(crate) const TOKEN_KEYS: [&str; 2] = ["access_token", "oauth"];

/// Controls a running simulator: tests use it to send exact quotes, inject faults, and read counters.
#[derive(Debug, Clone)]
pub struct SimHandle {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: SimSettings,
    pub(crate) pushes: broadcast::Sender<Push>,
    pub(crate) counters: Counters,
    market: Mutex<Market>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) quotes: AtomicU64,
    pub(crate) rest_requests: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// Authenticated connections by path.
    connected: BTreeMap<String, usize>,
    /// When connections that are gone stop to count, by path.
    dead: BTreeMap<String, Vec<Instant>>,
    /// Quote subscriptions by connection.
    subscribed: BTreeMap<u64, BTreeSet<String>>,
}

/// A command to all connections.
#[derive(Debug, Clone)]
pub(crate) enum Push {
    Quote(Symbol, Quote),
    Raw(Message),
    Disconnect,
}

impl SimHandle {
    pub(crate) fn new(settings: SimSettings) -> Self {
        let state = State { fault: settings.fault, ..State::default() };
        let (pushes, _) = broadcast::channel(PUSH_CAPACITY);
        let market = Mutex::new(Market::new(settings.symbols(), settings.seed));
        let shared = Shared { settings, pushes, counters: Counters::default(), market, state: Mutex::new(state) };
        Self { shared: Arc::new(shared) }
    }

    /// Injects a fault from now on, or none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state.lock().fault = fault;
    }

    /// Sends this quote to every client that is subscribed to its symbol.
    pub fn send_quote(&self, symbol: &Symbol, quote: &Quote) {
        self.change_quote(symbol, quote);
        self.push(Push::Quote(symbol.clone(), *quote));
    }

    /// Makes this quote the latest, for REST, and sends it to no client, as if all of them had missed it.
    pub fn change_quote(&self, symbol: &Symbol, quote: &Quote) {
        self.shared.market().record(symbol, quote);
    }

    /// Sends this text frame to every client.
    pub fn send_text(&self, text: &str) {
        self.push(Push::Raw(Message::text(text)));
    }

    /// Sends this binary frame to every client.
    pub fn send_binary(&self, bytes: &[u8]) {
        self.push(Push::Raw(Message::binary(bytes.to_vec())));
    }

    /// Drops every connection without a close frame.
    pub fn disconnect_all(&self) {
        self.push(Push::Disconnect);
    }

    /// Connections upgraded so far.
    pub fn connections(&self) -> u64 {
        self.shared.counters.connections.load(Relaxed)
    }

    /// Connections and keys refused so far (402, 406, HTTP 429).
    pub fn refused(&self) -> u64 {
        self.shared.counters.refused.load(Relaxed)
    }

    /// Requests over REST so far, whatever the answer was.
    pub fn rest_requests(&self) -> u64 {
        self.shared.counters.rest_requests.load(Relaxed)
    }

    /// Quotes sent so far, over all clients.
    pub fn quotes_sent(&self) -> u64 {
        self.shared.counters.quotes.load(Relaxed)
    }

    /// Authenticated connections at the moment.
    pub fn connected(&self) -> usize {
        self.shared.state.lock().connected.values().sum()
    }

    /// Symbols whose quotes any client is subscribed to; may include `*`.
    pub fn subscribed(&self) -> BTreeSet<String> {
        self.shared.state.lock().subscribed.values().flatten().cloned().collect()
    }

    fn push(&self, push: Push) {
        // An error means that no client is connected.
        let _ = self.shared.pushes.send(push);
    }
}

impl Shared {
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.state.lock().fault
    }

    /// The market. Never held while anything is awaited.
    pub(crate) fn market(&self) -> MutexGuard<'_, Market> {
        self.market.lock()
    }

    /// True if quotes are made up without being asked for.
    pub(crate) fn simulates(&self) -> bool {
        self.settings.scenario.is_none() && self.settings.rate != Rate::PerSecond(0.0)
    }

    /// Accepts any key if none is configured. A token is checked against the configured secret.
    pub(crate) fn accepts(&self, key: &str, secret: &str) -> bool {
        if self.fault() == Some(Fault::AuthRefused) {
            return false;
        }
        match &self.settings.keys {
            None => !key.is_empty(),
            Some((configured, configured_secret)) => {
                secret == configured_secret && (key == configured || TOKEN_KEYS.contains(&key))
            }
        }
    }

    /// Takes one of the connection slots of `path`; false if none is free.
    pub(crate) fn take_slot(&self, path: &str) -> bool {
        let mut state = self.state.lock();
        let dead = state.dead.get_mut(path).map_or(0, |dead| {
            dead.retain(|until| *until > Instant::now());
            dead.len()
        });
        let connected = state.connected.entry(path.to_owned()).or_default();
        let free = *connected + dead < self.settings.connection_limit;
        *connected += usize::from(free);
        free
    }

    pub(crate) fn free_slot(&self, path: &str) {
        if let Some(connected) = self.state.lock().connected.get_mut(path) {
            *connected = connected.saturating_sub(1);
        }
    }

    /// Frees the slot of a connection that ended without a close frame.
    pub(crate) fn end_without_close(&self, path: &str) {
        self.free_slot(path);
        let mut state = self.state.lock();
        if let Some(Fault::DeadSession(seconds)) = state.fault {
            let until = Instant::now() + Duration::from_secs(seconds);
            state.dead.entry(path.to_owned()).or_default().push(until);
        }
    }

    pub(crate) fn set_subscribed(&self, connection: u64, quotes: BTreeSet<String>) {
        self.state.lock().subscribed.insert(connection, quotes);
    }

    pub(crate) fn forget(&self, connection: u64) {
        self.state.lock().subscribed.remove(&connection);
    }
}
