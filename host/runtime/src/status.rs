//! A snapshot of the whole host, for heartbeats, operations and people. It only reads: each part writes its own numbers.

mod feed;
mod part;
mod reloads;
mod smoke;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use quotegate_config::{HeartbeatSettings, HeartbeatTime};
use quotegate_document::{TenantId, UnixNanos};
use quotegate_feed::{Calendar, ConnectionState, FeedSnapshot};
use quotegate_lease::{LeaseHandle, LeaseSnapshot, ReportedHost, ShardsHandle, ShardsSnapshot};
use quotegate_pace::Rate;
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::latency::{Latencies, LatencySnapshot};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot, TenantStatus};
use quotegate_sink::{SinkSnapshot, SinkStatus};
use serde::{Deserialize, Serialize};

use crate::feed_view::FeedView;
pub use crate::feed_view::{ReaderState, RelayState};
use crate::liveness::{Liveness, LivenessInputs, LivenessReport, heartbeat_limit};
pub(crate) use part::PartProblems;
pub use reloads::ReloadSnapshot;
pub(crate) use reloads::ReloadStatus;

/// The numbers of every part of the host.
#[derive(Debug)]
pub struct HostStatus {
    pub(crate) feed: FeedView,
    pub(crate) sink: Arc<SinkStatus>,
    pub(crate) budget: Arc<Budget>,
    /// By id. Replaced as a whole when a tenant is added or removed.
    pub(crate) tenants: Mutex<Tenants>,
    /// Held while a round of heartbeats is written.
    pub(crate) heartbeat_lock: tokio::sync::Mutex<()>,
    pub(crate) dry_run: bool,
    pub(crate) instance: String,
    pub(crate) started: UnixNanos,
    /// When the feed is expected to deliver quotes.
    pub(crate) calendar: Calendar,
    pub(crate) heartbeat: HeartbeatSettings,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) last_heartbeat: AtomicI64,
    pub(crate) latencies: Arc<Latencies>,
    /// `None`: this host does not compete for the feed.
    pub(crate) lease: Option<LeaseHandle>,
    /// `None` without a relay.
    pub(crate) shards: Option<ShardsHandle>,
    /// What keeps this host from its part of the work. Written by the task that changes the tenants.
    pub(crate) part: Mutex<PartProblems>,
    /// All hosts that take part in the lease or the relay, as they last reported.
    pub(crate) hosts: Mutex<Vec<ReportedHost>>,
    /// Set once, when the host begins to shut down.
    pub(crate) stopping: AtomicBool,
    /// Set once, by the host, when the source has ended normally (a replay is over).
    pub(crate) source_ended: AtomicBool,
    pub(crate) reloads: ReloadStatus,
}

/// The status of a tenant's ingest, as one word for UIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IngestStatus {
    /// No connection yet.
    Starting,
    /// Quotes flow, or would if there were any.
    Running,
    /// Another host owns the feed, and writes the tenant's documents and heartbeat.
    Standby,
    /// Something is wrong. The heartbeat's `reason` says what.
    Degraded,
    /// An operator has paused the tenant's writes. The reason says how.
    Paused,
    /// The host has shut down, or a plugin with `on_error = "stop-tenant"` has stopped the tenant. The reason tells
    /// which.
    Stopped,
}

