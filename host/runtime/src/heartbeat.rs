//! `tenants/{id}/ops/market_ingest`: the document that tells a tenant's UI whether its quotes are alive.
//!
//! Every tenant gets one at the start, at least once an interval, and a last one that says `stopped`. Heartbeats go
//! past the quote limits, straight to the sink, so that they arrive when quotes do not. Reads snapshots only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quotegate_document::{Document, DocumentKey, Field, FieldPath, IdError, TenantId, UnixNanos, Value};
use quotegate_plugin::{PluginSnapshot, PluginState};
use quotegate_sink::{Heartbeats, Round, TenantDocument};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::status::{HostStatus, Snapshot};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot, TenantStatus};

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
    /// An operator has paused the tenant's writes; the reason says how.
    Paused,
    /// The host has ended as it should, or a plugin with `on_error = "stop-tenant"` has stopped the tenant; the reason
    /// tells the two apart.
    Stopped,
}

impl Health {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Paused => "paused",
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
    let _round = status.beating.lock().await;
    let snapshot = status.snapshot();
    let round = write(&snapshot, status, heartbeats, |_| true, stopped).await;
    log_plugins(&snapshot);
    match round.error {
        None => {
            let sum = |of| snapshot.sum(of);
            let (quotes, written, dirty) = (sum(|c| c.quotes), sum(|c| c.written), sum(|c| c.dirty));
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

/// Writes a first heartbeat of tenants that have come while the host runs.
pub async fn greet(status: &HostStatus, heartbeats: &Heartbeats, newcomers: &BTreeSet<TenantId>) {
    let _round = status.beating.lock().await;
    let round = write(&status.snapshot(), status, heartbeats, |id| newcomers.contains(id), false).await;
    if let Some(problem) = round.error {
        warn!(event_type = "heartbeat", "{} first heartbeats could not be written: {problem}", round.failed);
    }
}

/// Writes the last heartbeat of a tenant that leaves, which is not among the host's tenants any more.
pub async fn say_goodbye(
    status: &HostStatus,
    heartbeats: &Heartbeats,
    id: &TenantId,
    tenant: &TenantStatus,
    reason: &str,
) {
    // A round that began while the tenant was still there must not have the last word.
    drop(status.beating.lock().await);
    let health = (Health::Stopped, Some(reason.to_owned()));
    let Ok(document) = document(&status.snapshot(), &tenant.snapshot(), health) else { return };
    let round = heartbeats.write(vec![TenantDocument { tenant: id.clone(), document }]).await;
    status.count_heartbeats(round.written);
    if let Some(problem) = round.error {
        warn!(event_type = "heartbeat", tenant = %id, "the last heartbeat could not be written: {problem}");
    }
}

async fn write(
    snapshot: &Snapshot,
    status: &HostStatus,
    heartbeats: &Heartbeats,
    which: impl Fn(&TenantId) -> bool,
    stopped: bool,
) -> Round {
    let chosen = snapshot.tenants.iter().filter(|(id, _)| which(id));
    let documents = chosen.filter_map(|(id, tenant)| {
        let health = if stopped { (Health::Stopped, None) } else { snapshot.health(tenant) };
        Some(TenantDocument { tenant: id.clone(), document: document(snapshot, tenant, health).ok()? })
    });
    let round = heartbeats.write(documents.collect()).await;
    status.count_heartbeats(round.written);
    round
}

fn document(
    snapshot: &Snapshot,
    tenant: &TenantSnapshot,
    (health, reason): (Health, Option<String>),
) -> Result<Document, IdError> {
    let text = |text: &str| Value::Text(text.to_owned().into());
    let optional_text = |value: Option<&str>| value.map_or(Value::Null, text);
    let optional_time = |time: Option<UnixNanos>| time.map_or(Value::Null, Value::Timestamp);
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let field = |path, value| Field { path: FieldPath::literal(path), value };
    let mut fields = vec![
        field("ts", Value::Timestamp(snapshot.time)),
        field("status", text(health.as_str())),
        field("reason", optional_text(reason.as_deref())),
        field("last_symbol", optional_text(tenant.last_symbol.as_deref())),
        field("last_quote_ts", optional_time(tenant.last_quote_time)),
        field("dry_run", Value::Boolean(snapshot.dry_run)),
        field("connection", text(snapshot.connection())),
        field("connection_since", Value::Timestamp(snapshot.feed.since)),
    ];
    for info in TenantCounters::table() {
        let value = count((info.read)(&tenant.counters));
        fields.extend(info.heartbeat.clone().map(|path| Field { path, value }));
    }
    fields.extend([
        field("counters.reconnects", count(snapshot.feed.retries.values().sum())),
        field("version", text(env!("CARGO_PKG_VERSION"))),
        field("instance_id", text(&snapshot.instance)),
        field("started_at", Value::Timestamp(snapshot.started)),
    ]);
    for plugin in &tenant.plugins {
        plugin_fields(plugin, &mut fields)?;
    }
    Ok(Document { key: DocumentKey::new(COLLECTION, ID)?, fields })
}

/// What one plugin does, below `plugins.<name>`, with `_` for each `-` of a name.
fn plugin_fields(plugin: &PluginSnapshot, fields: &mut Vec<Field>) -> Result<(), IdError> {
    let whole = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let base = format!("plugins.{}", plugin.name.replace('-', "_"));
    let mut field = |name: &str, value| {
        fields.push(Field { path: FieldPath::new(format!("{base}.{name}"))?, value });
        Ok(())
    };
    field("state", Value::Text(plugin.state.as_str().into()))?;
    field("problem", plugin.last_problem.clone().map_or(Value::Null, |problem| Value::Text(Cow::Owned(problem))))?;
    field("sha256", Value::Text(Cow::Owned(plugin.sha256.clone())))?;
    field("quotes", whole(plugin.quotes_seen))?;
    field("kept", whole(plugin.quotes_kept))?;
    field("documents", whole(plugin.documents))?;
    field("documents_refused", whole(plugin.documents_refused))?;
    field("seconds", Value::Double(plugin.seconds))?;
    field("memory_bytes", whole(plugin.memory_bytes as u64))?;
    field("traps", whole(plugin.failures.values().sum()))?;
    field("calls_left_out", whole(plugin.calls_left_out))?;
    // Two reasons that differ only in a dash would be one field.
    let mut reasons = BTreeMap::new();
    for (reason, count) in &plugin.quotes_refused {
        *reasons.entry(format!("refused.r_{}", reason.replace('-', "_"))).or_default() += count;
    }
    reasons.into_iter().try_for_each(|(path, count)| field(&path, whole(count)))
}

/// A line for each plugin, summed over the tenants that use it: a thousand tenants with one filter are one line.
fn log_plugins(snapshot: &Snapshot) {
    let mut sums: BTreeMap<&str, PluginSum<'_>> = BTreeMap::new();
    for plugin in snapshot.tenants.iter().flat_map(|(_, tenant)| &tenant.plugins) {
        sums.entry(&plugin.name).or_default().add(plugin);
    }
    for (name, sum) in sums {
        let PluginSum { tenants, not_ready, seen, kept, refused, documents, seconds, memory_bytes, traps } = sum;
        info!(
            event_type = "plugin",
            plugin = name,
            tenants,
            not_ready,
            seen,
            kept,
            ?refused,
            documents,
            seconds,
            memory_bytes,
            traps,
            "plugin {name}: {seen} quotes seen, {kept} kept, {documents} documents, {seconds:.3} s, {traps} traps"
        );
    }
}

#[derive(Default)]
struct PluginSum<'a> {
    tenants: u64,
    not_ready: u64,
    seen: u64,
    kept: u64,
    refused: BTreeMap<&'a str, u64>,
    documents: u64,
    seconds: f64,
    memory_bytes: usize,
    traps: u64,
}

impl<'a> PluginSum<'a> {
    fn add(&mut self, plugin: &'a PluginSnapshot) {
        self.tenants += 1;
        self.not_ready += u64::from(plugin.state != PluginState::Ready);
        self.seen += plugin.quotes_seen;
        self.kept += plugin.quotes_kept;
        for (reason, count) in &plugin.quotes_refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.documents += plugin.documents;
        self.seconds += plugin.seconds;
        self.memory_bytes += plugin.memory_bytes;
        self.traps += plugin.failures.values().sum::<u64>();
    }
}
