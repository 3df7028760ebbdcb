use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use parking_lot::Mutex;
use quotegate_document::DocumentKey;
use quotegate_market::{Symbol, UnixNanos};
use quotegate_plugin::{PluginSnapshot, PluginState, StopTenant};
use quotegate_sink::Outcome;
use serde::{Deserialize, Serialize};

use super::counters::{AtomicCounters, TenantCounters};
use super::live_quotes::LiveQuotes;
use crate::clock::unix_now;
use crate::pause::Pause;

/// A tenant's numbers and problems. Written only by its task, read by heartbeats and operations.
#[derive(Debug, Default)]
pub struct TenantStatus {
    counters: AtomicCounters,
    last_quote_time: AtomicI64,
    ended: AtomicBool,
    last: Mutex<Last>,
    plugins: Mutex<Plugins>,
    paused: Mutex<Option<(Pause, UnixNanos)>>,
    live_quotes: LiveQuotes,
}

#[derive(Debug, Default)]
struct Last {
    symbol: Option<Symbol>,
    problem: Option<String>,
    collections: BTreeMap<String, CollectionCounters>,
}

/// The documents of one collection that the sink has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionCounters {
    /// Confirmed.
    pub written: u64,
    /// To be sent again.
    pub retried: u64,
    /// Refused for good.
    pub refused: u64,
    /// Not written, because the stored documents are newer.
    pub older: u64,
}

#[derive(Debug, Default)]
struct Plugins {
    snapshots: Vec<PluginSnapshot>,
    stopped: Option<String>,
}

/// A tenant's status at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantSnapshot {
    /// Its numbers.
    #[serde(flatten)]
    pub counters: TenantCounters,
    /// When the last quote arrived; `None` before the first.
    pub last_quote_time: Option<UnixNanos>,
    /// The symbol of that quote.
    pub last_symbol: Option<String>,
    /// Why the last write failed, if it did.
    pub problem: Option<String>,
    /// The documents by collection; a root mirror's begins with a slash.
    pub collections: BTreeMap<String, CollectionCounters>,
    /// The plugins, in order.
    pub plugins: Vec<PluginSnapshot>,
    /// Why a plugin stopped the tenant, if one did.
    pub stopped: Option<String>,
    /// How an operator has paused the tenant, if one has.
    pub paused: Option<String>,
    /// Since when it is paused, for whatever reasons.
    pub paused_since: Option<UnixNanos>,
}

impl CollectionCounters {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Written => self.written += 1,
            Outcome::Retry { .. } | Outcome::TooEarly { .. } => self.retried += 1,
            Outcome::Refused { .. } => self.refused += 1,
            Outcome::Older => self.older += 1,
        }
    }
}

impl TenantSnapshot {
    /// What is wrong with the plugin in the worst state.
    pub fn plugin_problem(&self) -> Option<String> {
        let of = |state| self.plugins.iter().find(|plugin| plugin.state == state);
        let plugin = of(PluginState::Quarantined).or_else(|| of(PluginState::Degraded))?;
        let state = match plugin.state {
            PluginState::Quarantined => "is in quarantine",
            _ if plugin.failures.is_empty() => "loses quotes",
            _ => "has failed",
        };
        let problem = plugin.last_problem.as_deref().unwrap_or_default();
        Some(format!("the plugin {} {state}: {problem}", plugin.name))
    }
}

impl TenantStatus {
    pub(super) fn set_counters(&self, counters: &TenantCounters) {
        self.counters.store(counters);
    }

    pub(super) fn set_last_quote(&self, symbol: &Symbol, received_time: UnixNanos) {
        self.last_quote_time.store(received_time, Relaxed);
        self.last.lock().symbol = Some(symbol.clone());
    }

    /// Counts the answer by collection, and keeps the error of a failed write until a write succeeds.
    pub(super) fn add_outcome(&self, key: &DocumentKey, outcome: &Outcome) {
        let mut last = self.last.lock();
        last.problem = outcome.problem();
        let collection = key.collection_name();
        match last.collections.get_mut(&*collection) {
            Some(counters) => counters.add(outcome),
            None => last.collections.entry(collection.into_owned()).or_default().add(outcome),
        }
    }

    pub(super) fn set_plugins(&self, snapshots: Vec<PluginSnapshot>, stopped: Option<&StopTenant>) {
        let stopped = stopped.map(|stop| format!("the plugin {} has stopped this tenant: {}", stop.plugin, stop.error));
        *self.plugins.lock() = Plugins { snapshots, stopped };
    }

    pub(super) fn set_paused(&self, pause: Option<Pause>) {
        let mut paused = self.paused.lock();
        let since = paused.as_ref().map_or_else(unix_now, |(_, since)| *since);
        *paused = pause.map(|pause| (pause, since));
    }

    pub(super) fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// True when the tenant's task has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The status now.
    pub fn snapshot(&self) -> TenantSnapshot {
        let (plugins, stopped) = {
            let plugins = self.plugins.lock();
            (plugins.snapshots.clone(), plugins.stopped.clone())
        };
        let (last_symbol, problem, collections) = {
            let last = self.last.lock();
            (last.symbol.as_ref().map(ToString::to_string), last.problem.clone(), last.collections.clone())
        };
        let last_quote_time = self.last_quote_time.load(Relaxed);
        let paused = self.paused.lock().clone();
        TenantSnapshot {
            counters: self.counters.load(),
            last_quote_time: (last_quote_time != 0).then_some(last_quote_time),
            last_symbol,
            problem,
            collections,
            plugins,
            stopped,
            paused: paused.as_ref().and_then(|(pause, _)| pause.by_operator()).map(ToString::to_string),
            paused_since: paused.map(|(_, since)| since),
        }
    }

    /// Its newest quotes.
    pub fn live_quotes(&self) -> &LiveQuotes {
        &self.live_quotes
    }
}