impl IngestStatus {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Degraded => "degraded",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Every tenant's id and numbers.
pub type Tenants = Arc<Vec<(TenantId, Arc<TenantStatus>)>>;

/// The host at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken.
    pub time: UnixNanos,
    /// When the host started.
    pub started: UnixNanos,
    /// Nothing is written anywhere.
    pub dry_run: bool,
    /// Which host this is.
    pub instance: String,
    /// The feed.
    pub feed: FeedSnapshot,
    /// The sink.
    pub sink: SinkSnapshot,
    /// Write tokens left in the global bucket.
    pub tokens: u32,
    /// The limit of all tenants' writes together.
    pub write_limit: Rate,
    /// Heartbeats that the sink confirmed.
    pub heartbeats: u64,
    /// When the last of them was confirmed.
    pub last_heartbeat: Option<UnixNanos>,
    /// A heartbeat that is older than this is stale.
    pub heartbeat_limit: Duration,
    /// Since when quotes are expected; `None` while they are not, because the exchange is closed.
    pub open_since: Option<UnixNanos>,
    /// From a quote's arrival to the sink, and to the confirmed write. Empty in a replay, whose quotes arrived long ago.
    pub latency: [LatencySnapshot; 2],
    /// The lease; `None` if this host does not compete for it.
    pub lease: Option<LeaseSnapshot>,
    /// The relay, if there is one.
    pub relay: Option<RelayState>,
    /// The shards of the tenants, with a relay.
    pub shards: Option<ShardsSnapshot>,
    /// When the last quote arrived from which tenants could get it.
    pub last_quote: Option<UnixNanos>,
    /// What keeps this host from its part of the work.
    pub part_problems: Vec<String>,
    /// All hosts that take part in the lease or the relay, as they last reported.
    pub hosts: Vec<ReportedHost>,
    /// The host is shutting down.
    pub stopping: bool,
    /// The reloads since the start.
    pub reloads: ReloadSnapshot,
    /// Every tenant, in the order of the settings.
    pub tenants: Vec<(TenantId, TenantSnapshot)>,
    pub(crate) ts_follows: HeartbeatTime,
    calendar: Calendar,
    source_ended: bool,
}

impl HostStatus {
    /// The tenants now.
    pub fn tenants(&self) -> Tenants {
        self.tenants.lock().clone()
    }

    pub(crate) fn add_tenant(&self, id: TenantId, status: Arc<TenantStatus>) {
        let mut tenants = self.tenants.lock();
        // Copied only if someone has the list at hand: many tenants can start at once.
        let tenants = Arc::make_mut(&mut tenants);
        match tenants.binary_search_by(|(held, _)| held.cmp(&id)) {
            Ok(at) => tenants[at].1 = status,
            Err(at) => tenants.insert(at, (id, status)),
        }
    }

    pub(crate) fn remove_tenant(&self, id: &TenantId) {
        let mut tenants = self.tenants.lock();
        let tenants = Arc::make_mut(&mut tenants);
        if let Ok(at) = tenants.binary_search_by(|(held, _)| held.cmp(id)) {
            tenants.remove(at);
        }
    }

    /// False while the documents of this host's tenants are another host's work.
    pub(crate) fn may_write(&self) -> bool {
        match (&self.shards, &self.lease) {
            (Some(shards), _) => shards.may_write(),
            (None, Some(lease)) => lease.is_held(),
            (None, None) => true,
        }
    }

    /// The relay, if there is one.
    pub(crate) fn relay(&self) -> Option<RelayState> {
        let reads = self.lease.as_ref().is_some_and(LeaseHandle::is_held);
        self.feed.now(reads).1
    }

    pub(crate) fn set_hosts(&self, hosts: Vec<ReportedHost>) {
        *self.hosts.lock() = hosts;
    }

    pub(crate) fn count_heartbeats(&self, written: u64) {
        self.heartbeats.fetch_add(written, Relaxed);
        if written > 0 {
            self.last_heartbeat.store(unix_now(), Relaxed);
        }
    }

