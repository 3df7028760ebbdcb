//! Plays a recording through tenants in the recording's own time. It uses neither the machine's clock nor random numbers:
//! the same recording, settings and plugins always lead to the same documents.
//!
//! Router, inbox, tenant core and pacer are those of the running host; the sink answers at once. An [`Observer`] sees
//! what happens.

mod tenant;

use std::time::{Duration, Instant};

use quotegate_document::{Document, TenantId};
use quotegate_market::{QuoteColumns, QuoteReceiver, SymbolTable, UnixNanos};
use quotegate_pace::{Lane, Pacer, Rate};
use quotegate_plugin::{PluginChain, PluginSnapshot, StopTenant};
use quotegate_sink::{document_json, time_text};
use serde_json::json;

use self::tenant::SimTenant;
use crate::router::{Router, Wanted};
use crate::tenant::{FilteredQuote, TenantSpec};

/// One tenant of a simulation.
pub struct SimTenantSpec {
    /// What its settings say.
    pub spec: TenantSpec,
    /// The symbols that it wants.
    pub wanted: Wanted,
    /// Its plugins, started.
    pub chain: Option<PluginChain>,
}

/// A document that would be written.
pub struct WouldWrite<'a> {
    /// The document's tenant.
    pub tenant: &'a TenantId,
    /// In the time of the recording.
    pub at: UnixNanos,
    /// The document.
    pub document: &'a Document,
}

impl WouldWrite<'_> {
    /// Its whole path in the database.
    pub fn path(&self) -> String {
        self.document.key.path_of(self.tenant).to_string()
    }

    /// As one JSON object, for a line.
    pub fn json(&self) -> serde_json::Value {
        json!({ "would_write": self.path(), "at": time_text(self.at), "fields": document_json(self.document) })
    }
}

/// Sees what happens in a simulation. An error ends the simulation early.
pub trait Observer {
    /// Whether to call [`Self::filtered`].
    fn wants_verdicts(&self) -> bool {
        false
    }

    /// A filter has seen a quote. With several filters, it is called once for each that sees the quote. Without one, every
    /// quote is kept.
    fn filtered(&mut self, filtered: &FilteredQuote<'_>) -> anyhow::Result<()> {
        let _ = filtered;
        Ok(())
    }

    /// A document would be written.
    fn would_write(&mut self, write: &WouldWrite<'_>) -> anyhow::Result<()>;
}

/// Ignores everything.
pub struct NullObserver;

impl Observer for NullObserver {
    fn would_write(&mut self, _: &WouldWrite<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What happened to one tenant.
#[derive(Debug, Clone)]
pub struct TenantReport {
    /// The tenant.
    pub tenant: TenantId,
    /// Documents that would be written before the last moment of the recording.
    pub writes: u64,
    /// Its plugins' numbers.
    pub plugins: Vec<PluginSnapshot>,
    /// Fuel that the plugins used, if the engine meters it.
    pub fuel: Option<u64>,
    /// Why a plugin stopped the tenant, if one did.
    pub stopped: Option<StopTenant>,
}

/// What happened in a simulation.
#[derive(Debug, Clone)]
pub struct SimulationReport {
    /// From the first frame to the last.
    pub seconds: f64,
    /// In the order of the specs.
    pub tenants: Vec<TenantReport>,
}

impl SimulationReport {
    /// The numbers of all tenants' plugins.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginSnapshot> {
        self.tenants.iter().flat_map(|tenant| &tenant.plugins)
    }
}

/// All tenants at one moment of the recording.
pub struct Simulation<'a> {
    /// The recording's time that corresponds to `began`.
    zero: Option<UnixNanos>,
    began: Instant,
    now: Instant,
    router: Router,
    tenants: Vec<SimTenant>,
    pacer: Pacer,
    /// The lanes that got a token in this round, in order. Kept to save the allocation.
    granted: Vec<Lane>,
    /// A part of what was received. Kept to save the allocation.
    part: QuoteColumns,
    observer: &'a mut (dyn Observer + Send),
    /// Why the observer has ended the simulation.
    aborted: Option<anyhow::Error>,
}

impl<'a> Simulation<'a> {
    /// All tenants, before the first quote.
    pub fn new(tenants: Vec<SimTenantSpec>, limit: Rate, observer: &'a mut (dyn Observer + Send)) -> Self {
        let now = Instant::now();
        let mut pacer = Pacer::new(limit, now);
        let mut router = Router::default();
        let tenants = tenants.into_iter().map(|spec| SimTenant::new(spec, &mut router, &mut pacer, now)).collect();
        Self {
            zero: None,
            began: now,
            now,
            router,
            tenants,
            pacer,
            granted: Vec::new(),
            part: QuoteColumns::default(),
            observer,
            aborted: None,
        }
    }

