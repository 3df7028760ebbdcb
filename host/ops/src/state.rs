//! `/api/state`: one JSON object. Times are nanoseconds since 1970-01-01 UTC; counters count from the start.

use quotegate_feed::FeedSnapshot;
use quotegate_market::UnixNanos;
use quotegate_sink::SinkSnapshot;
use serde::Serialize;

use quotegate_pipeline::latency::{BOUNDS, LatencySnapshot};
use quotegate_pipeline::tenant::TenantSnapshot;
use quotegate_runtime::heartbeat::Health;
use quotegate_runtime::liveness::Verdict;
use quotegate_runtime::log::{RecentError, recent_errors};
use quotegate_runtime::status::Snapshot;

#[derive(Serialize)]
struct State<'a> {
    /// Goes up when something changes its meaning or goes away.
    schema: u32,
    time: UnixNanos,
    started: UnixNanos,
    version: &'static str,
    instance: &'a str,
    dry_run: bool,
    stopping: bool,
    /// LIVE, STALE or OFFLINE, by the rule of UIs.
    liveness: Verdict,
    connection: &'static str,
    feed: &'a FeedSnapshot,
    sink: &'a SinkSnapshot,
    /// Write tokens left in the global bucket.
    tokens: u32,
    write_limit: WriteLimit,
    heartbeats: u64,
    last_heartbeat: Option<UnixNanos>,
    latency_bounds_seconds: [f64; BOUNDS.len()],
    tick_to_sink: &'a LatencySnapshot,
    tick_to_commit: &'a LatencySnapshot,
    /// The latest warnings and errors of the log, the newest first.
    recent_errors: Vec<RecentError>,
    /// How many tenants there are, where some are left out below.
    tenant_count: usize,
    tenants: Vec<Tenant<'a>>,
}

#[derive(Serialize)]
struct WriteLimit {
    per_second: f64,
    burst: u32,
}

#[derive(Serialize)]
struct Tenant<'a> {
    id: &'a str,
    /// As in the heartbeat.
    status: &'static str,
    reason: Option<String>,
    liveness: Verdict,
    #[serde(flatten)]
    numbers: &'a TenantSnapshot,
}

/// Everything, as JSON text.
pub(super) fn json(snapshot: &Snapshot) -> String {
    text(snapshot, snapshot.tenants.iter().map(|(id, numbers)| tenant_of(snapshot, id.as_str(), numbers)).collect())
}

/// The same with at most `most` tenants: those that are not well first.
pub(super) fn short_json(snapshot: &Snapshot, most: usize) -> String {
    let tenants = snapshot.tenants.iter().map(|(id, numbers)| tenant_of(snapshot, id.as_str(), numbers));
    let mut tenants: Vec<_> = tenants.collect();
    if tenants.len() > most {
        tenants.sort_by_key(|tenant| tenant.status == Health::Running.as_str());
        tenants.truncate(most);
    }
    text(snapshot, tenants)
}

fn text(snapshot: &Snapshot, tenants: Vec<Tenant<'_>>) -> String {
    let [to_sink, to_commit] = &snapshot.latency;
    let limit = snapshot.write_limit;
    let state = State {
        schema: 1,
        time: snapshot.time,
        started: snapshot.started,
        version: env!("CARGO_PKG_VERSION"),
        instance: &snapshot.instance,
        dry_run: snapshot.dry_run,
        stopping: snapshot.stopping,
        liveness: snapshot.liveness(),
        connection: snapshot.connection(),
        feed: &snapshot.feed,
        sink: &snapshot.sink,
        tokens: snapshot.tokens,
        write_limit: WriteLimit { per_second: limit.per_second(), burst: limit.burst() },
        heartbeats: snapshot.heartbeats,
        last_heartbeat: snapshot.last_heartbeat,
        latency_bounds_seconds: BOUNDS,
        tick_to_sink: to_sink,
        tick_to_commit: to_commit,
        recent_errors: recent_errors(),
        tenant_count: snapshot.tenants.len(),
        tenants,
    };
    serde_json::to_string(&state).unwrap_or_default()
}

fn tenant_of<'a>(snapshot: &Snapshot, id: &'a str, numbers: &'a TenantSnapshot) -> Tenant<'a> {
    let (health, reason) = snapshot.health(numbers);
    Tenant { id, status: health.as_str(), reason, liveness: snapshot.tenant_liveness(numbers), numbers }
}
