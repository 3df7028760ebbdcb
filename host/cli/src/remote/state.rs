use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use quotegate_runtime::liveness::{Liveness, Verdict, words};

/// What people are shown of `/api/state`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RemoteState {
    pub(crate) schema: u32,
    pub(crate) time: i64,
    pub(crate) started: i64,
    pub(crate) version: String,
    pub(crate) instance: String,
    pub(crate) dry_run: bool,
    pub(crate) liveness: Verdict,
    pub(crate) connection: String,
    pub(crate) feed: Feed,
    pub(crate) sink: Sink,
    pub(crate) tokens: u32,
    pub(crate) write_limit: WriteLimit,
    pub(crate) latency_bounds_seconds: Vec<f64>,
    pub(crate) tick_to_commit: Histogram,
    pub(crate) recent_errors: Vec<RecentError>,
    pub(crate) tenants: Vec<TenantState>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Feed {
    pub(crate) since: i64,
    pub(crate) quotes: u64,
    pub(crate) retries: BTreeMap<String, u64>,
    pub(crate) last_received_time: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sink {
    pub(crate) written: u64,
    pub(crate) retried: u64,
    pub(crate) refused: u64,
    pub(crate) failing: bool,
    pub(crate) last_error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WriteLimit {
    pub(crate) per_second: f64,
    pub(crate) burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Histogram {
    pub(crate) counts: Vec<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RecentError {
    pub(crate) time: i64,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) details: String,
    pub(crate) count: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TenantState {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) liveness: Verdict,
    pub(crate) quotes: u64,
    pub(crate) written: u64,
    pub(crate) dirty: u64,
    pub(crate) due: u64,
    pub(crate) lost: u64,
    pub(crate) last_quote_time: Option<i64>,
    pub(crate) last_symbol: Option<String>,
    pub(crate) plugins: Vec<PluginState>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PluginState {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) last_problem: Option<String>,
    pub(crate) quotes_seen: u64,
    pub(crate) seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl RemoteState {
    /// The version that this program understands.
    pub(crate) const SCHEMA: u32 = 1;

    /// How long ago a moment was when the host spoke.
    pub(crate) fn ago(&self, then: i64) -> String {
        words(Duration::from_nanos(self.time.saturating_sub(then).max(0).unsigned_abs()))
    }

    /// Everything that keeps the host from being well; empty if it is.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.liveness.state != Liveness::Live {
            problems.push(self.liveness.reason.clone().unwrap_or_default());
        }
        if !matches!(self.connection.as_str(), "streaming" | "replaying") {
            problems.push(format!("the feed is not connected: {}", self.connection));
        }
        if self.sink.failing {
            let error = self.sink.last_error.as_deref().unwrap_or("it does not say why");
            problems.push(format!("the sink does not take documents: {error}"));
        }
        for tenant in self.tenants.iter().filter(|tenant| tenant.status != "running") {
            let reason = tenant.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            problems.push(format!("tenant {} is {}{reason}", tenant.id, tenant.status));
        }
        problems
    }

    /// A sum over all tenants.
    pub(crate) fn sum(&self, of: fn(&TenantState) -> u64) -> u64 {
        self.tenants.iter().map(of).sum()
    }

    /// The time within which this part of the writes was confirmed, since `before` or the start.
    pub(crate) fn confirmed_within(&self, part: f64, before: Option<&Histogram>) -> String {
        let old = |bucket: usize| before.and_then(|before| before.counts.get(bucket)).copied().unwrap_or(0);
        let counts = self.tick_to_commit.counts.iter().enumerate();
        let counts: Vec<u64> = counts.map(|(bucket, count)| count.saturating_sub(old(bucket))).collect();
        let all: u64 = counts.iter().sum();
        if all == 0 {
            return "-".to_owned();
        }
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen as f64 >= all as f64 * part
        });
        let bounds = &self.latency_bounds_seconds;
        match bucket.and_then(|bucket| bounds.get(bucket)) {
            Some(bound) if *bound < 1.0 => format!("≤ {} ms", bound * 1e3),
            Some(bound) => format!("≤ {bound} s"),
            None => format!("> {} s", bounds.last().copied().unwrap_or_default()),
        }
    }
}

impl PluginState {
    /// Instances lost.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
