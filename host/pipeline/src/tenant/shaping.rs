//! What happens to a tenant's quotes at the hands of its plugins, and at whose hands they become documents.

use std::time::{Duration, Instant};

use quotegate_document::Document;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{Mapped, PluginChain, PluginSnapshot, StopTenant};

use super::TenantPlan;
use super::document::default_document;
use crate::budget::now;

/// The plugins between a tenant's quotes and its documents, if it has any.
#[derive(Debug)]
pub(super) struct Shaping {
    chain: Option<PluginChain>,
    /// Set while the tenant stands still because a plugin with `on_error = "stop-tenant"` failed.
    stopped: Option<StopTenant>,
    /// When the plugins' numbers may be given away next, and whether they have changed since the last time.
    publish_at: Instant,
    changed: bool,
}

/// How many quotes did not get through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sifted {
    /// A filter refused them.
    pub(super) refused: usize,
    /// A plugin failed, or the tenant stands still.
    pub(super) lost: usize,
}

/// What a quote became.
#[derive(Debug)]
pub(super) enum Shape {
    Documents(Vec<Document>),
    /// A map failed and its quotes are not to be written.
    Lost,
}

impl Shaping {
    /// Plugins' numbers are collected at most so often.
    const PUBLISH_EVERY: Duration = Duration::from_millis(250);

    pub(super) fn new(chain: Option<PluginChain>) -> Self {
        let changed = chain.is_some();
        Self { chain, stopped: None, publish_at: now(), changed }
    }

    /// Puts another chain in place. A tenant that stood still moves again.
    pub(super) fn change(&mut self, chain: Option<PluginChain>) {
        self.chain = chain;
        self.stopped = None;
        (self.publish_at, self.changed) = (now(), true);
    }

    pub(super) fn maps(&self) -> bool {
        self.chain.as_ref().is_some_and(PluginChain::maps)
    }

    /// Why the tenant stands still.
    pub(super) fn stopped(&self) -> Option<&StopTenant> {
        self.stopped.as_ref()
    }

    /// Takes out the quotes that filters refuse; all of them while the tenant stands still.
    pub(super) fn filter(&mut self, now: Instant, quotes: &mut QuoteColumns, names: &[Symbol]) -> Sifted {
        if self.stopped.is_some() {
            let lost = quotes.len();
            quotes.clear();
            return Sifted { refused: 0, lost };
        }
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.filters()) else { return Sifted::default() };
        let outcome = chain.filter(now, quotes, names);
        self.changed = true;
        self.stopped = outcome.stop;
        Sifted { refused: outcome.refused, lost: outcome.dropped }
    }

    /// One shape a quote, in order.
    pub(super) fn shape(&mut self, now: Instant, quotes: &[(Symbol, Quote)], plan: &TenantPlan) -> Vec<Shape> {
        let own = |(symbol, quote): &(Symbol, Quote)| {
            Shape::Documents(default_document(plan.collection.clone(), symbol, quote).into_iter().collect())
        };
        let Some(chain) = self.chain.as_mut().filter(|chain| chain.maps()) else {
            return quotes.iter().map(own).collect();
        };
        let outcome = chain.map(now, quotes);
        self.changed = true;
        if outcome.stop.is_some() {
            self.stopped = outcome.stop;
        }
        let shape = |(quote, mapped)| match mapped {
            Mapped::Documents(documents) => Shape::Documents(documents),
            // A map that has nothing to write for a quote means it.
            Mapped::Nothing => Shape::Documents(Vec::new()),
            Mapped::Passed => own(quote),
            Mapped::Dropped => Shape::Lost,
        };
        quotes.iter().zip(outcome.quotes).map(shape).collect()
    }

    /// The plugins' numbers, if they have changed and it is time; `at_once`: if they have changed.
    pub(super) fn numbers(&mut self, now: Instant, at_once: bool) -> Option<Vec<PluginSnapshot>> {
        let due = self.numbers_at().is_some_and(|at| at_once || at <= now);
        due.then(|| {
            (self.publish_at, self.changed) = (now + Self::PUBLISH_EVERY, false);
            self.chain.as_ref().map_or_else(Vec::new, PluginChain::snapshot)
        })
    }

    /// When there are numbers to give away; `None` if nothing has changed.
    pub(super) fn numbers_at(&self) -> Option<Instant> {
        self.changed.then_some(self.publish_at)
    }
}
