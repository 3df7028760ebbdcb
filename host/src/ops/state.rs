//! `/api/state`: one JSON object. Times are nanoseconds since 1970-01-01 UTC; counters count from the start.

use quotegate_feed::FeedSnapshot;
use quotegate_quote::UnixNanos;
use quotegate_sink::SinkSnapshot;
use serde::Serialize;

use crate::latency::{BOUNDS, LatencySnapshot};
use crate::status::Snapshot;
use crate::tenant::TenantSnapshot;

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
    connection: &'static str,
    feed: &'a FeedSnapshot,
    sink: &'a SinkSnapshot,
    /// Write tokens left in the global bucket.
    tokens: u32,
    heartbeats: u64,
    last_heartbeat: Option<UnixNanos>,
    latency_bounds_seconds: [f64; BOUNDS.len()],
    tick_to_sink: &'a LatencySnapshot,
    tick_to_commit: &'a LatencySnapshot,
    tenants: Vec<Tenant<'a>>,
}

#[derive(Serialize)]
struct Tenant<'a> {
    id: &'a str,
    /// As in the heartbeat.
    status: &'static str,
    reason: Option<String>,
    #[serde(flatten)]
    numbers: &'a TenantSnapshot,
}

/// The state as JSON text.
pub(super) fn json(snapshot: &Snapshot) -> String {
    let [to_sink, to_commit] = &snapshot.latency;
    let state = State {
        schema: 1,
        time: snapshot.time,
        started: snapshot.started,
        version: env!("CARGO_PKG_VERSION"),
        instance: &snapshot.instance,
        dry_run: snapshot.dry_run,
        stopping: snapshot.stopping,
        connection: snapshot.connection(),
        feed: &snapshot.feed,
        sink: &snapshot.sink,
        tokens: snapshot.tokens,
        heartbeats: snapshot.heartbeats,
        last_heartbeat: snapshot.last_heartbeat,
        latency_bounds_seconds: BOUNDS,
        tick_to_sink: to_sink,
        tick_to_commit: to_commit,
        tenants: snapshot.tenants.iter().map(|(id, numbers)| tenant_of(snapshot, id.as_str(), numbers)).collect(),
    };
    serde_json::to_string(&state).unwrap_or_default()
}

fn tenant_of<'a>(snapshot: &Snapshot, id: &'a str, numbers: &'a TenantSnapshot) -> Tenant<'a> {
    let (health, reason) = snapshot.health(numbers);
    Tenant { id, status: health.as_str(), reason, numbers }
}