    /// Continues until the newest quote of every symbol is written. `last`: when the last frame arrived.
    pub fn finish(mut self, last: UnixNanos) -> anyhow::Result<Vec<TenantReport>> {
        self.advance(last);
        let now = self.now;
        let written: Vec<u64> = self.tenants.iter_mut().map(|tenant| tenant.written_before(now)).collect();
        // However long the limits make it take.
        while self.aborted.is_none()
            && let Some(at) = self.next_at()
        {
            self.set_now(at);
            self.write_allowed();
        }
        let reports = self.tenants.iter().zip(written).map(|(tenant, writes)| tenant.report(writes)).collect();
        self.aborted.map_or(Ok(reports), Err)
    }

    /// Advances the time, and writes what becomes due on the way.
    fn advance(&mut self, to: UnixNanos) {
        let zero = *self.zero.get_or_insert(to);
        let until = self.began + Duration::from_nanos(u64::try_from(to.saturating_sub(zero)).unwrap_or(0));
        loop {
            self.write_allowed();
            match self.next_at() {
                Some(at) if at <= until && self.aborted.is_none() => self.set_now(at),
                _ => break,
            }
        }
        self.set_now(until);
    }

    /// When something may be written next.
    fn next_at(&self) -> Option<Instant> {
        let due = self.tenants.iter().filter_map(|tenant| tenant.core.next_due_at());
        due.chain(self.pacer.next_grant_at(self.now)).min()
    }

    fn set_now(&mut self, at: Instant) {
        // The clock of the recording may have been set back.
        if at > self.now {
            self.now = at;
            self.tenants.iter_mut().for_each(SimTenant::time_advanced);
        }
    }

    /// Works in rounds, as running tenants do: ask for tokens, use all of them, then take the outcomes.
    fn write_allowed(&mut self) {
        while self.grant_tokens() {
            self.write_with_tokens();
            self.tenants.iter_mut().for_each(|tenant| tenant.answer_all(self.now));
        }
    }

    /// Grants every available token that a tenant wants. False if there was none.
    fn grant_tokens(&mut self) -> bool {
        for tenant in &mut self.tenants {
            let wanted = u32::try_from(tenant.core.wants(self.now)).unwrap_or(u32::MAX);
            self.pacer.want(tenant.lane, wanted);
        }
        self.granted.extend(std::iter::from_fn(|| self.pacer.grant(self.now)));
        self.granted.iter().for_each(|lane| self.tenants[lane.index()].grant());
        !self.granted.is_empty()
    }

    fn write_with_tokens(&mut self) {
        let since = i64::try_from((self.now - self.began).as_nanos()).unwrap_or(i64::MAX);
        let at = self.zero.unwrap_or_default().saturating_add(since);
        for lane in self.granted.drain(..) {
            let tenant = &mut self.tenants[lane.index()];
            match tenant.write_one(self.now) {
                None => self.pacer.refund(lane),
                Some(_) if self.aborted.is_some() => {}
                Some((tenant, document)) => {
                    let write = WouldWrite { tenant, at, document };
                    self.aborted = self.observer.would_write(&write).err();
                }
            }
        }
    }
}

impl QuoteReceiver for Simulation<'_> {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        // An unpaced replay passes many frames at once. Here each row has its own time.
        let mut from = 0;
        while from < quotes.len() && self.aborted.is_none() {
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
            for tenant in &mut self.tenants {
                let observed = tenant.take_quotes(self.now, self.observer);
                self.aborted = self.aborted.take().or(observed.err());
            }
            from += same;
        }
    }
}
