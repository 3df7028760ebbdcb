use std::collections::VecDeque;
use std::time::Instant;

use fastrand::Rng;
use quotegate_document::Document;
use quotegate_market::{Quote, Symbol, UnixNanos};
use quotegate_pace::{Accepted, LatestTable, Resolution};
use quotegate_plugin::{PluginChain, StopTenant};
use quotegate_sink::{Conflicts, Outcome};

use super::TenantSpec;
use super::counters::TenantCounters;
use super::in_flight::{AttemptEnd, InFlightWrites, TimedDocument};
use super::plugin_stage::{FilterObserver, Made, PluginStage};
use super::write_order::{Admission, Outgoing, WriteOrder};
use crate::inbox::Batch;

/// A tenant as a state machine: quotes and outcomes go in, the next document to write comes out.
///
/// It does no IO and reads no clock: the caller passes the time, brings the tokens, carries the documents and returns
/// their outcomes. So the running task and the simulation of a recording make the same decisions, and a test can
/// reorder everything that the outside world can.
#[derive(Debug)]
pub(crate) struct TenantCore {
    spec: TenantSpec,
    /// Names by slot.
    symbols: Vec<Symbol>,
    stage: PluginStage,
    latest: LatestTable,
    in_flight: InFlightWrites,
    /// Documents that wait for a token: those beyond the first of their quote.
    ready: VecDeque<Outgoing>,
    /// `None` until there is a map. Without a map, no two symbols write the same document.
    order: Option<WriteOrder>,
    /// The gauges among them are filled in by [`Self::counters`].
    counters: TenantCounters,
    last_quote: Option<(u32, UnixNanos)>,
    /// Slots that became dirty or clean since [`Self::clear_changes`].
    changed: Vec<u32>,
    rng: Rng,
}

/// Symbols whose newest quote did not reach the sink before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unflushed {
    /// Not sent.
    pub dirty: usize,
    /// Sent, no outcome yet.
    pub in_flight: usize,
}

impl TenantCore {
    /// A tenant without quotes. With a chain, it must run on a thread that plugins may block. `rng` spreads retries.
    pub(crate) fn new(spec: TenantSpec, chain: Option<PluginChain>, rng: Rng) -> Self {
        let stage = PluginStage::new(chain);
        Self {
            symbols: Vec::new(),
            latest: LatestTable::new(spec.per_symbol_min_interval, spec.retry.clone()),
            in_flight: InFlightWrites::default(),
            ready: VecDeque::new(),
            order: stage.maps().then(WriteOrder::default),
            counters: TenantCounters::default(),
            last_quote: None,
            changed: Vec::new(),
            spec,
            stage,
            rng,
        }
    }

    /// Writes nothing before `at`. For a tenant that was removed and added again, and may have written a moment ago.
    pub(crate) fn hold_until(&mut self, at: Instant) {
        self.latest.hold_until(at);
    }

    /// Takes quotes in. Only those that the filters kept remain in `batch`.
    pub(crate) fn take_batch(&mut self, batch: &mut Batch, now: Instant, observer: Option<&mut FilterObserver<'_>>) {
        self.symbols.append(&mut batch.new_symbols);
        let (quotes, counters) = (&mut batch.quotes, &mut self.counters);
        counters.quotes += quotes.len() as u64 + batch.conflated;
        counters.conflated += batch.conflated;
        self.last_quote = quotes.symbol.last().copied().zip(quotes.received_time.last().copied()).or(self.last_quote);
        let rejected = self.stage.filter(now, quotes, &self.symbols, observer);
        counters.filtered += rejected.filtered as u64;
        counters.lost += rejected.lost as u64;
        for (row, slot) in quotes.symbol.iter().enumerate() {
            match self.latest.accept(*slot, &quotes.quote(row), now) {
                Accepted::Dirty => self.changed.push(*slot),
                Accepted::Conflated => counters.conflated += 1,
                Accepted::Older => counters.older += 1,
            }
        }
    }

