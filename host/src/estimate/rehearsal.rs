//! Plays a recording through the tenants' own machinery in the recording's own time, and counts what would be written.
//!
//! Router, inbox, plugins, latest table and pacer are the real ones; the sink is one that answers at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use quotegate_config::Settings;
use quotegate_feed::{FeedStatus, Pace, QuoteReceiver, Replay};
use quotegate_pace::{Lane, LatestTable, Pacer, Resolution};
use quotegate_plugin::{Mapped, PluginChain};
use quotegate_quote::{Quote, QuoteColumns, Symbol, SymbolTable, UnixNanos};
use quotegate_recording::Recording;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::host::source::Played;
use crate::host::{Newcomer, newcomers, plan};
use crate::inbox::{Batch, Inbox};
use crate::plugins::Plugins;
use crate::router::Router;

/// What a recording came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rehearsed {
    /// From the first frame to the last.
    pub(crate) seconds: f64,
    /// By tenant, in the order of the settings.
    pub(crate) writes: Vec<u64>,
}

/// A rate of so short a time says nothing.
const SHORTEST: f64 = 1.0;

/// Plays the whole recording. Takes as long as its plugins and its size make it, not as long as it lasted.
pub(crate) async fn rehearse(settings: &Settings, recording: Recording) -> anyhow::Result<Rehearsed> {
    let path = recording.path().display().to_string();
    let plugins = Arc::new(Plugins::new(settings));
    let limit = plan::rate(settings.pace.writes_per_second, settings.pace.burst)?;
    let mut stage = Stage::new(newcomers(&plugins, settings).await?, |now| Pacer::new(limit, now));
    let mut times: Option<(UnixNanos, UnixNanos)> = None;
    let frames = recording.map(|frame| {
        let frame = frame?;
        let first = times.map_or(frame.received_time, |(first, _)| first);
        times = Some((first, frame.received_time));
        Ok::<_, quotegate_recording::RecordingProblem>(Played(frame))
    });
    let replay =
        Replay { pace: Pace::Unpaced, status: Arc::new(FeedStatus::default()), stop: CancellationToken::new() };
    replay.run(frames, &mut stage).await?;
    let (first, last) = times.with_context(|| format!("{path} has no frames"))?;
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    ensure!(
        seconds >= SHORTEST,
        "{path} covers {seconds:.3} s, which says nothing about a day; record at least some minutes"
    );
    Ok(Rehearsed { seconds, writes: stage.end(last) })
}

/// All tenants at one moment of the recording.
struct Stage {
    /// The moment of the recording at which `began` is.
    zero: Option<UnixNanos>,
    began: Instant,
    now: Instant,
    router: Router,
    actors: Vec<Actor>,
    pacer: Pacer,
    rng: Rng,
    /// A part of what was received, kept to spare the allocation.
    part: QuoteColumns,
}

struct Actor {
    inbox: Arc<Inbox>,
    batch: Batch,
    symbols: Vec<Symbol>,
    chain: Option<PluginChain>,
    /// A plugin with `on_error = "stop-tenant"` has failed.
    stopped: bool,
    table: LatestTable,
    lane: Lane,
    /// Documents beyond the first of their quote, which wait for a token.
    ready: VecDeque<u32>,
    unwritten: HashMap<u32, usize>,
    writes: u64,
    /// Those of them at this very moment: of the last moment nothing is counted, as it is the first of the time after.
    writes_now: u64,
}

