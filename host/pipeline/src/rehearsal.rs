//! Plays a recording through the tenants' own machinery in the recording's own time. Nothing in it depends on the clock
//! of the machine or on chance, so the same recording, settings and plugins come to the same documents each time.
//!
//! Router, inbox, plugins, latest table and pacer are the real ones; the sink is one that answers at once. Who wants to
//! see what happens is an [`Audience`].

mod actor;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_document::{Document, TenantId};
use quotegate_market::{Quote, QuoteColumns, QuoteReceiver, Symbol, SymbolTable, UnixNanos};
use quotegate_pace::{Backoff, Pacer, Rate};
use quotegate_plugin::{PluginChain, PluginSnapshot, StopTenant, Verdict};
use quotegate_sink::{document_json, time_text};
use serde_json::json;

use crate::router::{Router, Wanted};
use actor::Actor;

/// One tenant in a rehearsal.
pub struct Role {
    /// Whose documents these are.
    pub tenant: TenantId,
    /// Where documents go that no map shaped.
    pub collection: Cow<'static, str>,
    /// The symbols that it wants.
    pub wanted: Wanted,
    /// Between two writes of a symbol.
    pub interval: Duration,
    /// Of writes that fail, which none does here.
    pub retry: Backoff,
    /// Its own limit, if it has one.
    pub rate: Option<Rate>,
    /// Its plugins, if it has any.
    pub chain: Option<PluginChain>,
}

/// What a filter said of one quote.
pub struct Judged<'a> {
    /// Whose quote.
    pub symbol: &'a Symbol,
    /// The quote.
    pub quote: &'a Quote,
    /// What the filter said.
    pub verdict: Verdict<'a>,
}

/// A document that would be written.
pub struct WouldWrite<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// The recording's time.
    pub at: UnixNanos,
    /// The document.
    pub document: &'a Document,
}

impl WouldWrite<'_> {
    /// Its whole path in the database.
    pub fn path(&self) -> String {
        format!("tenants/{}/{}", self.tenant, self.document.key)
    }

    /// As one JSON object, for a line.
    pub fn json(&self) -> serde_json::Value {
        json!({ "would_write": self.path(), "at": time_text(self.at), "fields": document_json(self.document) })
    }
}

/// Who watches a rehearsal, and may end it early.
pub trait Audience {
    /// Whether [`Self::judged`] is to be called.
    fn wants_verdicts(&self) -> bool {
        false
    }

    /// A filter has judged a quote; without a filter every quote is kept. With several filters, each that sees it says so.
    fn judged(&mut self, judged: &Judged<'_>) -> anyhow::Result<()> {
        let _ = judged;
        Ok(())
    }

    /// A document would be written.
    fn would_write(&mut self, write: &WouldWrite<'_>) -> anyhow::Result<()>;
}

/// What one tenant came to.
#[derive(Debug, Clone)]
pub struct TenantRehearsed {
    /// Which tenant.
    pub tenant: TenantId,
    /// Documents that would be written, apart from those at the very last moment of the recording and after it.
    pub writes: u64,
    /// Its plugins' numbers.
    pub plugins: Vec<PluginSnapshot>,
    /// What all of them executed, where the engine meters it.
    pub fuel: Option<u64>,
    /// Why it stood still at the end.
    pub stopped: Option<StopTenant>,
}

/// What a recording came to.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// From the first frame to the last.
    pub seconds: f64,
    /// In the order of the roles.
    pub tenants: Vec<TenantRehearsed>,
}

impl Rehearsed {
    /// The numbers of all tenants' plugins.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginSnapshot> {
        self.tenants.iter().flat_map(|tenant| &tenant.plugins)
    }
}

/// Nobody.
pub struct Nobody;

impl Audience for Nobody {
    fn would_write(&mut self, _: &WouldWrite<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// All tenants at one moment of the recording.
pub struct Stage<'a> {
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
    audience: &'a mut (dyn Audience + Send),
    /// Why the audience wants no more.
    left: Option<anyhow::Error>,
}

impl<'a> Stage<'a> {
    /// All of them, before the first quote.
    pub fn new(roles: Vec<Role>, limit: Rate, audience: &'a mut (dyn Audience + Send)) -> Self {
        let now = Instant::now();
        let mut pacer = Pacer::new(limit, now);
        let mut router = Router::default();
        let actors = roles.into_iter().map(|role| Actor::new(role, &mut router, &mut pacer, now)).collect();
        Self {
            zero: None,
            began: now,
            now,
            router,
            actors,
            pacer,
            rng: Rng::with_seed(0),
            part: QuoteColumns::default(),
            audience,
            left: None,
        }
    }

    /// Plays on from `last`, the time of the last frame, until the last word of every symbol is written.
    pub fn end(mut self, last: UnixNanos) -> anyhow::Result<Vec<TenantRehearsed>> {
        self.advance(last);
        let written: Vec<u64> = self.actors.iter().map(Actor::written_before).collect();
        // The last word of every symbol, however long the limits make it take.
        while self.left.is_none()
            && let Some(at) = self.next_at()
        {
            self.set_now(at);
            self.write_what_is_allowed();
        }
        let rehearsed = self.actors.iter().zip(written).map(|(actor, writes)| actor.rehearsed(writes)).collect();
        self.left.map_or(Ok(rehearsed), Err)
    }

    /// Lets time pass, and what is due on the way be written.
    fn advance(&mut self, to: UnixNanos) {
        let zero = *self.zero.get_or_insert(to);
        let until = self.began + Duration::from_nanos(u64::try_from(to.saturating_sub(zero)).unwrap_or(0));
        loop {
            self.write_what_is_allowed();
            match self.next_at() {
                Some(at) if at <= until && self.left.is_none() => self.set_now(at),
                _ => break,
            }
        }
        self.set_now(until);
    }

    /// When something may be written next.
    fn next_at(&self) -> Option<Instant> {
        let due = self.actors.iter().filter_map(Actor::next_due_at);
        due.chain(self.pacer.next_grant_at(self.now)).min()
    }

    fn set_now(&mut self, at: Instant) {
        // The clock of the recording may have been set back.
        if at > self.now {
            self.now = at;
            for actor in &mut self.actors {
                actor.a_moment_later();
            }
        }
    }

    fn write_what_is_allowed(&mut self) {
        for actor in &mut self.actors {
            let wanted = actor.wanted(self.now);
            self.pacer.want(actor.lane(), u32::try_from(wanted).unwrap_or(u32::MAX));
        }
        let since = i64::try_from((self.now - self.began).as_nanos()).unwrap_or(i64::MAX);
        let at = self.zero.unwrap_or_default().saturating_add(since);
        while let Some(lane) = self.pacer.grant(self.now) {
            let actor = &mut self.actors[lane.index()];
            let Some(document) = actor.write_one(self.now, &mut self.rng) else {
                self.pacer.refund(lane);
                continue;
            };
            if self.left.is_none() {
                let write = WouldWrite { tenant: actor.tenant(), at, document: &document };
                self.left = self.audience.would_write(&write).err();
            }
        }
    }
}

impl QuoteReceiver for Stage<'_> {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        // A replay that waits for nothing hands over many frames at once; here each has its own time.
        let mut from = 0;
        while from < quotes.len() && self.left.is_none() {
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
                let watched = actor.take_quotes(self.now, self.audience);
                self.left = self.left.take().or(watched.err());
            }
            from += same;
        }
    }
}
