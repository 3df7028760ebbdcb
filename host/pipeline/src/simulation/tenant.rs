use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use quotegate_document::{Document, TenantId};
use quotegate_pace::{Lane, Pacer};
use quotegate_plugin::PluginChain;
use quotegate_sink::Outcome;
use tokio::sync::Notify;

use super::{Observer, SimTenantSpec, TenantReport};
use crate::inbox::{Batch, Inbox};
use crate::router::Router;
use crate::tenant::{FilteredQuote, Outgoing, TenantCore};

/// A tenant in a simulation: the production core, its inbox and its lane, and a sink that answers at once.
pub(super) struct SimTenant {
    pub(super) core: TenantCore,
    pub(super) lane: Lane,
    inbox: Arc<Inbox>,
    batch: Batch,
    /// Granted but not used yet.
    tokens: usize,
    /// Written in this round. Their outcomes come after it, as those of a real sink come after the task's round.
    unanswered: Vec<Outgoing>,
    /// Documents at the current moment. The last moment of a recording does not count as part of it.
    written_now: u64,
}

impl SimTenant {
    pub(super) fn new(sim: SimTenantSpec, router: &mut Router, pacer: &mut Pacer, now: Instant) -> Self {
        let SimTenantSpec { spec, wanted, mut chain } = sim;
        let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, Arc::new(Notify::new())));
        router.add(spec.id.clone(), wanted, inbox.clone());
        if let Some(chain) = &mut chain {
            chain.make_repeatable();
        }
        Self {
            lane: pacer.add_lane(spec.rate, now),
            core: TenantCore::new(spec, chain, Rng::with_seed(0)),
            inbox,
            batch: Batch::default(),
            tokens: 0,
            unanswered: Vec::new(),
            written_now: 0,
        }
    }

    /// Takes what the router delivered.
    pub(super) fn take_quotes(&mut self, now: Instant, observer: &mut (dyn Observer + Send)) -> anyhow::Result<()> {
        if !self.inbox.take(&mut self.batch) {
            return Ok(());
        }
        if !observer.wants_verdicts() {
            self.core.take_batch(&mut self.batch, now, None);
            return Ok(());
        }
        let mut observed = Ok(());
        let mut observe = |quote: &FilteredQuote<'_>| {
            if observed.is_ok() {
                observed = observer.filtered(quote);
            }
        };
        self.core.take_batch(&mut self.batch, now, Some(&mut observe));
        observed
    }

    pub(super) fn grant(&mut self) {
        self.tokens += 1;
    }

    /// The document to write with one of the granted tokens. `None` if there is nothing to write after all.
    pub(super) fn write_one(&mut self, now: Instant) -> Option<(&TenantId, &Document)> {
        self.tokens -= 1;
        let outgoing = self.core.next_write(now, self.tokens)?;
        self.written_now += 1;
        let Outgoing { document, .. } = self.unanswered.push_mut(outgoing);
        Some((&self.core.spec().id, document))
    }

    pub(super) fn answer_all(&mut self, now: Instant) {
        for Outgoing { slot, document, .. } in self.unanswered.drain(..) {
            self.core.answer(slot, document, &Outcome::Written, now);
        }
        // Nobody rests here.
        self.core.clear_changes();
    }

    pub(super) fn time_advanced(&mut self) {
        self.written_now = 0;
    }

    /// Documents so far, without those of the current moment.
    pub(super) fn written_before(&mut self, now: Instant) -> u64 {
        self.core.counters(now).written - self.written_now
    }

    pub(super) fn report(&self, writes: u64) -> TenantReport {
        TenantReport {
            tenant: self.core.spec().id.clone(),
            writes,
            plugins: self.core.plugins().map_or_else(Vec::new, PluginChain::snapshot),
            fuel: self.core.plugins().and_then(PluginChain::fuel_used),
            stopped: self.core.stopped().cloned(),
        }
    }
}
