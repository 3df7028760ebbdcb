//! `tenants/{id}/ops/market_ingest`: the document that tells a tenant's UI whether its quotes are alive.
//!
//! Every tenant gets one at the start, at least once an interval, and a last one that says `stopped`. Heartbeats go
//! past the quote limits, straight to the sink, so that they arrive when quotes do not. Reads snapshots only.

use std::sync::Arc;
use std::time::Duration;

use quotegate_quote::{Document, DocumentKey, Field, FieldPath, IdProblem, UnixNanos, Value};
use quotegate_sink::{Heartbeats, TenantDocument};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::status::{HostStatus, Snapshot};
use crate::tenant::TenantSnapshot;

/// Where heartbeats live below their tenant.
const COLLECTION: &str = "ops";
const ID: &str = "market_ingest";

/// How a tenant's ingest is doing, in one word that UIs compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No connection yet.
    Starting,
    /// Quotes flow, or would if there were any.
    Running,
    /// Something is wrong; the heartbeat's `reason` says what.
    Degraded,
    /// The host has ended as it should.
    Stopped,
}

impl Health {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

/// Writes every tenant's heartbeat each `interval` until `stop`; then returns, without the last one.
pub async fn run(status: Arc<HostStatus>, heartbeats: Heartbeats, interval: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A round that the sink keeps waiting must not keep the host from stopping.
        tokio::select! {
            () = stop.cancelled() => return,
            () = beat(&status, &heartbeats, false) => {}
        }
    }
}

/// Writes one heartbeat of every tenant now. `stopped`: it is the last one.
pub async fn beat(status: &HostStatus, heartbeats: &Heartbeats, stopped: bool) {
    let snapshot = status.snapshot();
    let documents = snapshot.tenants.iter().filter_map(|(id, tenant)| {
        let document = document(&snapshot, tenant, stopped).ok()?;
        Some(TenantDocument { tenant: id.clone(), document })
    });
    let round = heartbeats.write(documents.collect()).await;
    status.count_heartbeats(round.written);
    match round.problem {
        None => {
            let sum =
                |of: fn(&TenantSnapshot) -> u64| snapshot.tenants.iter().map(|(_, tenant)| of(tenant)).sum::<u64>();
            let (quotes, written, dirty) = (sum(|t| t.quotes), sum(|t| t.written), sum(|t| t.dirty));
            info!(
                event_type = "heartbeat",
                tenants = round.written,
                quotes,
                written,
                dirty,
                connection = snapshot.connection(),
                "heartbeat of {} tenants: {quotes} quotes in, {written} documents written, {dirty} dirty",
                round.written,
            );
        }
        Some(problem) => warn!(
            event_type = "heartbeat",
            written = round.written,
            failed = round.failed,
            "{} of {} heartbeats could not be written: {problem}",
            round.failed,
            round.written + round.failed,
        ),
    }
}

fn document(snapshot: &Snapshot, tenant: &TenantSnapshot, stopped: bool) -> Result<Document, IdProblem> {
    let (health, reason) = if stopped { (Health::Stopped, None) } else { snapshot.health(tenant) };
    let text = |text: &str| Value::Text(text.to_owned().into());
    let optional_text = |value: Option<&str>| value.map_or(Value::Null, text);
    let optional_time = |time: Option<UnixNanos>| time.map_or(Value::Null, Value::Timestamp);
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let field = |path, value| Field { path: FieldPath::literal(path), value };
    let fields = vec![
        field("ts", Value::Timestamp(snapshot.time)),
        field("status", text(health.as_str())),
        field("reason", optional_text(reason.as_deref())),
        field("last_symbol", optional_text(tenant.last_symbol.as_deref())),
        field("last_quote_ts", optional_time(tenant.last_quote_time)),
        field("dry_run", Value::Boolean(snapshot.dry_run)),
        field("connection", text(snapshot.connection())),
        field("connection_since", Value::Timestamp(snapshot.feed.since)),
        field("counters.quotes", count(tenant.quotes)),
        field("counters.conflated", count(tenant.conflated)),
        field("counters.older", count(tenant.older)),
        field("counters.attempted", count(tenant.attempted)),
        field("counters.written", count(tenant.written)),
        field("counters.retried", count(tenant.retried)),
        field("counters.refused", count(tenant.refused)),
        field("counters.dirty", count(tenant.dirty)),
        field("counters.in_flight", count(tenant.in_flight)),
        field("counters.reconnects", count(snapshot.feed.retries.values().sum())),
        field("version", text(env!("CARGO_PKG_VERSION"))),
        field("instance_id", text(&snapshot.instance)),
        field("started_at", Value::Timestamp(snapshot.started)),
    ];
    Ok(Document { key: DocumentKey::new(COLLECTION, ID)?, fields })
}