    /// How many tokens it could use now.
    pub(crate) fn wants(&mut self, now: Instant) -> usize {
        let due = if self.stage.stopped().is_some() { 0 } else { self.latest.due(now) };
        due * self.documents_per_quote() + self.ready.len()
    }

    /// The document to write with a token that the caller holds. `None` if there is nothing to write after all. Maps get
    /// as many quotes at once as there are tokens, so the caller says how many `more` it has.
    ///
    /// The caller must write the document and bring its outcome to [`Self::answer`].
    pub(crate) fn next_write(&mut self, now: Instant, more: usize) -> Option<Outgoing> {
        loop {
            while let Some(outgoing) = self.ready.pop_front() {
                let admission = match &mut self.order {
                    Some(order) => order.offer(outgoing),
                    None => Admission::Now(outgoing),
                };
                match admission {
                    Admission::Now(outgoing) => {
                        self.counters.attempted += 1;
                        return Some(outgoing);
                    }
                    Admission::Waits => {}
                    Admission::Superseded(Outgoing { slot, .. }) => {
                        let end = self.in_flight.superseded(slot);
                        self.end_attempt(slot, end, now);
                    }
                }
            }
            if !self.make_documents(now, (1 + more).div_ceil(self.documents_per_quote())) {
                return None;
            }
        }
    }

