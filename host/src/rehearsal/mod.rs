//! Plays a recording through the tenants' own machinery in the recording's own time. Nothing in it depends on the clock
//! of the machine or on chance, so the same recording, settings and plugins come to the same documents each time.
//!
//! Router, inbox, plugins, latest table and pacer are the real ones; the sink is one that answers at once. Who wants to
//! see what happens is an [`Audience`].

mod actor;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fastrand::Rng;
use quotegate_config::Settings;
use quotegate_document::{Document, TenantId};
use quotegate_feed::{FeedStatus, Pace, Replay};
use quotegate_market::{Quote, QuoteColumns, QuoteReceiver, Symbol, SymbolTable, UnixNanos};
use quotegate_pace::{Backoff, Pacer, Rate};
use quotegate_plugin::{PluginChain, PluginSnapshot, StopTenant, Verdict};
use quotegate_recording::{Recording, RecordingProblem};
use quotegate_sink::{document_json, time_text};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::host::source::Played;
use crate::host::{Newcomer, newcomers, plan};
use crate::plugins::Plugins;
use crate::router::{Router, Wanted};
use actor::Actor;

/// One tenant in a rehearsal.
pub(crate) struct Role {
    pub(crate) tenant: TenantId,
    /// Where documents go that no map shaped.
    pub(crate) collection: Cow<'static, str>,
    pub(crate) wanted: Wanted,
    /// Between two writes of a symbol.
    pub(crate) interval: Duration,
    /// Of writes that fail, which none does here.
    pub(crate) retry: Backoff,
    /// Its own limit, if it has one.
    pub(crate) rate: Option<Rate>,
    pub(crate) chain: Option<PluginChain>,
}

/// What a filter said of one quote.
pub(crate) struct Judged<'a> {
    pub(crate) symbol: &'a Symbol,
    pub(crate) quote: &'a Quote,
    pub(crate) verdict: Verdict<'a>,
}

/// A document that would be written.
pub(crate) struct WouldWrite<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The recording's time.
    pub(crate) at: UnixNanos,
    pub(crate) document: &'a Document,
}

impl WouldWrite<'_> {
    /// Its whole path in the database.
    pub(crate) fn path(&self) -> String {
        format!("tenants/{}/{}", self.tenant, self.document.key)
    }

    /// As one JSON object, for a line.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({ "would_write": self.path(), "at": time_text(self.at), "fields": document_json(self.document) })
    }
}

/// Who watches a rehearsal, and may end it early.
pub(crate) trait Audience {
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
pub(crate) struct TenantRehearsed {
    pub(crate) tenant: TenantId,
    /// Documents that would be written, apart from those at the very last moment of the recording and after it.
    pub(crate) writes: u64,
    /// Its plugins' numbers.
    pub(crate) plugins: Vec<PluginSnapshot>,
    /// What all of them executed, where the engine meters it.
    pub(crate) fuel: Option<u64>,
    /// Why it stood still at the end.
    pub(crate) stopped: Option<StopTenant>,
}

/// What a recording came to.
#[derive(Debug, Clone)]
pub(crate) struct Rehearsed {
    /// From the first frame to the last.
    pub(crate) seconds: f64,
    /// In the order of the roles.
    pub(crate) tenants: Vec<TenantRehearsed>,
}

impl Rehearsed {
    /// The numbers of all tenants' plugins.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &PluginSnapshot> {
        self.tenants.iter().flat_map(|tenant| &tenant.plugins)
    }
}

/// Nobody.
pub(crate) struct Nobody;

impl Audience for Nobody {
    fn would_write(&mut self, _: &WouldWrite<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The tenants of these settings, and the limit of all together.
pub(crate) async fn cast(settings: &Settings) -> anyhow::Result<(Vec<Role>, Rate)> {
    let plugins = Arc::new(Plugins::new(settings));
    let limit = plan::rate(settings.pace.writes_per_second, settings.pace.burst)?;
    let role = |newcomer: Newcomer| Role {
        tenant: newcomer.terms.plan.id,
        collection: newcomer.terms.plan.collection,
        wanted: newcomer.terms.wanted,
        interval: newcomer.terms.plan.per_symbol_min_interval,
        retry: newcomer.terms.plan.retry,
        rate: newcomer.terms.plan.rate,
        chain: newcomer.chain,
    };
    Ok((newcomers(&plugins, settings).await?.into_iter().map(role).collect(), limit))
}

/// Plays the whole recording, and then on until the last word of every symbol is written. Takes as long as its plugins
/// and its size make it, not as long as it lasted; a stop ends it with what was played so far.
pub(crate) async fn rehearse(
    roles: Vec<Role>,
    limit: Rate,
    recording: Recording,
    audience: &mut (dyn Audience + Send),
    stop: CancellationToken,
) -> anyhow::Result<Rehearsed> {
    let path = recording.path().display().to_string();
    let mut stage = Stage::new(roles, limit, audience);
    let mut times: Option<(UnixNanos, UnixNanos)> = None;
    let frames = recording.map(|frame| {
        let frame = frame?;
        let first = times.map_or(frame.received_time, |(first, _)| first);
        times = Some((first, frame.received_time));
        Ok::<_, RecordingProblem>(Played(frame))
    });
    let replay = Replay { pace: Pace::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(frames, &mut stage).await?;
    let (first, last) = times.with_context(|| format!("{path} has no frames"))?;
    let tenants = stage.end(last)?;
    Ok(Rehearsed { seconds: last.saturating_sub(first) as f64 / 1e9, tenants })
}

/// All tenants at one moment of the recording.
struct Stage<'a> {
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
    fn new(roles: Vec<Role>, limit: Rate, audience: &'a mut (dyn Audience + Send)) -> Self {
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

    fn end(mut self, last: UnixNanos) -> anyhow::Result<Vec<TenantRehearsed>> {
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