    /// All numbers now.
    pub fn snapshot(&self) -> Snapshot {
        let last_heartbeat = self.last_heartbeat.load(Relaxed);
        let time = unix_now();
        let lease = self.lease.as_ref().map(LeaseHandle::snapshot);
        let (feed, relay, last_quote) = self.feed.now(lease.as_ref().is_some_and(|lease| lease.held));
        let part_problems = self.part.lock().sentences();
        Snapshot {
            time,
            started: self.started,
            dry_run: self.dry_run,
            instance: self.instance.clone(),
            feed,
            relay,
            shards: self.shards.as_ref().map(ShardsHandle::snapshot),
            last_quote,
            part_problems,
            sink: self.sink.snapshot(),
            tokens: self.budget.tokens(),
            write_limit: self.budget.limit(),
            heartbeats: self.heartbeats.load(Relaxed),
            last_heartbeat: (last_heartbeat != 0).then_some(last_heartbeat),
            heartbeat_limit: heartbeat_limit(self.heartbeat.interval),
            open_since: self.calendar.open_since(time),
            latency: [self.latencies.to_sink.snapshot(), self.latencies.to_commit.snapshot()],
            stopping: self.stopping.load(Relaxed),
            reloads: self.reloads.snapshot(),
            tenants: self.tenants().iter().map(|(id, status)| (id.clone(), status.snapshot())).collect(),
            ts_follows: self.heartbeat.ts_follows,
            calendar: self.calendar,
            lease,
            hosts: self.hosts.lock().clone(),
            source_ended: self.source_ended.load(Relaxed),
        }
    }
}

impl Snapshot {
    /// The sum of one counter over all tenants.
    pub fn sum(&self, of: fn(&TenantCounters) -> u64) -> u64 {
        self.tenants.iter().map(|(_, tenant)| of(&tenant.counters)).sum()
    }

    /// The status of a tenant's ingest, and the reason if it is not running well.
    pub fn ingest_status(&self, tenant: &TenantSnapshot) -> (IngestStatus, Option<String>) {
        if let Some(reason) = &tenant.paused {
            return (IngestStatus::Paused, Some(reason.clone()));
        }
        if let Some(reason) = &tenant.stopped {
            return (IngestStatus::Stopped, Some(reason.clone()));
        }
        if let Some(owner) = self.standby() {
            return (IngestStatus::Standby, Some(owner));
        }
        if let Some(problem) = tenant.plugin_problem() {
            return (IngestStatus::Degraded, Some(problem));
        }
        if let Some(problem) = &tenant.problem {
            return (IngestStatus::Degraded, Some(failed_write(problem)));
        }
        if self.source_ended {
            return (IngestStatus::Running, None);
        }
        match self.feed_problem() {
            Some(problem) => (IngestStatus::Degraded, Some(problem)),
            None if self.is_connected() => (IngestStatus::Running, None),
            None => (IngestStatus::Starting, None),
        }
    }

    /// Whether the host's quotes are live.
    pub fn liveness(&self) -> LivenessReport {
        self.liveness_inputs(self.last_quote).report()
    }

    /// Whether one tenant's quotes are live.
    pub fn tenant_liveness(&self, tenant: &TenantSnapshot) -> LivenessReport {
        match &tenant.stopped {
            Some(reason) => LivenessReport { state: Liveness::Offline, reason: Some(reason.clone()) },
            // A quote from REST is no sign that the feed is alive.
            None => self.liveness_inputs(tenant.last_quote_time.min(self.last_quote)).report(),
        }
    }

    fn liveness_inputs(&self, last_quote: Option<UnixNanos>) -> LivenessInputs {
        LivenessInputs {
            now: self.time,
            started: self.started,
            last_quote,
            last_heartbeat: self.last_heartbeat,
            // Without tenants there are no heartbeats.
            heartbeat_limit: if self.tenants.is_empty() { Duration::MAX } else { self.heartbeat_limit },
            feed_outage: self.feed_outage(),
            quiet: self.open_since.is_none().then(|| self.calendar.why_quiet()),
            standby: self.standby(),
            standby_problem: self.standby_problem().map(str::to_owned),
            stopping: self.stopping,
            replaying: self.feed.connection == ConnectionState::Replaying,
            source_ended: self.source_ended,
        }
    }

    /// The sink's last error, if nothing was written since.
    pub fn sink_problem(&self) -> Option<&str> {
        self.sink.last_error.as_deref().filter(|_| self.sink.failing)
    }
}

/// The reason of a tenant whose last write failed.
pub fn failed_write(problem: &str) -> String {
    format!("the last write failed: {problem}")
}
