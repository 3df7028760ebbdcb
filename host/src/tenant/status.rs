use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use quotegate_quote::{Symbol, UnixNanos};
use quotegate_sink::Outcome;
use serde::Serialize;

/// How a tenant is doing. Written by its task alone, read by heartbeat and operations.
#[derive(Debug, Default)]
pub struct TenantStatus {
    quotes: AtomicU64,
    conflated: AtomicU64,
    older: AtomicU64,
    attempted: AtomicU64,
    written: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    dirty: AtomicU64,
    in_flight: AtomicU64,
    last_quote_time: AtomicI64,
    ended: AtomicBool,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    symbol: Option<Symbol>,
    problem: Option<String>,
}

/// A tenant's numbers at one moment. Counters count from the start of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantSnapshot {
    /// Quotes that arrived.
    pub quotes: u64,
    /// Quotes that made room for a newer one of their symbol before they were written.
    pub conflated: u64,
    /// Quotes older than the latest of their symbol.
    pub older: u64,
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
    /// Symbols with a write in flight.
    pub in_flight: u64,
    /// When the last quote arrived; `None` before the first.
    pub last_quote_time: Option<UnixNanos>,
    /// Whose quote that was.
    pub last_symbol: Option<String>,
    /// What the sink said of the last write, if that failed.
    pub problem: Option<String>,
}

impl TenantStatus {
    pub(super) fn quotes_arrived(
        &self,
        quotes: u64,
        conflated: u64,
        older: u64,
        last: Option<&Symbol>,
        received_time: UnixNanos,
    ) {
        self.quotes.fetch_add(quotes, Relaxed);
        self.conflated.fetch_add(conflated, Relaxed);
        self.older.fetch_add(older, Relaxed);
        self.last_quote_time.store(received_time, Relaxed);
        self.last().symbol = last.cloned();
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

    pub(super) fn set_backlog(&self, dirty: usize, in_flight: usize) {
        self.dirty.store(dirty as u64, Relaxed);
        self.in_flight.store(in_flight as u64, Relaxed);
    }

    pub(super) fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// True when the tenant's task has nothing more to do.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The numbers now.
    pub fn snapshot(&self) -> TenantSnapshot {
        let last = self.last();
        let last_quote_time = self.last_quote_time.load(Relaxed);
        TenantSnapshot {
            quotes: self.quotes.load(Relaxed),
            conflated: self.conflated.load(Relaxed),
            older: self.older.load(Relaxed),
            attempted: self.attempted.load(Relaxed),
            written: self.written.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dirty: self.dirty.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            last_quote_time: (last_quote_time != 0).then_some(last_quote_time),
            last_symbol: last.symbol.as_ref().map(ToString::to_string),
            problem: last.problem.clone(),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
