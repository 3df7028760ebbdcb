use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use quotegate_document::{Document, TenantId};
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_pace::{Lane, LatestTable, Pacer, Resolution};
use quotegate_plugin::{Mapped, PluginChain, StopTenant, Verdict};
use tokio::sync::Notify;

use super::{Audience, Judged, Role, TenantRehearsed};
use crate::inbox::{Batch, Inbox};
use crate::router::Router;
use crate::tenant::default_document;

/// A tenant in a rehearsal: its own inbox, plugins, latest table and lane.
pub(super) struct Actor {
    tenant: TenantId,
    collection: Cow<'static, str>,
    inbox: Arc<Inbox>,
    batch: Batch,
    symbols: Vec<Symbol>,
    chain: Option<PluginChain>,
    /// A plugin with `on_error = "stop-tenant"` has failed.
    stopped: Option<StopTenant>,
    table: LatestTable,
    lane: Lane,
    /// Documents beyond the first of their quote, which wait for a token; and how many each quote still has there.
    ready: VecDeque<(u32, Document)>,
    unwritten: HashMap<u32, usize>,
    writes: u64,
    /// Those of them at this very moment: of the last moment nothing is counted, as it is the first of the time after.
    writes_now: u64,
}

impl Actor {
    pub(super) fn new(role: Role, router: &mut Router, pacer: &mut Pacer, now: Instant) -> Self {
        let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, Arc::new(Notify::new())));
        router.add(role.tenant.clone(), role.wanted, inbox.clone());
        let mut chain = role.chain;
        if let Some(chain) = &mut chain {
            chain.make_repeatable();
        }
        Self {
            tenant: role.tenant,
            collection: role.collection,
            inbox,
            batch: Batch::default(),
            symbols: Vec::new(),
            chain,
            stopped: None,
            table: LatestTable::new(role.interval, role.retry),
            lane: pacer.add_lane(role.rate, now),
            ready: VecDeque::new(),
            unwritten: HashMap::new(),
            writes: 0,
            writes_now: 0,
        }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    /// Documents so far, without those of this very moment.
    pub(super) fn written_before(&self) -> u64 {
        self.writes - self.writes_now
    }

    pub(super) fn rehearsed(&self, writes: u64) -> TenantRehearsed {
        TenantRehearsed {
            tenant: self.tenant.clone(),
            writes,
            plugins: self.chain.as_ref().map_or_else(Vec::new, PluginChain::snapshot),
            fuel: self.chain.as_ref().and_then(PluginChain::fuel_used),
            stopped: self.stopped.clone(),
        }
    }

    pub(super) fn a_moment_later(&mut self) {
        self.writes_now = 0;
    }

    pub(super) fn next_due_at(&self) -> Option<Instant> {
        if self.stopped.is_some() { None } else { self.table.next_due_at() }
    }

    /// How many documents it would write now.
    pub(super) fn wanted(&mut self, now: Instant) -> usize {
        let due = if self.stopped.is_some() { 0 } else { self.table.due(now) };
        due + self.ready.len()
    }

    /// The next document; `None` if there was none to write after all.
    pub(super) fn write_one(&mut self, now: Instant, rng: &mut Rng) -> Option<Document> {
        let document = self.next_document(now, rng)?;
        self.writes += 1;
        self.writes_now += 1;
        Some(document)
    }

    fn next_document(&mut self, now: Instant, rng: &mut Rng) -> Option<Document> {
        if let Some((slot, document)) = self.ready.pop_front() {
            let left = self.unwritten.get_mut(&slot).map_or(0, |left| {
                *left -= 1;
                *left
            });
            if left == 0 {
                self.unwritten.remove(&slot);
                self.table.resolve(slot, Resolution::Settled, now, rng);
            }
            return Some(document);
        }
        while self.stopped.is_none()
            && let Some((slot, quote)) = self.table.take_due(now)
        {
            let mut documents = self.documents(now, slot, quote).into_iter();
            let first = documents.next();
            let others: Vec<Document> = documents.collect();
            if others.is_empty() {
                self.table.resolve(slot, Resolution::Settled, now, rng);
            } else {
                self.unwritten.insert(slot, others.len());
                self.ready.extend(others.into_iter().map(|document| (slot, document)));
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }

    /// What the quote becomes.
    fn documents(&mut self, now: Instant, slot: u32, quote: Quote) -> Vec<Document> {
        let symbol = self.symbols[slot as usize].clone();
        let own = |symbol: &Symbol| default_document(self.collection.clone(), symbol, &quote).into_iter().collect();
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.maps()) else { return own(&symbol) };
        let row = [(symbol, quote)];
        let outcome = chain.map(now, &row);
        self.stopped = self.stopped.take().or(outcome.stop);
        match outcome.quotes.into_iter().next() {
            Some(Mapped::Documents(documents)) => documents,
            Some(Mapped::Passed) => own(&row[0].0),
            _ => Vec::new(),
        }
    }

    /// Takes what the router delivered, as far as the filters let it.
    pub(super) fn take_quotes(&mut self, now: Instant, audience: &mut (dyn Audience + Send)) -> anyhow::Result<()> {
        if !self.inbox.take(&mut self.batch) {
            return Ok(());
        }
        self.symbols.append(&mut self.batch.new_symbols);
        if self.stopped.is_some() {
            return Ok(());
        }
        let quotes = &mut self.batch.quotes;
        let (names, watched) = (&self.symbols, audience.wants_verdicts());
        let mut told = Ok(());
        let mut tell = |quotes: &QuoteColumns, row: usize, verdict: Verdict<'_>| {
            let (symbol, quote) = (&names[quotes.symbol[row] as usize], &quotes.quote(row));
            if told.is_ok() {
                told = audience.judged(&Judged { symbol, quote, verdict });
            }
        };
        match self.chain.as_mut().filter(|chain| chain.filters()) {
            Some(chain) if watched => {
                let outcome = chain.filter_watched(now, quotes, names, |verdicts| {
                    let quotes = verdicts.quotes();
                    (0..quotes.len()).for_each(|row| tell(quotes, row, verdicts.verdict(row)));
                });
                self.stopped = outcome.stop;
            }
            Some(chain) => self.stopped = chain.filter(now, quotes, names).stop,
            None if watched => (0..quotes.len()).for_each(|row| tell(quotes, row, Verdict::Kept)),
            None => {}
        }
        for (row, slot) in quotes.symbol.iter().enumerate() {
            self.table.accept(*slot, &quotes.quote(row), now);
        }
        told
    }
}
