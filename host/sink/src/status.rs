use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use quotegate_document::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The sink's state. Only the batcher updates it.
#[derive(Debug, Default)]
pub struct SinkStatus {
    requests: AtomicU64,
    in_flight: AtomicU64,
    attempted: AtomicU64,
    written: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    request_micros: AtomicU64,
    last_success: AtomicI64,
    failing: AtomicBool,
    last_error: Mutex<Option<String>>,
}

/// The sink's state at one moment. Counters start with the host and do not include heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkSnapshot {
    /// Requests sent.
    pub requests: u64,
    /// Requests without an answer yet.
    pub in_flight: u64,
    /// Documents sent, retries included.
    pub attempted: u64,
    /// Documents confirmed.
    pub written: u64,
    /// Documents to be retried.
    pub retried: u64,
    /// Documents refused for good.
    pub refused: u64,
    /// The total time of all answered requests, in microseconds.
    pub request_micros: u64,
    /// When a document was last confirmed.
    pub last_success: Option<UnixNanos>,
    /// The last answered request wrote nothing.
    pub failing: bool,
    /// The last error.
    pub last_error: Option<String>,
}

impl SinkStatus {
    pub(crate) fn request_started(&self, documents: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.attempted.fetch_add(documents as u64, Relaxed);
    }

    pub(crate) fn request_ended(&self, took: Duration, outcomes: &[Outcome]) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.request_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        let count = |fits: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| fits(outcome)).count() as u64;
        let written = count(|outcome| *outcome == Outcome::Written);
        self.written.fetch_add(written, Relaxed);
        self.retried.fetch_add(count(|outcome| matches!(outcome, Outcome::Retry { .. })), Relaxed);
        self.refused.fetch_add(count(|outcome| matches!(outcome, Outcome::Refused { .. })), Relaxed);
        self.failing.store(written == 0, Relaxed);
        if written > 0 {
            let now = UnixNanos::try_from(Timestamp::now().as_nanosecond()).unwrap_or(UnixNanos::MAX);
            self.last_success.store(now, Relaxed);
        }
    }

    pub(crate) fn set_last_error(&self, error: &str) {
        let mut last = self.last_error.lock();
        if last.as_deref() != Some(error) {
            *last = Some(error.to_owned());
        }
    }

    /// The current state.
    pub fn snapshot(&self) -> SinkSnapshot {
        let last_success = self.last_success.load(Relaxed);
        SinkSnapshot {
            requests: self.requests.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            attempted: self.attempted.load(Relaxed),
            written: self.written.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            request_micros: self.request_micros.load(Relaxed),
            last_success: (last_success != 0).then_some(last_success),
            failing: self.failing.load(Relaxed),
            last_error: self.last_error.lock().clone(),
        }
    }
}
