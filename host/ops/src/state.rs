//! `/api/state`: one JSON object. Times are nanoseconds since 1970-01-01 UTC. Counters count from the start.

use std::borrow::Cow;
use std::time::Duration;

use quotegate_feed::FeedSnapshot;
use quotegate_lease::{LeaseSnapshot, ReportedHost, ShardsSnapshot};
use quotegate_market::UnixNanos;
use quotegate_sink::SinkSnapshot;
use serde::{Deserialize, Serialize};

use quotegate_pipeline::latency::{BOUNDS, LatencySnapshot};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot};
use quotegate_runtime::liveness::LivenessReport;
use quotegate_runtime::log::{RecentError, recent_errors};
use quotegate_runtime::status::{IngestStatus, RelayState, Snapshot};
use quotegate_runtime::text::short_duration;

use super::problems::problems;

/// A host's state, as `/api/state` sends it and `status` and `top` read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostState {
    /// Goes up when a field is removed or changes its meaning.
    pub schema: u32,
    /// When the host took this snapshot.
    pub time: UnixNanos,
    /// When the host started.
    pub started: UnixNanos,
    /// The host's version.
    pub version: Cow<'static, str>,
    /// The host's name.
    pub instance: String,
    /// True if nothing is written.
    pub dry_run: bool,
    /// True while the host shuts down.
    pub stopping: bool,
    /// Who owns the feed. Missing if the host needs no lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseSnapshot>,
    /// The relay between the reader and the workers. Missing without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayState>,
    /// Which worker has which shards of the tenants. Missing without a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardsSnapshot>,
    /// All hosts that take part in the lease or the relay, as they last reported.
    #[serde(default)]
    pub hosts: Vec<ReportedHost>,
    /// LIVE, QUIET, STANDBY, STALE or OFFLINE.
    pub liveness: LivenessReport,
    /// Everything that is wrong, each fault once however many tenants it affects.
    pub problems: Vec<String>,
    /// False while the exchange is closed.
    pub quotes_expected: bool,
    /// The state of the connection, as one word.
    pub connection: Cow<'static, str>,
    /// The feed's numbers.
    pub feed: FeedSnapshot,
    /// The sink's numbers.
    pub sink: SinkSnapshot,
    /// Write tokens left in the global bucket.
    pub tokens: u32,
    /// The limit of all tenants' writes together.
    pub write_limit: WriteLimit,
    /// Heartbeats that the sink confirmed.
    pub heartbeats: u64,
    /// When the last of them was confirmed.
    pub last_heartbeat: Option<UnixNanos>,
    /// The upper bounds of the buckets of the two histograms below.
    pub latency_bounds_seconds: Vec<f64>,
    /// From a quote's arrival to the sink.
    pub tick_to_sink: LatencySnapshot,
    /// From a quote's arrival to the confirmed write.
    pub tick_to_commit: LatencySnapshot,
    /// The latest warnings and errors of the log, newest first.
    pub recent_errors: Vec<RecentError>,
    /// How many tenants the host has, including those left out below.
    pub tenant_count: usize,
    /// The tenants.
    pub tenants: Vec<TenantState>,
}

/// A write limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteLimit {
    /// The rate at which tokens are added.
    pub per_second: f64,
    /// The most tokens that the bucket holds.
    pub burst: u32,
}

/// A tenant's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantState {
    /// Its id.
    pub id: String,
    /// The same as in its heartbeat.
    pub status: IngestStatus,
    /// Why it is not running well.
    pub reason: Option<String>,
    /// Whether others have the same reason, so that [`HostState::problems`] says it for all of them.
    pub reason_is_shared: bool,
    /// LIVE, QUIET, STALE or OFFLINE.
    pub liveness: LivenessReport,
    /// Its numbers.
    #[serde(flatten)]
    pub snapshot: TenantSnapshot,
}