    /// Takes the outcome of a document that [`Self::next_write`] gave out for `slot`.
    pub(crate) fn answer(&mut self, slot: u32, document: Document, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Written => self.counters.written += 1,
            Outcome::Retry { .. } | Outcome::TooEarly { .. } => self.counters.retried += 1,
            Outcome::Refused { .. } => self.counters.refused += 1,
            Outcome::Older => self.counters.writes_older += 1,
        }
        if let Some(order) = &mut self.order {
            self.ready.extend(order.answered(&document.key));
        }
        let end = self.in_flight.answer(slot, document, outcome);
        self.end_attempt(slot, end, now);
    }

    /// Counts what the fence met on the way to an outcome.
    pub(crate) fn count_conflicts(&mut self, conflicts: Conflicts) {
        self.counters.conflicts += u64::from(conflicts.all);
        self.counters.foreign_writes += u64::from(conflicts.foreign);
    }

    /// For each slot that changed: from when on a new quote of it could be written at once, see
    /// [`LatestTable::writable_from`].
    pub(crate) fn changes(&self, now: Instant) -> impl Iterator<Item = (u32, Option<Instant>)> {
        self.changed.iter().map(move |slot| (*slot, self.latest.writable_from(*slot, now)))
    }

    pub(crate) fn clear_changes(&mut self) {
        self.changed.clear();
    }

    /// When more quotes become due, if nothing happens before.
    pub(crate) fn next_due_at(&self) -> Option<Instant> {
        self.latest.next_due_at().filter(|_| self.stage.stopped().is_none())
    }

    /// Applies new settings and, if given, another chain. What is dirty or in flight stays.
    pub(crate) fn update(&mut self, spec: TenantSpec, chain: Option<Option<PluginChain>>, now: Instant) {
        if spec.per_symbol_min_interval != self.spec.per_symbol_min_interval {
            self.latest.set_interval(spec.per_symbol_min_interval, now);
        }
        self.spec = spec;
        if let Some(chain) = chain {
            self.stage.replace(chain);
            if self.stage.maps() {
                self.order.get_or_insert_default();
            }
        }
    }

    /// True when there is nothing left that may be written.
    pub(crate) fn is_settled(&self) -> bool {
        let stopped = self.stage.stopped().is_some() && self.latest.in_flight() == 0;
        (stopped || self.latest.is_settled()) && self.ready.is_empty()
    }

    /// What would not be written if the tenant ended now.
    pub(crate) fn unflushed(&self) -> Unflushed {
        Unflushed { dirty: self.latest.dirty(), in_flight: self.latest.in_flight() }
    }

    pub(crate) fn counters(&mut self, now: Instant) -> TenantCounters {
        let (dirty, in_flight) = (self.latest.dirty() as u64, self.latest.in_flight() as u64);
        TenantCounters { dirty, due: self.latest.due(now) as u64, in_flight, ..self.counters }
    }

    /// Documents without an outcome yet.
    pub(crate) fn unanswered(&self) -> u64 {
        self.counters.unanswered()
    }

    pub(crate) fn spec(&self) -> &TenantSpec {
        &self.spec
    }

    /// The latest quotes, and the names of their slots.
    pub(crate) fn latest(&self) -> (&LatestTable, &[Symbol]) {
        (&self.latest, &self.symbols)
    }

    /// The symbol and the arrival time of the last quote that came in.
    pub(crate) fn last_quote(&self) -> Option<(&Symbol, UnixNanos)> {
        self.last_quote.map(|(slot, time)| (&self.symbols[slot as usize], time))
    }

    /// The arrival time of the quote that `slot` has in flight.
    pub(crate) fn received_time(&self, slot: u32) -> Option<UnixNanos> {
        self.in_flight.received_time(slot)
    }

    /// The plugin that stopped the tenant, and why.
    pub(crate) fn stopped(&self) -> Option<&StopTenant> {
        self.stage.stopped()
    }

    pub(crate) fn plugins(&self) -> Option<&PluginChain> {
        self.stage.chain()
    }

    /// True if the plugins' numbers may have changed since [`Self::mark_plugins_read`].
    pub(crate) fn plugins_changed(&self) -> bool {
        self.stage.changed()
    }

    pub(crate) fn mark_plugins_read(&mut self) {
        self.stage.mark_read();
    }

    /// How many tokens a due quote will use at least. How many documents maps make is known only afterwards.
    fn documents_per_quote(&self) -> usize {
        if self.stage.maps() { 1 } else { self.spec.documents_per_quote() }
    }

    /// Makes the documents of at most `most` due quotes. False when none is due.
    fn make_documents(&mut self, now: Instant, most: usize) -> bool {
        if self.stage.stopped().is_some() {
            return false;
        }
        let (mut slots, mut quotes) = (Vec::new(), Vec::new());
        let mut any = false;
        for _ in 0..most {
            let Some((slot, quote)) = self.latest.take_due(now) else { break };
            any = true;
            match self.in_flight.take_failed(slot, &quote) {
                Some((documents, uncounted)) => self.start_attempt(slot, &quote, documents, uncounted, now),
                None => {
                    slots.push(slot);
                    quotes.push((self.symbols[slot as usize].clone(), quote));
                }
            }
        }
        let made = self.stage.map(now, &quotes, &self.spec);
        for ((slot, (_, quote)), made) in slots.into_iter().zip(quotes).zip(made) {
            let (documents, counter) = match made {
                Made::Documents(documents) => (documents, &mut self.counters.unmapped),
                Made::Lost => (Vec::new(), &mut self.counters.lost),
            };
            let uncounted = !documents.is_empty();
            *counter += u64::from(!uncounted);
            let documents = self.in_flight.with_older(slot, quote.event_time, documents);
            self.start_attempt(slot, &quote, documents, uncounted, now);
        }
        any
    }

    fn start_attempt(
        &mut self,
        slot: u32,
        quote: &Quote,
        documents: Vec<TimedDocument>,
        uncounted: bool,
        now: Instant,
    ) {
        if documents.is_empty() {
            return self.end_attempt(slot, Some(AttemptEnd { resolution: Resolution::Settled, uncounted }), now);
        }
        self.in_flight.start(slot, quote, &documents, uncounted);
        let outgoing = documents.into_iter().map(|(document, event_time)| Outgoing { slot, document, event_time });
        self.ready.extend(outgoing);
    }

    fn end_attempt(&mut self, slot: u32, end: Option<AttemptEnd>, now: Instant) {
        let Some(AttemptEnd { resolution, uncounted }) = end else { return };
        let conflated = self.latest.resolve(slot, resolution, now, &mut self.rng);
        self.changed.push(slot);
        if uncounted && conflated {
            self.counters.conflated += 1;
        } else if uncounted && resolution == Resolution::Settled {
            self.counters.settled += 1;
        }
    }
}
