//! A tenant's whole task under paused time, with a scripted sink.

mod core;
mod destinations;
mod full_sink;
mod late;
mod simulated;
mod updates;

use super::*;
use crate::budget::{Budget, now};
use crate::inbox::Inbox;
use crate::pause::{Pause, PauseFlag};
use proptest::prelude::*;
use quotegate_document::{CollectionPath, Destination, Document, DocumentShape, TenantId, Value};
use quotegate_market::{AssetClass, Quote, QuoteColumns, Symbol};
use quotegate_pace::{Backoff, Rate};
use quotegate_plugin::{
    Collections, EngineSettings, OnError, PluginChain, PluginEngine, PluginLimits, PluginSpec, PreparedPlugin,
};
use quotegate_sink::{DocumentWrite, Outcome};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

/// A running tenant, its channels, and everything that the sink was asked to write.
struct Harness {
    inbox: Arc<Inbox>,
    status: Arc<TenantStatus>,
    deadline: watch::Sender<Option<Instant>>,
    task: JoinHandle<Unflushed>,
    sink: JoinHandle<Vec<Attempt>>,
    stop: CancellationToken,
    named: u32,
    updates: mpsc::UnboundedSender<Box<TenantUpdate>>,
    spec: TenantSpec,
    wake: Arc<Notify>,
    pause: Arc<PauseFlag>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Attempt {
    at: Instant,
    symbol: String,
    event_time: i64,
    /// The version of the map that made the document.
    version: Option<i64>,
}

/// What the sink answers to the n-th attempt, and after how long.
type Script = Box<dyn FnMut(usize) -> (Duration, Outcome) + Send>;

fn retry() -> Outcome {
    Outcome::retry(quotegate_sink::RetryReason::Unavailable)
}

fn event_time(document: &Document) -> i64 {
    let field = document.fields.iter().find(|field| field.path.as_str() == "ts").unwrap();
    let Value::Timestamp(time) = field.value else { panic!("ts is a timestamp") };
    time
}

fn version(document: &Document) -> Option<i64> {
    let field = document.fields.iter().find(|field| field.path.as_str() == "version")?;
    let Value::Integer(version) = field.value else { panic!("version is a whole number") };
    Some(version)
}

/// The standard map, writing the exchange time and a constant.
fn versioned_map(engine: &PluginEngine, version: i64, id: &str) -> PluginChain {
    let config = format!(r#"{{"id": "{id}", "fields": {{"ts": "event_time", "version": {{"constant": {version}}}}}}}"#);
    chain([plugin(PreparedPlugin::new(engine, "map", MAP, None).unwrap(), config)])
}

const MAP: &[u8] = include_bytes!("../../../../plugins/components/field-map.wasm");
const FILTER: &[u8] = include_bytes!("../../../../plugins/components/quote-filter.wasm");

fn plugin(plugin: PreparedPlugin, config: String) -> PluginSpec {
    PluginSpec {
        plugin,
        config,
        limits: PluginLimits { time_per_call: 60 * SECOND, share_of_time: 1.0, ..PluginLimits::default() },
        on_error: OnError::Drop,
        chain: false,
        collections: Collections::new("live_quotes", &[]).unwrap(),
    }
}

fn chain<const PLUGINS: usize>(plugins: [PluginSpec; PLUGINS]) -> PluginChain {
    PluginChain::start(TenantId::new("acme").unwrap(), plugins.into()).unwrap()
}

/// The standard filter, which refuses wide spreads, and the standard map, which writes one document per tape.
fn filter_and_map() -> PluginChain {
    static COMPILED: LazyLock<(PluginEngine, [PreparedPlugin; 2])> = LazyLock::new(|| {
        let engine = engine();
        let prepared = [("filter", FILTER), ("map", MAP)]
            .map(|(name, bytes)| PreparedPlugin::new(&engine, name, bytes, None).unwrap());
        (engine, prepared)
    });
    let [filter, map] = COMPILED.1.clone();
    chain([
        plugin(filter, r#"{"max_spread_bps": 500}"#.into()),
        plugin(map, r#"{"id": "{tape}", "fields": {"ts": "event_time"}}"#.into()),
    ])
}

/// A map that may make no documents at all, so that its first one stops the tenant.
fn failing_map() -> PluginChain {
    let engine = engine();
    let map =
        plugin(PreparedPlugin::new(&engine, "map", MAP, None).unwrap(), r#"{"fields": {"ts": "event_time"}}"#.into());
    let limits = PluginLimits { documents_per_quote: 0, ..map.limits };
    chain([PluginSpec { limits, on_error: OnError::StopTenant, ..map }])
}

/// The ask of a quote with a wide spread.
const WIDE: f64 = 200.0;

/// A quote of a symbol that is always on the same tape.
fn quote(symbol: u32, wide: bool) -> Quote {
    Quote { bid_price: 100.0, ask_price: if wide { WIDE } else { 100.5 }, tape: tape(symbol) as u8, ..Quote::default() }
}

fn tape(symbol: u32) -> char {
    ['A', 'B', 'C'][symbol as usize % 3]
}

fn destination(collection: &str, shape: Option<DocumentShape>) -> Destination {
    Destination { collection: CollectionPath::new(collection).unwrap(), shape }
}

fn spec() -> TenantSpec {
    TenantSpec {
        id: TenantId::new("acme").unwrap(),
        per_symbol_min_interval: SECOND,
        rate: None,
        destinations: vec![destination("live_quotes", None)],
        mirror: None,
        asset_class: AssetClass::UsEquity,
        order_field: None,
        retry: Backoff::new(SECOND / 10, SECOND).unwrap(),
    }
}

fn engine() -> PluginEngine {
    PluginEngine::new(&EngineSettings { instances: 16, ..EngineSettings::default() }).unwrap()
}

async fn scripted_sink(mut received: mpsc::Receiver<DocumentWrite>, mut script: Script) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    while let Some(write) = received.recv().await {
        let (delay, outcome) = script(attempts.len());
        let symbol = write.target.document.key.id().to_owned();
        let version = version(&write.target.document);
        attempts.push(Attempt { at: now(), symbol, event_time: event_time(&write.target.document), version });
        if delay.is_zero() {
            write.answer(outcome);
            continue;
        }
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            write.answer(outcome);
        });
    }
    attempts
}

impl Harness {
    fn change(&self, chain: PluginChain) {
        self.send(self.spec.clone(), Some(Some(chain)), None);
    }

    fn send(&self, spec: TenantSpec, chain: Option<Option<PluginChain>>, leave_by: Option<Instant>) {
        let (applied, _) = oneshot::channel();
        self.updates.send(Box::new(TenantUpdate { spec, chain, leave_by, applied })).unwrap();
        self.wake.notify_one();
    }

    fn pause(&self) {
        self.pause.set(Some(Pause::Operator("a test".into())));
    }

    fn open(interval: Duration, rate: Rate, script: Script) -> Self {
        Self::open_with(None, interval, rate, script)
    }

    fn open_with(chain: Option<PluginChain>, interval: Duration, rate: Rate, script: Script) -> Self {
        Self::open_onto(chain, interval, rate, |received| tokio::spawn(scripted_sink(received, script)))
    }

    fn open_onto(
        chain: Option<PluginChain>,
        interval: Duration,
        rate: Rate,
        sink: impl FnOnce(mpsc::Receiver<DocumentWrite>) -> JoinHandle<Vec<Attempt>>,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
        let status = Arc::new(TenantStatus::default());
        let budget = Budget::new(rate);
        let (writes, received) = mpsc::channel(16);
        let (deadline, deadline_seen) = watch::channel(None);
        let stop = CancellationToken::new();
        tokio::spawn({
            let (budget, stop) = (budget.clone(), stop.clone());
            async move { budget.run(stop).await }
        });
        let spec = TenantSpec { per_symbol_min_interval: interval, ..spec() };
        let (updates, updates_seen) = mpsc::unbounded_channel();
        let spec_seen = spec.clone();
        let (status_seen, waker, budget_seen) = (status.clone(), wake.clone(), budget.clone());
        let pause = Arc::new(PauseFlag::new(wake.clone()));
        let io = TenantIo {
            inbox: inbox.clone(),
            pause: pause.clone(),
            wake,
            budget,
            writes,
            status,
            deadline: deadline_seen,
            latencies: None,
            updates: updates_seen,
        };
        let (task, status) = (tokio::spawn(TenantTask::new(spec, chain, io).run()), status_seen);
        let sink = sink(received);
        Self {
            inbox,
            status,
            deadline,
            task,
            sink,
            stop,
            named: 0,
            updates,
            spec: spec_seen,
            wake: waker,
            pause,
            budget: budget_seen,
        }
    }

    fn quote(&mut self, slot: u32, event_time: i64) {
        let quote = Quote { event_time, bid_price: 1.0, ask_price: 2.0, ..Quote::default() };
        while self.named <= slot {
            self.inbox.add_slot(Symbol::new(&format!("S{}", self.named)).unwrap());
            self.named += 1;
        }
        self.inbox.deliver(std::iter::once((slot, quote)));
    }

    /// Shuts down with this grace period. Returns what was left, and every attempt.
    async fn close(self, grace: Duration) -> (Unflushed, Vec<Attempt>, Arc<TenantStatus>) {
        self.inbox.close();
        self.deadline.send(Some(now() + grace)).unwrap();
        let unflushed = self.task.await.unwrap();
        self.stop.cancel();
        (unflushed, self.sink.await.unwrap(), self.status)
    }
}

fn plenty() -> Rate {
    Rate::new(10_000.0, 1000).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_first_quote_is_written_at_once() {
    let mut harness = Harness::open(SECOND, plenty(), Box::new(|_| (Duration::ZERO, Outcome::Written)));
    let began = now();
    harness.quote(0, 1);
    let (unflushed, attempts, status) = harness.close(SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    assert_eq!((attempts[0].at - began, attempts[0].symbol.as_str()), (Duration::ZERO, "S0"));
    assert_eq!((status.snapshot().counters.quotes, status.snapshot().counters.written), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_retried_unless_a_newer_quote_arrived() {
    let script: Script = Box::new(|attempt| (SECOND, if attempt == 0 { retry() } else { Outcome::Written }));
    let mut harness = Harness::open(SECOND, plenty(), script);
    harness.quote(0, 1);
    harness.quote(1, 1);
    tokio::time::sleep(SECOND / 2).await;
    harness.quote(0, 2);
    let (unflushed, attempts, status) = harness.close(60 * SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    let of = |symbol: &str| attempts.iter().filter(|a| a.symbol == symbol).map(|a| a.event_time).collect::<Vec<_>>();
    assert_eq!((of("S0"), of("S1")), (vec![1, 2], vec![1]));
    assert_eq!(status.snapshot().counters.retried, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sink_cannot_keep_the_tenant_past_the_deadline() {
    let mut harness = Harness::open(SECOND, plenty(), Box::new(|_| (3600 * SECOND, Outcome::Written)));
    harness.quote(0, 1);
    harness.quote(1, 1);
    tokio::time::sleep(SECOND).await;
    harness.quote(1, 2);
    let began = now();
    let (unflushed, ..) = harness.close(5 * SECOND).await;
    assert_eq!(unflushed, Unflushed { dirty: 0, in_flight: 2 });
    assert_eq!(now() - began, 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_quote_goes_through_exactly_one_of_the_old_map_and_the_new_one() {
    const QUOTES: u32 = 60;
    let engine = engine();
    let slow = Rate::new(20.0, 1).unwrap();
    let written: Script = Box::new(|_| (SECOND / 20, Outcome::Written));
    let mut harness = Harness::open_with(Some(versioned_map(&engine, 1, "{symbol}")), SECOND, slow, written);
    for slot in 0..QUOTES {
        harness.quote(slot, 1);
    }
    tokio::time::sleep(SECOND).await;
    harness.change(versioned_map(&engine, 2, "{symbol}"));
    let (unflushed, attempts, _) = harness.close(60 * SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    let symbols: std::collections::HashSet<_> = attempts.iter().map(|attempt| attempt.symbol.as_str()).collect();
    assert_eq!((attempts.len(), symbols.len()), (QUOTES as usize, QUOTES as usize));
    let versions: Vec<_> = attempts.iter().map(|attempt| attempt.version.unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert_eq!((versions[0], versions[versions.len() - 1]), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn symbols_that_share_a_document_take_turns_and_the_newest_quote_stays() {
    let engine = engine();
    let mut failures = 0;
    let script: Script = Box::new(move |attempt| {
        failures += usize::from(attempt % 3 == 1);
        (SECOND / 5, if attempt % 3 == 1 && failures < 4 { retry() } else { Outcome::Written })
    });
    let mut harness = Harness::open_with(Some(versioned_map(&engine, 1, "one")), Duration::ZERO, plenty(), script);
    for time in 1..40 {
        harness.quote(u32::try_from(time % 4).unwrap(), time);
        tokio::time::sleep(SECOND / 10).await;
    }
    let (unflushed, attempts, _) = harness.close(60 * SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    assert!(attempts.iter().all(|attempt| attempt.symbol == "one"));
    for pair in attempts.windows(2) {
        assert!(pair[1].event_time >= pair[0].event_time, "{attempts:?}");
        assert!(pair[1].at >= pair[0].at + SECOND / 5, "two writes of one document were in flight");
    }
    assert_eq!(attempts.last().unwrap().event_time, 39);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Invariant 7: a shutdown flushes what buckets, intervals and grace period allow, counts the rest, and stays within
    /// the limits.
    #[test]
    fn shutdown_flushes_what_is_allowed_and_counts_the_rest(
        quotes in prop::collection::vec((0_u32..30, 0_u64..200), 1..200),
        per_second in 1.0_f64..60.0,
        burst in 1_u32..10,
        interval_ms in 1_u64..2000,
        grace_ms in 0_u64..8000,
        failure_percent in 0_u8..40,
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut sink_rng = fastrand::Rng::with_seed(seed);
            let script: Script = Box::new(move |_| {
                let failed = sink_rng.u8(0..100) < failure_percent;
                (Duration::from_millis(sink_rng.u64(0..300)), if failed { retry() } else { Outcome::Written })
            });
            let interval = Duration::from_millis(interval_ms);
            let mut harness = Harness::open(interval, Rate::new(per_second, burst).unwrap(), script);
            let mut newest = HashMap::new();
            for (at, (slot, pause)) in quotes.iter().enumerate() {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                harness.quote(*slot, at as i64);
                newest.insert(format!("S{slot}"), at as i64);
            }
            let closed = now();
            let (unflushed, attempts, status) = harness.close(Duration::from_millis(grace_ms)).await;

            let mut last: HashMap<&str, &Attempt> = HashMap::new();
            for attempt in &attempts {
                if let Some(before) = last.insert(&attempt.symbol, attempt) {
                    assert!(attempt.at - before.at >= interval);
                    assert!(attempt.event_time >= before.event_time);
                }
            }
            let sent = newest.iter().filter(|(symbol, time)| last.get(symbol.as_str()).is_some_and(|a| a.event_time == **time));
            let snapshot = status.snapshot();
            assert!(newest.len() - sent.count() <= unflushed.dirty + unflushed.in_flight);
            assert_eq!(snapshot.counters.quotes, quotes.len() as u64);
            assert_eq!(snapshot.counters.attempted, attempts.len() as u64);
            if unflushed == Unflushed::default() {
                assert_eq!(snapshot.counters.attempted, snapshot.counters.written + snapshot.counters.retried);
            } else {
                // It used the whole grace period before it gave up.
                assert!(now() - closed >= Duration::from_millis(grace_ms));
            }
            for (first, from) in attempts.iter().enumerate() {
                for (at, to) in attempts.iter().enumerate().skip(first) {
                    let allowed = f64::from(burst) + per_second * (to.at - from.at).as_secs_f64();
                    assert!((at - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        });
    }
}