impl From<Snapshot> for HostState {
    fn from(mut snapshot: Snapshot) -> Self {
        let (liveness, connection) = (snapshot.liveness(), snapshot.connection().into());
        let tenants = std::mem::take(&mut snapshot.tenants).into_iter().map(|(id, tenant)| {
            let (status, reason) = snapshot.ingest_status(&tenant);
            let liveness = snapshot.tenant_liveness(&tenant);
            TenantState { id: id.to_string(), status, reason, reason_is_shared: false, liveness, snapshot: tenant }
        });
        let mut tenants: Vec<TenantState> = tenants.collect();
        let problems = problems(&snapshot, &liveness, &mut tenants);
        let [tick_to_sink, tick_to_commit] = snapshot.latency;
        Self {
            schema: Self::SCHEMA,
            time: snapshot.time,
            started: snapshot.started,
            version: env!("CARGO_PKG_VERSION").into(),
            instance: snapshot.instance,
            dry_run: snapshot.dry_run,
            stopping: snapshot.stopping,
            lease: snapshot.lease,
            relay: snapshot.relay,
            shards: snapshot.shards,
            hosts: snapshot.hosts,
            liveness,
            problems,
            quotes_expected: snapshot.open_since.is_some(),
            connection,
            feed: snapshot.feed,
            sink: snapshot.sink,
            tokens: snapshot.tokens,
            write_limit: WriteLimit {
                per_second: snapshot.write_limit.per_second(),
                burst: snapshot.write_limit.burst(),
            },
            heartbeats: snapshot.heartbeats,
            last_heartbeat: snapshot.last_heartbeat,
            latency_bounds_seconds: BOUNDS.to_vec(),
            tick_to_sink,
            tick_to_commit,
            recent_errors: recent_errors(),
            tenant_count: tenants.len(),
            tenants,
        }
    }
}

impl HostState {
    /// The version of the JSON that this program writes and reads.
    pub const SCHEMA: u32 = 1;

    /// Keeps at most `count` tenants. Those that are degraded, paused or stopped come first.
    pub(super) fn keep_tenants(mut self, count: usize) -> Self {
        if self.tenants.len() > count {
            self.tenants.sort_by_key(|tenant| tenant.status == IngestStatus::Running);
            self.tenants.truncate(count);
            self.problems.truncate(count);
        }
        self
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// How old `then` was when the host took this snapshot.
    pub fn age(&self, then: UnixNanos) -> String {
        short_duration(Duration::from_nanos(self.time.saturating_sub(then).max(0).unsigned_abs()))
    }

    /// What this host is and who the owner is, for people; `None` if the host does not compete for the feed.
    pub fn role(&self) -> Option<String> {
        let lease = self.lease.as_ref()?;
        let Some(owner) = &lease.owner else { return Some("standby; no host owns the feed yet".to_owned()) };
        let (epoch, age) = (lease.epoch, self.age(owner.since));
        Some(if lease.held {
            format!("owner of epoch {epoch}, for {age}")
        } else {
            let address = owner.address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
            format!("standby; {}{address} owns epoch {epoch}, for {age}", owner.instance)
        })
    }

    /// The sum of one counter over all tenants.
    pub fn sum(&self, of: fn(&TenantCounters) -> u64) -> u64 {
        self.tenants.iter().map(|tenant| of(&tenant.snapshot.counters)).sum()
    }

    /// The time within which this share of the writes was confirmed, since the snapshot `before` or the start.
    pub fn confirmed_within(&self, share: f64, before: Option<&LatencySnapshot>) -> String {
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
            seen as f64 >= all as f64 * share
        });
        let bounds = &self.latency_bounds_seconds;
        match bucket.and_then(|bucket| bounds.get(bucket)) {
            Some(bound) if *bound < 1.0 => format!("≤ {} ms", bound * 1e3),
            Some(bound) => format!("≤ {bound} s"),
            None => format!("> {} s", bounds.last().copied().unwrap_or_default()),
        }
    }
}
