use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quotegate_market::{Quote, Symbol};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use crate::{Fault, SimSettings};

/// Pushes that a slow client may have waiting before it misses some.
const PUSHES: usize = 65_536;

/// The simulator from outside, while it runs: for tests that want exact quotes, faults at a moment, and numbers.
#[derive(Debug, Clone)]
pub struct SimHandle {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: SimSettings,
    pub(crate) pushes: broadcast::Sender<Push>,
    pub(crate) counters: Counters,
    rare: Mutex<Rare>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) quotes: AtomicU64,
}

#[derive(Debug)]
struct Rare {
    fault: Option<Fault>,
    /// Authenticated connections by path.
    held: BTreeMap<String, usize>,
    /// Quote subscriptions by connection.
    subscribed: BTreeMap<u64, BTreeSet<String>>,
}

/// What every connection is told to do.
#[derive(Debug, Clone)]
pub(crate) enum Push {
    Quote(Symbol, Quote),
    Raw(Message),
    Disconnect,
}

impl SimHandle {
    pub(crate) fn new(settings: SimSettings) -> Self {
        let rare = Rare { fault: settings.fault, held: BTreeMap::new(), subscribed: BTreeMap::new() };
        let (pushes, _) = broadcast::channel(PUSHES);
        let shared = Shared { settings, pushes, counters: Counters::default(), rare: Mutex::new(rare) };
        Self { shared: Arc::new(shared) }
    }

    /// Does this wrong from now on, or nothing.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.rare().fault = fault;
    }

    /// Sends exactly this quote to every client that has subscribed to its symbol.
    pub fn send_quote(&self, symbol: &Symbol, quote: &Quote) {
        self.push(Push::Quote(symbol.clone(), *quote));
    }

    /// Sends exactly this text frame to every client.
    pub fn send_text(&self, text: &str) {
        self.push(Push::Raw(Message::text(text)));
    }

    /// Sends exactly this binary frame to every client.
    pub fn send_binary(&self, bytes: &[u8]) {
        self.push(Push::Raw(Message::binary(bytes.to_vec())));
    }

    /// Breaks every connection without a goodbye.
    pub fn disconnect_all(&self) {
        self.push(Push::Disconnect);
    }

    /// Connections that were ever upgraded.
    pub fn connections(&self) -> u64 {
        self.shared.counters.connections.load(Relaxed)
    }

    /// Connections and keys that were refused (402, 406, HTTP 429).
    pub fn refused(&self) -> u64 {
        self.shared.counters.refused.load(Relaxed)
    }

    /// Quotes sent, over all clients.
    pub fn quotes_sent(&self) -> u64 {
        self.shared.counters.quotes.load(Relaxed)
    }

    /// Authenticated connections now.
    pub fn connected(&self) -> usize {
        self.shared.rare().held.values().sum()
    }

    /// The names that any client has subscribed quotes of; `*` is one.
    pub fn subscribed(&self) -> BTreeSet<String> {
        self.shared.rare().subscribed.values().flatten().cloned().collect()
    }

    fn push(&self, push: Push) {
        // Nobody connected: nobody to tell.
        let _ = self.shared.pushes.send(push);
    }
}

impl Shared {
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.rare().fault
    }

    /// Takes one of the places of `path`; false when there is none.
    pub(crate) fn take_place(&self, path: &str) -> bool {
        let mut rare = self.rare();
        let held = rare.held.entry(path.to_owned()).or_default();
        let free = *held < self.settings.connection_limit;
        *held += usize::from(free);
        free
    }

    pub(crate) fn free_place(&self, path: &str) {
        if let Some(held) = self.rare().held.get_mut(path) {
            *held = held.saturating_sub(1);
        }
    }

    pub(crate) fn set_subscribed(&self, connection: u64, quotes: BTreeSet<String>) {
        self.rare().subscribed.insert(connection, quotes);
    }

    pub(crate) fn forget(&self, connection: u64) {
        self.rare().subscribed.remove(&connection);
    }

    fn rare(&self) -> MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