impl Stage {
    fn new(newcomers: Vec<Newcomer>, pacer: impl FnOnce(Instant) -> Pacer) -> Self {
        let now = Instant::now();
        let mut pacer = pacer(now);
        let mut router = Router::default();
        let mut actors = Vec::new();
        for Newcomer { terms, chain, .. } in newcomers {
            let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, Arc::new(Notify::new())));
            router.add(terms.plan.id.clone(), terms.wanted, inbox.clone());
            actors.push(Actor {
                inbox,
                batch: Batch::default(),
                symbols: Vec::new(),
                chain,
                stopped: false,
                table: LatestTable::new(terms.plan.per_symbol_min_interval, terms.plan.retry),
                lane: pacer.add_lane(terms.plan.rate, now),
                ready: VecDeque::new(),
                unwritten: HashMap::new(),
                writes: 0,
                writes_now: 0,
            });
        }
        let part = QuoteColumns::default();
        Self { zero: None, began: now, now, router, actors, pacer, rng: Rng::with_seed(0), part }
    }

    fn end(mut self, last: UnixNanos) -> Vec<u64> {
        self.advance(last);
        self.actors.iter().map(|actor| actor.writes - actor.writes_now).collect()
    }

    /// Lets time pass, and what is due on the way be written.
    fn advance(&mut self, to: UnixNanos) {
        let zero = *self.zero.get_or_insert(to);
        let until = self.began + Duration::from_nanos(u64::try_from(to.saturating_sub(zero)).unwrap_or(0));
        loop {
            self.write_what_is_allowed();
            let due = self.actors.iter().filter(|actor| !actor.stopped).filter_map(|actor| actor.table.next_due_at());
            match due.chain(self.pacer.next_grant_at(self.now)).min() {
                Some(at) if at <= until => self.set_now(at),
                _ => break,
            }
        }
        self.set_now(until);
    }

    fn set_now(&mut self, at: Instant) {
        // The clock of the recording may have been set back.
        if at > self.now {
            self.now = at;
            for actor in &mut self.actors {
                actor.writes_now = 0;
            }
        }
    }

    fn write_what_is_allowed(&mut self) {
        for actor in &mut self.actors {
            let due = if actor.stopped { 0 } else { actor.table.due(self.now) };
            self.pacer.want(actor.lane, u32::try_from(due + actor.ready.len()).unwrap_or(u32::MAX));
        }
        while let Some(lane) = self.pacer.grant(self.now) {
            let actor = &mut self.actors[lane.index()];
            if actor.write_one(self.now, &mut self.rng) {
                actor.writes += 1;
                actor.writes_now += 1;
            } else {
                self.pacer.refund(lane);
            }
        }
    }
}

impl Actor {
    /// Writes one document. False if there was none to write after all.
    fn write_one(&mut self, now: Instant, rng: &mut Rng) -> bool {
        if let Some(slot) = self.ready.pop_front() {
            let left = self.unwritten.get_mut(&slot).map_or(0, |left| {
                *left -= 1;
                *left
            });
            if left == 0 {
                self.unwritten.remove(&slot);
                self.table.resolve(slot, Resolution::Settled, now, rng);
            }
            return true;
        }
        while !self.stopped
            && let Some((slot, quote)) = self.table.take_due(now)
        {
            match self.documents(now, slot, quote) {
                0 => {
                    self.table.resolve(slot, Resolution::Settled, now, rng);
                }
                1 => {
                    self.table.resolve(slot, Resolution::Settled, now, rng);
                    return true;
                }
                many => {
                    self.unwritten.insert(slot, many - 1);
                    self.ready.extend(std::iter::repeat_n(slot, many - 1));
                    return true;
                }
            }
        }
        false
    }

    /// How many documents the quote becomes.
    fn documents(&mut self, now: Instant, slot: u32, quote: Quote) -> usize {
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.maps()) else { return 1 };
        let outcome = chain.map(now, &[(self.symbols[slot as usize].clone(), quote)]);
        self.stopped |= outcome.stop.is_some();
        match outcome.quotes.first() {
            Some(Mapped::Documents(documents)) => documents.len(),
            Some(Mapped::Passed) => 1,
            _ => 0,
        }
    }

    fn take_quotes(&mut self, now: Instant) {
        if !self.inbox.take(&mut self.batch) {
            return;
        }
        self.symbols.append(&mut self.batch.new_symbols);
        if self.stopped {
            return;
        }
        let quotes = &mut self.batch.quotes;
        if let Some(chain) = self.chain.as_mut().filter(|chain| chain.filters()) {
            self.stopped = chain.filter(now, quotes, &self.symbols).stop.is_some();
        }
        for (row, slot) in quotes.symbol.iter().enumerate() {
            self.table.accept(*slot, &quotes.quote(row), now);
        }
    }
}

impl QuoteReceiver for Stage {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        // A replay that waits for nothing hands over many frames at once; here each has its own time.
        let mut from = 0;
        while from < quotes.len() {
            let time = quotes.received_time[from];
            let same = quotes.received_time[from..].iter().take_while(|other| **other == time).count();
            let mut part = std::mem::take(&mut self.part);
            part.clear();
            for row in from..from + same {
                part.push(quotes.symbol[row], &quotes.quote(row));
            }
            self.advance(time);
            self.router.receive(&part, symbols);
            self.part = part;
            for actor in &mut self.actors {
                actor.take_quotes(self.now);
            }
            from += same;
        }
    }
}
