//! `tenants/{id}/ops/market_ingest`: the document that tells a tenant's UI whether its quotes are live.
//!
//! Every tenant gets one at the start, at least one per interval, and a last one that says `stopped`. Heartbeats bypass
//! the quote limits, so they are written even when quotes are not. Reads snapshots only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quotegate_document::{Document, DocumentKey, Field, FieldPath, IdError, TenantId, UnixNanos, Value};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot, TenantStatus};
use quotegate_plugin::{PluginSnapshot, PluginState};
use quotegate_sink::{Heartbeats, Round, TenantDocument};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::status::{HostStatus, IngestStatus, Snapshot};
use crate::text::counted;

/// The heartbeat among the host's own documents of a tenant.
const ID: &str = "market_ingest";

/// Writes every tenant's heartbeat once per `interval` until `stop`. Does not write the last one.
pub async fn run(status: Arc<HostStatus>, heartbeats: Heartbeats, interval: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A slow sink must not delay the shutdown.
        tokio::select! {
            () = stop.cancelled() => return,
            () = write_all(&status, &heartbeats, false) => {}
        }
    }
}

/// Writes one heartbeat per tenant now. `stopped`: it is the last one.
pub async fn write_all(status: &HostStatus, heartbeats: &Heartbeats, stopped: bool) {
    let _round = status.heartbeat_lock.lock().await;
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
                "heartbeats of {}: {} in, {} written, {} dirty",
                counted(round.written, "tenant"),
                counted(quotes, "quote"),
                counted(written, "document"),
                counted(dirty, "symbol"),
            );
        }
        Some(problem) => warn!(
            event_type = "heartbeat",
            written = round.written,
            failed = round.failed,
            "could not write {} of {}: {problem}",
            round.failed,
            counted(round.written + round.failed, "heartbeat"),
        ),
    }
}

/// Writes the first heartbeats of tenants that were added while the host runs.
pub async fn write_first(status: &HostStatus, heartbeats: &Heartbeats, added: &BTreeSet<TenantId>) {
    let _round = status.heartbeat_lock.lock().await;
    let round = write(&status.snapshot(), status, heartbeats, |id| added.contains(id), false).await;
    if let Some(problem) = round.error {
        warn!(event_type = "heartbeat", "could not write {}: {problem}", counted(round.failed, "first heartbeat"));
    }
}

/// Writes the last heartbeat of a tenant that was removed, and is no longer among the host's tenants.
pub async fn write_last(
    status: &HostStatus,
    heartbeats: &Heartbeats,
    id: &TenantId,
    tenant: &TenantStatus,
    reason: &str,
) {
    // Waits for a round that may still include this tenant: this heartbeat must be the last.
    drop(status.heartbeat_lock.lock().await);
    let stopped = (IngestStatus::Stopped, Some(reason.to_owned()));
    let Ok(document) = document(&status.snapshot(), &tenant.snapshot(), stopped) else { return };
    let round = heartbeats.write(vec![TenantDocument { tenant: id.clone(), document }]).await;
    status.count_heartbeats(round.written);
    if let Some(problem) = round.error {
        warn!(event_type = "heartbeat", tenant = %id, "could not write the last heartbeat: {problem}");
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
        let status = if stopped { (IngestStatus::Stopped, None) } else { snapshot.ingest_status(tenant) };
        Some(TenantDocument { tenant: id.clone(), document: document(snapshot, tenant, status).ok()? })
    });
    let round = heartbeats.write(documents.collect()).await;
    status.count_heartbeats(round.written);
    round
}

fn document(
    snapshot: &Snapshot,
    tenant: &TenantSnapshot,
    (status, reason): (IngestStatus, Option<String>),
) -> Result<Document, IdError> {
    let text = |text: &str| Value::Text(text.to_owned().into());
    let optional_text = |value: Option<&str>| value.map_or(Value::Null, text);
    let optional_time = |time: Option<UnixNanos>| time.map_or(Value::Null, Value::Timestamp);
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let field = |path, value| Field { path: FieldPath::literal(path), value };
    let mut fields = vec![
        field("ts", Value::Timestamp(snapshot.time)),
        field("status", text(status.as_str())),
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
    Ok(Document { key: DocumentKey::of_host(ID)?, fields })
}

/// One plugin's numbers, under `plugins.<name>`. Each `-` in a name becomes `_`.
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
    // Two reasons that differ only in a dash share a field.
    let mut reasons = BTreeMap::new();
    for (reason, count) in &plugin.quotes_refused {
        *reasons.entry(format!("refused.r_{}", reason.replace('-', "_"))).or_default() += count;
    }
    reasons.into_iter().try_for_each(|(path, count)| field(&path, whole(count)))
}

/// Logs one line per plugin, summed over the tenants that use it: a thousand tenants with one filter are one line.
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
            "plugin {name}: {} seen, {kept} kept, {} made, {seconds:.3} s, {}",
            counted(seen, "quote"),
            counted(documents, "document"),
            counted(traps, "trap"),
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
