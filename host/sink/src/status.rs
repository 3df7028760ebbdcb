use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use quotegate_document::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::{Outcome, ReadResult, WriteResult};

/// The sink's state. Only the batcher updates it.
#[derive(Debug, Default)]
pub struct SinkStatus {
    requests: AtomicU64,
    in_flight: AtomicU64,
    attempted: AtomicU64,
    written: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    older: AtomicU64,
    read: AtomicU64,
    conflicts: AtomicU64,
    foreign_writes: AtomicU64,
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
    /// Documents not written because the stored ones are newer.
    pub older: u64,
    /// Documents read for the fence.
    pub read: u64,
    /// Writes that found their document changed by someone else, or by a late request of this host.
    pub conflicts: u64,
    /// Conflicts with writers that left the document's order as it was.
    pub foreign_writes: u64,
    /// The total time of all answered requests, in microseconds.
    pub request_micros: u64,
    /// When a document was last confirmed.
    pub last_success: Option<UnixNanos>,
    /// Every document of the last answered request failed.
    pub failing: bool,
    /// The last error.
    pub last_error: Option<String>,
}

impl SinkStatus {
    pub(crate) fn write_started(&self, documents: usize) {
        self.request_started();
        self.attempted.fetch_add(documents as u64, Relaxed);
    }

    pub(crate) fn read_started(&self, documents: usize) {
        self.request_started();
        self.read.fetch_add(documents as u64, Relaxed);
    }

    fn request_started(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn write_ended(&self, took: Duration, results: &[WriteResult]) {
        self.request_ended(took);
        let failed = |result: &WriteResult| matches!(result, WriteResult::Failed(_));
        self.failing.store(results.iter().all(failed), Relaxed);
        if results.iter().any(|result| matches!(result, WriteResult::Written(_))) {
            let now = UnixNanos::try_from(Timestamp::now().as_nanosecond()).unwrap_or(UnixNanos::MAX);
            self.last_success.store(now, Relaxed);
        }
    }

    pub(crate) fn read_ended(&self, took: Duration, results: &[ReadResult]) {
        self.request_ended(took);
        // A read that succeeds does not show that writes do.
        if results.iter().all(Result::is_err) {
            self.failing.store(true, Relaxed);
        }
    }

    fn request_ended(&self, took: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.request_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn count_conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_foreign_write(&self) {
        self.foreign_writes.fetch_add(1, Relaxed);
    }

    pub(crate) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Written => &self.written,
            Outcome::Retry { .. } | Outcome::TooEarly { .. } => &self.retried,
            Outcome::Refused { .. } => &self.refused,
            Outcome::Older => &self.older,
        };
        counter.fetch_add(1, Relaxed);
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
            older: self.older.load(Relaxed),
            read: self.read.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            foreign_writes: self.foreign_writes.load(Relaxed),
            request_micros: self.request_micros.load(Relaxed),
            last_success: (last_success != 0).then_some(last_success),
            failing: self.failing.load(Relaxed),
            last_error: self.last_error.lock().clone(),
        }
    }
}
