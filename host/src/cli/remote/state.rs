use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::liveness::{Liveness, Verdict, words};

/// What people are shown of `/api/state`.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct RemoteState {
    pub(in crate::cli) schema: u32,
    pub(in crate::cli) time: i64,
    pub(in crate::cli) started: i64,
    pub(in crate::cli) version: String,
    pub(in crate::cli) instance: String,
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) liveness: Verdict,
    pub(in crate::cli) connection: String,
    pub(in crate::cli) feed: Feed,
    pub(in crate::cli) sink: Sink,
    pub(in crate::cli) tokens: u32,
    pub(in crate::cli) write_limit: WriteLimit,
    pub(in crate::cli) latency_bounds_seconds: Vec<f64>,
    pub(in crate::cli) tick_to_commit: Histogram,
    pub(in crate::cli) recent_errors: Vec<RecentError>,
    pub(in crate::cli) tenants: Vec<TenantState>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Feed {
    pub(in crate::cli) since: i64,
    pub(in crate::cli) quotes: u64,
    pub(in crate::cli) retries: BTreeMap<String, u64>,
    pub(in crate::cli) last_received_time: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Sink {
    pub(in crate::cli) written: u64,
    pub(in crate::cli) retried: u64,
    pub(in crate::cli) refused: u64,
    pub(in crate::cli) failing: bool,
    pub(in crate::cli) last_error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct WriteLimit {
    pub(in crate::cli) per_second: f64,
    pub(in crate::cli) burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct Histogram {
    pub(in crate::cli) counts: Vec<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct RecentError {
    pub(in crate::cli) time: i64,
    pub(in crate::cli) severity: String,
    pub(in crate::cli) message: String,
    pub(in crate::cli) details: String,
    pub(in crate::cli) count: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct TenantState {
    pub(in crate::cli) id: String,
    pub(in crate::cli) status: String,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) liveness: Verdict,
    pub(in crate::cli) quotes: u64,
    pub(in crate::cli) written: u64,
    pub(in crate::cli) dirty: u64,
    pub(in crate::cli) due: u64,
    pub(in crate::cli) lost: u64,
    pub(in crate::cli) last_quote_time: Option<i64>,
    pub(in crate::cli) last_symbol: Option<String>,
    pub(in crate::cli) plugins: Vec<PluginState>,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::cli) struct PluginState {
    pub(in crate::cli) name: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) last_problem: Option<String>,
    pub(in crate::cli) quotes_seen: u64,
    pub(in crate::cli) seconds: f64,
    pub(in crate::cli) memory_bytes: u64,
    pub(in crate::cli) failures: BTreeMap<String, u64>,
}

impl RemoteState {
    /// The version that this program understands.
    pub(in crate::cli) const SCHEMA: u32 = 1;

    /// How long ago a moment was when the host spoke.
    pub(in crate::cli) fn ago(&self, then: i64) -> String {
        words(Duration::from_nanos(self.time.saturating_sub(then).max(0).unsigned_abs()))
    }

    /// Everything that keeps the host from being well; empty if it is.
    pub(in crate::cli) fn problems(&self) -> Vec<String> {
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
    pub(in crate::cli) fn sum(&self, of: fn(&TenantState) -> u64) -> u64 {
        self.tenants.iter().map(of).sum()
    }

    /// The time within which this part of the writes was confirmed, since `before` or the start.
    pub(in crate::cli) fn confirmed_within(&self, part: f64, before: Option<&Histogram>) -> String {
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
    pub(in crate::cli) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
