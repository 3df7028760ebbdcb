use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a request for latest quotes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotFailure {
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
    /// The name in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
        }
    }
}

/// The requests for latest quotes, and their quotes.
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
