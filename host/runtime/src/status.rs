//! One look at the whole host, for heartbeat, operations and people. Rooms write their own numbers; this one only reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use quotegate_document::{TenantId, UnixNanos};
use quotegate_feed::{ConnectionState, FeedSnapshot, FeedStatus, RetryCause};
use quotegate_pace::Rate;
use quotegate_sink::{SinkSnapshot, SinkStatus};

use crate::heartbeat::Health;
use crate::liveness::{Liveness, Signs, Verdict};
use quotegate_pipeline::budget::Budget;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::latency::{Latencies, LatencySnapshot};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot, TenantStatus};

/// Where every room's numbers can be read.
#[derive(Debug)]
pub struct HostStatus {
    pub(crate) feed: Arc<FeedStatus>,
    pub(crate) sink: Arc<SinkStatus>,
    pub(crate) budget: Arc<Budget>,
    /// By id. Replaced as a whole when a tenant comes or goes.
    pub(crate) tenants: Mutex<Tenants>,
    /// Held while a round of heartbeats is written.
    pub(crate) beating: tokio::sync::Mutex<()>,
    pub(crate) dry_run: bool,
    pub(crate) instance: String,
    pub(crate) started: UnixNanos,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) last_heartbeat: AtomicI64,
    pub(crate) latencies: Arc<Latencies>,
    /// Set once, when the host begins to shut down.
    pub(crate) stopping: AtomicBool,
    /// Set once, by the host, when the source has ended as it should (a replay is over).
    pub(crate) source_ended: AtomicBool,
}

/// Every tenant by id, with where its numbers are.
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
    /// What all tenants may write together.
    pub write_limit: Rate,
    /// Heartbeats that the sink confirmed.
    pub heartbeats: u64,
    /// When the last of them was confirmed.
    pub last_heartbeat: Option<UnixNanos>,
    /// From a quote's arrival to the sink, and to the confirmed write. Nothing is counted in a replay, whose quotes
    /// arrived long ago.
    pub latency: [LatencySnapshot; 2],
    /// The host is shutting down.
    pub stopping: bool,
    /// Every tenant, in the order of the settings.
    pub tenants: Vec<(TenantId, TenantSnapshot)>,
    source_ended: bool,
}

impl HostStatus {
    /// The tenants now.
    pub fn tenants(&self) -> Tenants {
        self.lock().clone()
    }

    pub(crate) fn add_tenant(&self, id: TenantId, status: Arc<TenantStatus>) {
        let mut tenants = self.lock();
        let mut new = tenants.as_ref().clone();
        new.retain(|(held, _)| *held != id);
        let at = new.partition_point(|(held, _)| *held < id);
        new.insert(at, (id, status));
        *tenants = Arc::new(new);
    }

    pub(crate) fn remove_tenant(&self, id: &TenantId) {
        let mut tenants = self.lock();
        *tenants = Arc::new(tenants.iter().filter(|(held, _)| held != id).cloned().collect());
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock()
    }

    pub(crate) fn count_heartbeats(&self, written: u64) {
        self.heartbeats.fetch_add(written, Relaxed);
        if written > 0 {
            self.last_heartbeat.store(unix_now(), Relaxed);
        }
    }

    /// Every room's numbers now.
    pub fn snapshot(&self) -> Snapshot {
        let last_heartbeat = self.last_heartbeat.load(Relaxed);
        Snapshot {
            time: unix_now(),
            started: self.started,
            dry_run: self.dry_run,
            instance: self.instance.clone(),
            feed: self.feed.snapshot(),
            sink: self.sink.snapshot(),
            tokens: self.budget.tokens(),
            write_limit: self.budget.limit(),
            heartbeats: self.heartbeats.load(Relaxed),
            last_heartbeat: (last_heartbeat != 0).then_some(last_heartbeat),
            latency: [self.latencies.to_sink.snapshot(), self.latencies.to_commit.snapshot()],
            stopping: self.stopping.load(Relaxed),
            tenants: self.tenants().iter().map(|(id, status)| (id.clone(), status.snapshot())).collect(),
            source_ended: self.source_ended.load(Relaxed),
        }
    }
}

impl Snapshot {
    /// One of the tenants' numbers, for all of them together.
    pub fn sum(&self, of: fn(&TenantCounters) -> u64) -> u64 {
        self.tenants.iter().map(|(_, tenant)| of(&tenant.counters)).sum()
    }

