use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use quotegate_market::{Symbol, UnixNanos};
use quotegate_plugin::{PluginSnapshot, PluginState, StopTenant};
use quotegate_sink::Outcome;
use serde::Serialize;

use super::board::Board;

/// How a tenant is doing. Written by its task alone, read by heartbeat and operations.
#[derive(Debug, Default)]
pub struct TenantStatus {
    quotes: AtomicU64,
    conflated: AtomicU64,
    older: AtomicU64,
    filtered: AtomicU64,
    lost: AtomicU64,
    unmapped: AtomicU64,
    settled: AtomicU64,
    attempted: AtomicU64,
    written: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    dirty: AtomicU64,
    due: AtomicU64,
    in_flight: AtomicU64,
    last_quote_time: AtomicI64,
    ended: AtomicBool,
    leaving: AtomicBool,
    last: Mutex<Last>,
    plugins: Mutex<Plugins>,
    paused: Mutex<Option<Arc<str>>>,
    board: Board,
}

#[derive(Debug, Default)]
struct Last {
    symbol: Option<Symbol>,
    problem: Option<String>,
}

#[derive(Debug, Default)]
struct Plugins {
    snapshots: Vec<PluginSnapshot>,
    stopped: Option<String>,
}

/// Quotes that a tenant took together.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) quotes: u64,
    pub(super) conflated: u64,
    pub(super) older: u64,
    pub(super) filtered: u64,
    pub(super) lost: u64,
    pub(super) last: Option<Symbol>,
    pub(super) received_time: UnixNanos,
}

/// How a quote ended that was accepted into the latest table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteEnd {
    /// Its write failed, and a newer quote goes instead.
    Conflated,
    /// Its map failed.
    Lost,
    /// Its maps made no document of it.
    Unmapped,
    /// Its documents are written, refused for good, or overtaken by a newer quote's.
    Settled,
}

/// A tenant's numbers at one moment. Counters count from the start of the host. Every quote comes to one end:
/// `quotes` = `filtered` + `conflated` + `older` + `lost` + `unmapped` + `settled` + what is dirty or in flight.
#[derive(Debug, Clone, Serialize)]
pub struct TenantSnapshot {
    /// Quotes that arrived.
    pub quotes: u64,
    /// Quotes that made room for a newer one of their symbol before they were written.
    pub conflated: u64,
    /// Quotes older than the latest of their symbol.
    pub older: u64,
    /// Quotes that a filter refused.
    pub filtered: u64,
    /// Quotes lost because a plugin failed or stopped the tenant.
    pub lost: u64,
    /// Quotes of which maps made no document.
    pub unmapped: u64,
    /// Quotes whose documents were written, refused for good, or overtaken by a newer quote's.
    pub settled: u64,
    /// Documents handed to the sink, retries included.
    pub attempted: u64,
    /// Documents that the sink confirmed.
    pub written: u64,
    /// Documents that the sink asked to send again later.
    pub retried: u64,
    /// Documents that the sink refused for good.
    pub refused: u64,
    /// Symbols whose latest quote waits to be written.
    pub dirty: u64,
    /// Those of them that may be written as soon as there is a token.
    pub due: u64,
    /// Symbols with a write in flight.
    pub in_flight: u64,
    /// When the last quote arrived; `None` before the first.
    pub last_quote_time: Option<UnixNanos>,
    /// Whose quote that was.
    pub last_symbol: Option<String>,
    /// What the sink said of the last write, if that failed.
    pub problem: Option<String>,
    /// The plugins, in order.
    pub plugins: Vec<PluginSnapshot>,
    /// Why the tenant stands still, if a plugin has stopped it.
    pub stopped: Option<String>,
    /// Who has paused the tenant's writes.
    pub paused: Option<String>,
}

impl TenantSnapshot {
    /// What is wrong with the plugin that is worst off.
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
    pub(super) fn quotes_arrived(&self, arrived: Arrived) {
        self.quotes.fetch_add(arrived.quotes, Relaxed);
        self.conflated.fetch_add(arrived.conflated, Relaxed);
        self.older.fetch_add(arrived.older, Relaxed);
        self.filtered.fetch_add(arrived.filtered, Relaxed);
        self.lost.fetch_add(arrived.lost, Relaxed);
        self.last_quote_time.store(arrived.received_time, Relaxed);
        self.last().symbol = arrived.last;
    }

    /// The one place where the ends of accepted quotes are counted.
    pub(super) fn quote_ended(&self, end: QuoteEnd) {
        let counter = match end {
            QuoteEnd::Conflated => &self.conflated,
            QuoteEnd::Lost => &self.lost,
            QuoteEnd::Unmapped => &self.unmapped,
            QuoteEnd::Settled => &self.settled,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn set_plugins(&self, snapshots: Vec<PluginSnapshot>, stopped: Option<&StopTenant>) {
        let stopped =
            stopped.map(|stop| format!("the plugin {} has stopped this tenant: {}", stop.plugin, stop.problem));
        *self.plugins.lock().unwrap_or_else(PoisonError::into_inner) = Plugins { snapshots, stopped };
    }

    pub(super) fn set_paused(&self, reason: Option<Arc<str>>) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(super) fn write_attempted(&self) {
        self.attempted.fetch_add(1, Relaxed);
    }

    pub(super) fn write_answered(&self, outcome: &Outcome) {
        let (counter, problem) = match outcome {
            Outcome::Written => (&self.written, None),
            Outcome::Retry { reason, .. } => (&self.retried, Some(reason.to_string())),
            Outcome::Refused { code, message } => {
                (&self.refused, Some(format!("{code}: {message}; {}", code.remedy())))
            }
        };
        counter.fetch_add(1, Relaxed);
        let mut last = self.last();
        if last.problem != problem {
            last.problem = problem;
        }
    }

    pub(super) fn set_backlog(&self, dirty: usize, due: usize, in_flight: usize) {
        self.dirty.store(dirty as u64, Relaxed);
        self.due.store(due as u64, Relaxed);
        self.in_flight.store(in_flight as u64, Relaxed);
    }

    pub(super) fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Says that the tenant is not in the settings any more.
    pub fn set_leaving(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// True if the tenant ends because it was removed.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// True when the tenant's task has nothing more to do.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The numbers now.
    pub fn snapshot(&self) -> TenantSnapshot {
        let (plugins, stopped) = {
            let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
            (plugins.snapshots.clone(), plugins.stopped.clone())
        };
        let last = self.last();
        let last_quote_time = self.last_quote_time.load(Relaxed);
        TenantSnapshot {
            quotes: self.quotes.load(Relaxed),
            conflated: self.conflated.load(Relaxed),
            older: self.older.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            lost: self.lost.load(Relaxed),
            unmapped: self.unmapped.load(Relaxed),
            settled: self.settled.load(Relaxed),
            attempted: self.attempted.load(Relaxed),
            written: self.written.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dirty: self.dirty.load(Relaxed),
            due: self.due.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            last_quote_time: (last_quote_time != 0).then_some(last_quote_time),
            last_symbol: last.symbol.as_ref().map(ToString::to_string),
            problem: last.problem.clone(),
            plugins,
            stopped,
            paused: self.paused.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(str::to_owned),
        }
    }

    /// Its newest quotes.
    pub fn board(&self) -> &Board {
        &self.board
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
