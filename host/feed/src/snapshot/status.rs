use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// Why a request for latest quotes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFailure {
    /// No connection, or no answer in time.
    Unreachable,
    /// HTTP 429.
    RateLimited,
    /// HTTP 5xx, or an answer that is not as documented.
    ServerError,
    /// Any other status: the credentials, the plan, the URL or a symbol.
    Refused,
}

impl SnapshotFailure {
    const ALL: [Self; 4] = [Self::Unreachable, Self::RateLimited, Self::ServerError, Self::Refused];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
        }
    }
}

/// The counters of the requests. The task writes those of requests, the reader those of quotes.
#[derive(Debug, Default)]
pub(crate) struct SnapshotStatus {
    requests: AtomicU64,
    failures: [AtomicU64; SnapshotFailure::ALL.len()],
    quotes: AtomicU64,
    skipped: AtomicU64,
}

/// A copy of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotCounts {
    /// Requests that were answered with quotes.
    pub requests: u64,
    /// Requests that failed, by cause, without causes that never happened.
    pub failures: BTreeMap<Cow<'static, str>, u64>,
    /// Quotes that were passed on, as the quotes of frames are.
    pub quotes: u64,
    /// Quotes of answers that could not be used.
    pub skipped: u64,
}

impl SnapshotStatus {
    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failure(&self, cause: SnapshotFailure) {
        self.failures[cause as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn count_quotes(&self, quotes: u64, skipped: u64) {
        self.quotes.fetch_add(quotes, Relaxed);
        self.skipped.fetch_add(skipped, Relaxed);
    }

    pub(crate) fn counts(&self) -> SnapshotCounts {
        let failed = |cause: SnapshotFailure| (cause.as_str().into(), self.failures[cause as usize].load(Relaxed));
        SnapshotCounts {
            requests: self.requests.load(Relaxed),
            failures: SnapshotFailure::ALL.into_iter().map(failed).filter(|(_, count)| *count > 0).collect(),
            quotes: self.quotes.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_under_their_own_names() {
        let status = SnapshotStatus::default();
        for cause in SnapshotFailure::ALL {
            status.count_failure(cause);
            assert_eq!(status.counts().failures.get(cause.as_str()), Some(&1));
        }
    }
}