    /// How one tenant's ingest is doing, and why if not well.
    pub fn health(&self, tenant: &TenantSnapshot) -> (Health, Option<String>) {
        if let Some(reason) = &tenant.paused {
            return (Health::Paused, Some(reason.clone()));
        }
        if let Some(reason) = &tenant.stopped {
            return (Health::Stopped, Some(reason.clone()));
        }
        if let Some(problem) = tenant.plugin_problem() {
            return (Health::Degraded, Some(problem));
        }
        if let Some(problem) = &tenant.problem {
            return (Health::Degraded, Some(format!("the last write failed: {problem}")));
        }
        if self.source_ended {
            return (Health::Running, None);
        }
        let degraded = |reason: &str| (Health::Degraded, Some(reason.to_owned()));
        match self.feed.connection {
            // Whatever the socket says: it has been made anew because nothing came, and still nothing comes.
            ConnectionState::Streaming if self.feed.silent => degraded(trouble(RetryCause::Stale)),
            ConnectionState::Streaming | ConnectionState::Replaying => (Health::Running, None),
            ConnectionState::HeldElsewhere => degraded("another host holds Alpaca's one connection (error 406)"),
            ConnectionState::Waiting(cause) => degraded(trouble(cause)),
            ConnectionState::Stopped => degraded("the feed has stopped"),
            ConnectionState::Idle | ConnectionState::Connecting | ConnectionState::Authenticating => {
                if self.feed.retries.is_empty() { (Health::Starting, None) } else { degraded("reconnecting") }
            }
        }
    }

    /// Whether the host's quotes are alive.
    pub fn liveness(&self) -> Verdict {
        self.signs(self.feed.last_received_time).verdict()
    }

    /// Whether one tenant's quotes are alive.
    pub fn tenant_liveness(&self, tenant: &TenantSnapshot) -> Verdict {
        match &tenant.stopped {
            Some(reason) => Verdict { state: Liveness::Offline, reason: Some(reason.clone()) },
            None => self.signs(tenant.last_quote_time).verdict(),
        }
    }

    fn signs(&self, last_quote: Option<UnixNanos>) -> Signs {
        Signs {
            now: self.time,
            started: self.started,
            last_quote,
            last_heartbeat: self.last_heartbeat,
            stopping: self.stopping,
            replaying: self.feed.connection == ConnectionState::Replaying,
            source_ended: self.source_ended,
        }
    }

    /// What the sink said last, if that was no success.
    pub fn sink_problem(&self) -> Option<&str> {
        self.sink.last_error.as_deref().filter(|_| self.sink.failing)
    }

    /// The state of the connection, in one word that UIs can compare with.
    pub fn connection(&self) -> &'static str {
        match self.feed.connection {
            ConnectionState::Idle => "idle",
            ConnectionState::Connecting => "connecting",
            ConnectionState::Authenticating => "authenticating",
            ConnectionState::Streaming => "streaming",
            ConnectionState::Replaying => "replaying",
            ConnectionState::Waiting(_) => "waiting",
            ConnectionState::HeldElsewhere => "held_elsewhere",
            ConnectionState::Stopped => "stopped",
        }
    }

    /// True once a smoke test passes: a document confirmed by Firestore, or a quote document that would be written.
    pub fn has_written(&self) -> bool {
        self.sum(|counters| counters.written) > 0 || (!self.dry_run && self.heartbeats > 0)
    }

    /// For a smoke test that passed.
    pub fn what_was_written(&self) -> String {
        let written = self.sum(|counters| counters.written);
        match (self.dry_run, written) {
            (true, _) => format!("{written} quote documents would have been written"),
            (false, 0) => format!("{} heartbeats were written", self.heartbeats),
            (false, _) => format!("{written} quote documents and {} heartbeats were written", self.heartbeats),
        }
    }

    /// For a smoke test that did not.
    pub fn why_not_written(&self) -> String {
        let quotes = self.sum(|counters| counters.quotes);
        let problem = self.tenants.iter().find_map(|(_, tenant)| tenant.problem.clone());
        match (quotes, problem.or_else(|| self.sink.last_error.clone())) {
            (_, Some(problem)) => format!("the sink says: {problem}"),
            (0, None) => format!("no quote arrived; the connection is {}", self.connection()),
            (_, None) => format!("{quotes} quotes arrived, but no write was answered"),
        }
    }
}

fn trouble(cause: RetryCause) -> &'static str {
    match cause {
        RetryCause::Connect => "Alpaca cannot be reached",
        RetryCause::RateLimited => "Alpaca refuses connections for now (HTTP 429)",
        RetryCause::HeldElsewhere => "another host holds Alpaca's one connection (error 406)",
        RetryCause::Handshake => "the handshake with Alpaca failed",
        RetryCause::ServerError => "Alpaca ended the session with an error",
        RetryCause::Closed => "the connection to Alpaca was closed",
        RetryCause::Unacknowledged => "Alpaca did not acknowledge the subscription",
        RetryCause::Silent => "Alpaca did not answer pings",
        RetryCause::Stale => "no quote came while the exchange is open",
    }
}
