//! The core alone, with every event in any order.

use super::*;
use crate::inbox::Batch;
use quotegate_document::{DocumentKey, RootMirror};
use quotegate_sink::{RefusedCode, RetryReason};

#[derive(Debug, Clone)]
enum Step {
    /// Symbol, age of its exchange time, and whether its spread is wide.
    Quotes(Vec<(u32, i64, bool)>),
    Wait(u64),
    /// Write with this many tokens.
    Tokens(usize),
    /// Answer one of the documents in flight.
    Answer(usize, Reply),
    /// Changes the interval, and perhaps restarts the same plugins.
    Update(u64, bool),
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    Written,
    Refused,
    /// What is stored is newer.
    Older,
    /// The write failed, or it succeeded and the answer was lost.
    Retry {
        arrived: bool,
    },
    /// Not sent: another host has just written the document.
    TooEarly {
        wait_ms: u64,
    },
}

impl Reply {
    fn outcome(self) -> Outcome {
        match self {
            Self::Written => Outcome::Written,
            Self::Refused => Outcome::Refused { code: RefusedCode::InvalidArgument, message: "no".into() },
            Self::Older => Outcome::Older,
            Self::Retry { .. } => Outcome::retry(RetryReason::Unavailable),
            Self::TooEarly { wait_ms } => Outcome::TooEarly { wait: Duration::from_millis(wait_ms) },
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Ticks come late, and what REST answers may be hours old.
    let age = prop_oneof![6 => Just(0_i64), 2 => 1_i64..50, 1 => 1000_i64..10_000_000];
    let quote = (0..SYMBOLS, age, prop::bool::weighted(0.2));
    let reply = prop_oneof![
        3 => Just(Reply::Written),
        1 => Just(Reply::Refused),
        1 => Just(Reply::Older),
        2 => any::<bool>().prop_map(|arrived| Reply::Retry { arrived }),
        1 => (1_u64..500).prop_map(|wait_ms| Reply::TooEarly { wait_ms }),
    ];
    let step = prop_oneof![
        4 => prop::collection::vec(quote, 1..8).prop_map(Step::Quotes),
        3 => (0_u64..400).prop_map(Step::Wait),
        4 => (1_usize..5).prop_map(Step::Tokens),
        5 => (any::<usize>(), reply).prop_map(|(which, reply)| Step::Answer(which, reply)),
        1 => (0_u64..500, prop::bool::weighted(0.2)).prop_map(|(interval, fresh)| Step::Update(interval, fresh)),
    ];
    prop::collection::vec(step, 1..150)
}

const SYMBOLS: u32 = 7;

/// A core, a sink that answers only when told to, and the invariants.
struct Model {
    core: TenantCore,
    plugins: bool,
    /// Each quote goes to several collections.
    several: bool,
    now: Instant,
    began: Instant,
    received: i64,
    named: u32,
    in_flight: Vec<Outgoing>,
    /// The newest accepted quote of each symbol.
    newest: HashMap<u32, i64>,
    /// What the database holds, by the exchange time of its quote.
    documents: HashMap<DocumentKey, i64>,
    /// The last write of each document, unless it must be retried.
    sent: HashMap<DocumentKey, i64>,
    /// When each symbol was last written, and the shortest interval so far.
    written_at: HashMap<u32, Instant>,
    /// The same before what is in flight, in case that it is too early.
    written_before: HashMap<u32, Instant>,
    /// Until when a symbol may not be written, because it was too early.
    too_early: HashMap<u32, Instant>,
    shortest: Duration,
}

/// With collections in both shapes and without one, and with the mirror, if there are several.
fn spec_with(interval: Duration, several: bool) -> TenantSpec {
    let mut spec = TenantSpec { per_symbol_min_interval: interval, ..spec() };
    if several {
        spec.destinations.push(destination("live_quotes/of/streamer", Some(DocumentShape::Streamer)));
        spec.destinations.push(destination("copy", None));
        spec.mirror = Some(RootMirror::new());
    }
    spec
}

impl Model {
    fn new(plugins: bool, several: bool, interval: Duration, seed: u64) -> Self {
        let spec = spec_with(interval, several);
        let now = Instant::now();
        Self {
            core: TenantCore::new(spec, plugins.then(filter_and_map), fastrand::Rng::with_seed(seed)),
            plugins,
            several,
            now,
            began: now,
            received: 0,
            named: 0,
            in_flight: Vec::new(),
            newest: HashMap::new(),
            documents: HashMap::new(),
            sent: HashMap::new(),
            written_at: HashMap::new(),
            written_before: HashMap::new(),
            too_early: HashMap::new(),
            shortest: interval,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Quotes(quotes) => self.quotes(quotes),
            Step::Wait(ms) => self.now += Duration::from_millis(*ms),
            Step::Tokens(tokens) => self.write(*tokens),
            Step::Answer(which, reply) if !self.in_flight.is_empty() => {
                let outgoing = self.in_flight.swap_remove(which % self.in_flight.len());
                self.answer(outgoing, *reply);
            }
            Step::Answer(..) => {}
            Step::Update(interval, fresh) => {
                let interval = Duration::from_millis(*interval);
                self.shortest = self.shortest.min(interval);
                let spec = spec_with(interval, self.several);
                let chain = fresh.then(|| self.plugins.then(filter_and_map));
                self.core.update(spec, chain, self.now);
            }
        }
        self.assert_every_quote_is_counted();
    }

    fn quotes(&mut self, quotes: &[(u32, i64, bool)]) {
        let mut batch = Batch::default();
        for (slot, back, wide) in quotes {
            self.received += 1;
            let time = i64::try_from((self.now - self.began).as_millis()).unwrap();
            let quote = Quote { event_time: time - back, received_time: self.received, ..quote(*slot, *wide) };
            batch.quotes.push(*slot, &quote);
            let new = (self.named..=*slot).map(|slot| Symbol::new(&format!("S{slot}")).unwrap());
            batch.new_symbols.extend(new);
            self.named = self.named.max(slot + 1);
        }
        self.core.take_batch(&mut batch, self.now, None);
        assert!(!self.plugins || batch.quotes.ask_price.iter().all(|price| *price < WIDE), "the filter let one pass");
        for (slot, time) in batch.quotes.symbol.iter().zip(&batch.quotes.event_time) {
            let newest = self.newest.entry(*slot).or_insert(*time);
            *newest = (*newest).max(*time);
        }
    }

    fn write(&mut self, tokens: usize) {
        for more in (0..tokens).rev() {
            let Some(outgoing) = self.core.next_write(self.now, more) else { return };
            let Outgoing { slot, document, event_time } = &outgoing;
            let same = self.in_flight.iter().any(|other| other.document.key == document.key);
            assert!(!same, "two writes of {} are in flight", document.key);
            // Where documents wait for each other or for tokens, the interval counts from when they were made.
            let waits = self.plugins || self.several;
            let until = self.too_early.remove(slot);
            assert!(waits || until.is_none_or(|until| self.now >= until), "too early once more");
            self.written_before.remove(slot);
            if let Some(before) = self.written_at.insert(*slot, self.now) {
                assert!(waits || self.now - before >= self.shortest, "two writes of a symbol are too close");
                self.written_before.insert(*slot, before);
            }
            self.sent.insert(document.key.clone(), *event_time);
            self.in_flight.push(outgoing);
        }
    }

    fn answer(&mut self, outgoing: Outgoing, reply: Reply) {
        let Outgoing { slot, document, event_time } = outgoing;
        if let Reply::Written | Reply::Retry { arrived: true } = reply {
            let held = self.documents.insert(document.key.clone(), event_time);
            assert!(held.is_none_or(|held| held <= event_time), "{} went backwards", document.key);
        }
        if let Reply::Retry { .. } | Reply::TooEarly { .. } = reply {
            self.sent.remove(&document.key);
        }
        if let Reply::TooEarly { wait_ms } = reply {
            self.too_early.insert(slot, self.now + Duration::from_millis(wait_ms));
            self.written_at.remove(&slot);
            self.written_at.extend(self.written_before.remove(&slot).map(|before| (slot, before)));
        }
        self.core.answer(slot, document, &reply.outcome(), self.now);
    }

    fn assert_every_quote_is_counted(&mut self) {
        let counters = self.core.counters(self.now);
        let TenantCounters { conflated, older, filtered, lost, unmapped, settled, dirty, in_flight, .. } = counters;
        // A symbol in flight may have a newer quote that waits.
        let (latest, _) = self.core.latest();
        let is_newer = |slot: &u32| {
            let sent = self.core.received_time(*slot);
            sent.is_some() && latest.latest(*slot).map(|quote| quote.received_time) != sent
        };
        let newer = (0..SYMBOLS).filter(is_newer).count() as u64;
        let ended = conflated + older + filtered + lost + unmapped + settled;
        assert_eq!(counters.quotes, ended + dirty + in_flight + newer, "{counters:?}");
        assert_eq!(self.core.unanswered(), self.in_flight.len() as u64);
    }

    /// All documents of a symbol.
    fn keys(&self, slot: u32) -> Vec<DocumentKey> {
        let own = format!("S{slot}");
        let mapped = if self.plugins { tape(slot).to_string() } else { own.clone() };
        let mut keys = vec![DocumentKey::new("live_quotes", &mapped).unwrap()];
        if self.several {
            keys.push(DocumentKey::new("copy", mapped).unwrap());
            keys.push(DocumentKey::new("live_quotes/of/streamer", &own).unwrap());
            keys.push(RootMirror::new().document(own).unwrap());
        }
        keys
    }

    /// No more quotes arrive, and the sink accepts everything.
    fn drain(&mut self) {
        for _ in 0..1000 {
            self.write(10);
            while let Some(outgoing) = self.in_flight.pop() {
                self.answer(outgoing, Reply::Written);
            }
            self.assert_every_quote_is_counted();
            if self.core.wants(self.now) == 0 {
                match self.core.next_due_at() {
                    Some(at) => self.now = self.now.max(at),
                    None => break,
                }
            }
        }
        assert!(self.core.is_settled());
        let mut expected = HashMap::new();
        for (slot, time) in &self.newest {
            for key in self.keys(*slot) {
                let newest = expected.entry(key).or_insert(*time);
                *newest = (*newest).max(*time);
            }
        }
        assert_eq!(self.sent, expected, "the last word of each document");
        let counters = self.core.counters(self.now);
        let TenantCounters { conflated, older, filtered, lost, unmapped, settled, .. } = counters;
        assert_eq!(counters.quotes, conflated + older + filtered + lost + unmapped + settled);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Invariants 2, 3 and 10, in any order of quotes, time, tokens, answers and updates. With plugins, symbols share
    /// documents; with several collections, a quote has several documents.
    #[test]
    fn the_newest_quote_is_written_nothing_goes_backwards_and_every_quote_is_counted(
        steps in steps(),
        plugins: bool,
        several: bool,
        interval_ms in 0_u64..500,
        seed: u64,
    ) {
        let mut model = Model::new(plugins, several, Duration::from_millis(interval_ms), seed);
        for step in &steps {
            model.step(step);
        }
        model.drain();
    }
}

#[test]
fn a_stopped_tenant_counts_its_quotes_as_lost_until_its_plugins_are_replaced() {
    let now = Instant::now();
    let mut core = TenantCore::new(spec(), Some(failing_map()), fastrand::Rng::with_seed(0));
    let batch = |new: bool| {
        let mut batch = Batch::default();
        batch.quotes.push(0, &quote(0, false));
        batch.new_symbols.extend(new.then(|| Symbol::new("S0").unwrap()));
        batch
    };
    core.take_batch(&mut batch(true), now, None);
    assert_eq!(core.next_write(now, 0), None);
    assert!(core.stopped().is_some() && core.is_settled());
    core.take_batch(&mut batch(false), now, None);
    assert_eq!((core.wants(now), core.next_due_at(), core.counters(now).lost), (0, None, 2));
    core.update(spec(), Some(None), now);
    core.take_batch(&mut batch(false), now + SECOND, None);
    assert!(core.stopped().is_none());
    assert!(core.next_write(now + SECOND, 0).is_some());
}
