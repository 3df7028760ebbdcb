//! A reader and workers of one feed, in this process.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quotegate_market::{FeedName, Quote, QuoteColumns, QuoteReceiver, Subscription, SymbolId, SymbolTable};
use quotegate_relay::{Publisher, ReaderStatus, Relay, RelaySettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn settings(url: &str) -> RelaySettings {
    RelaySettings::new(url.to_owned(), FeedName::Test)
}

/// Waits until `condition` holds, however busy the machine is.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) struct Reader {
    pub(crate) relay: Relay,
    pub(crate) epoch: watch::Sender<Option<u64>>,
    publisher: Publisher,
    symbols: SymbolTable,
    /// The newest of each symbol.
    pub(crate) sent: HashMap<String, i64>,
    /// The longest that the feed's thread was held up.
    pub(crate) longest_receive: Duration,
    /// The longest that the task held its thread without giving it back.
    pub(crate) longest_turn: Arc<Mutex<Duration>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) async fn start(url: &str, epoch: u64) -> Self {
        Self::start_with(settings(url), epoch).await
    }

    pub(crate) async fn start_with(settings: RelaySettings, epoch: u64) -> Self {
        let relay = Relay::connect(settings).await.unwrap();
        let (publisher, task) = relay.publisher();
        let (epoch, receiver) = watch::channel(Some(epoch));
        let stop = CancellationToken::new();
        let longest_turn = Arc::new(Mutex::default());
        let task = task.run(receiver, || b"hello".to_vec(), stop.clone());
        let task = tokio::spawn(Timed { future: Box::pin(task), longest: longest_turn.clone() });
        let (symbols, sent, longest_receive) = (SymbolTable::default(), HashMap::new(), Duration::ZERO);
        Self { relay, epoch, publisher, symbols, sent, longest_receive, longest_turn, stop, task }
    }

    pub(crate) fn quote(&mut self, name: &str, event_time: i64) {
        self.quotes([(name.to_owned(), event_time)]);
    }

    pub(crate) fn quotes(&mut self, rows: impl IntoIterator<Item = (String, i64)>) {
        let mut quotes = QuoteColumns::default();
        for (name, event_time) in rows {
            let id = self.symbols.intern(name.as_bytes()).unwrap();
            quotes.push(id.0, &Quote { bid_price: event_time as f64, event_time, ..Quote::default() });
            self.sent.insert(name, event_time);
        }
        let began = Instant::now();
        self.publisher.receive(&quotes, &self.symbols);
        self.longest_receive = self.longest_receive.max(began.elapsed());
    }

    /// As a feed that starts again does.
    pub(crate) fn restart_feed(&mut self) {
        self.symbols = SymbolTable::default();
    }

    pub(crate) async fn connected(&self) {
        until("the reader connects", || self.relay.status().connection.connected).await;
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// What a worker has received.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) latest: HashMap<String, i64>,
    /// Quotes that were older than one delivered before.
    pub(crate) backwards: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Table>>);

impl QuoteReceiver for Collected {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        let mut table = self.0.lock();
        for row in 0..quotes.len() {
            let name = symbols.symbol(SymbolId(quotes.symbol[row])).to_string();
            let event_time = quotes.event_time[row];
            let before = table.latest.insert(name, event_time).unwrap_or(i64::MIN);
            table.backwards += u64::from(event_time < before);
        }
    }
}

pub(crate) struct Worker {
    pub(crate) relay: Relay,
    pub(crate) table: Collected,
    pub(crate) wanted: watch::Sender<Arc<Subscription>>,
    pub(crate) reader: watch::Receiver<Option<ReaderStatus>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_with(settings(url), Subscription::All).await
    }

    pub(crate) async fn start_with(settings: RelaySettings, wanted: Subscription) -> Self {
        let relay = Relay::connect(settings).await.unwrap();
        let (wanted, receiver) = watch::channel(Arc::new(wanted));
        let subscriber = relay.subscriber(receiver);
        let reader = subscriber.reader();
        let (stop, table) = (CancellationToken::new(), Collected::default());
        let (stopped, mut collected) = (stop.clone(), table.clone());
        let task = tokio::spawn(async move { subscriber.run(&mut collected, stopped).await });
        Self { relay, table, wanted, reader, stop, task }
    }

    pub(crate) fn latest(&self) -> HashMap<String, i64> {
        self.table.0.lock().latest.clone()
    }

    pub(crate) fn backwards(&self) -> u64 {
        self.table.0.lock().backwards
    }

    /// Until it has the newest quote of each symbol.
    pub(crate) async fn has(&self, sent: &HashMap<String, i64>) {
        let deadline = Instant::now() + LIMIT;
        while self.latest() != *sent {
            let latest = self.latest();
            let lacks: Vec<_> = sent.iter().filter(|(name, time)| latest.get(*name) != Some(time)).take(5).collect();
            assert!(Instant::now() < deadline, "it lacks {lacks:?}: {:?}", self.relay.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn connected(&self) {
        until("the worker connects", || self.relay.status().connection.connected).await;
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Measures the longest time that a task holds its thread.
struct Timed<F> {
    future: Pin<Box<F>>,
    longest: Arc<Mutex<Duration>>,
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = Instant::now();
        let polled = self.future.as_mut().poll(cx);
        let mut longest = self.longest.lock();
        *longest = longest.max(began.elapsed());
        polled
    }
}
