//! `tenants/{id}/ops/market_ingest`: the document that tells a tenant's UI whether its quotes are live.
//!
//! Every tenant gets one at the start, at least one per interval, and a last one that says `stopped`. Heartbeats bypass
//! the quote limits, so they are written even when quotes are not. Reads snapshots only.

mod data_time;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quotegate_config::HeartbeatTime;
use quotegate_document::{Document, DocumentKey, Field, FieldPath, IdError, TenantId, UnixNanos, Value};
use quotegate_pipeline::tenant::{TenantCounters, TenantSnapshot, TenantStatus};
use quotegate_plugin::{PluginSnapshot, PluginState};
use quotegate_sink::{Heartbeats, Round, TenantDocument};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::liveness::STALE_AFTER;
use crate::status::{HostStatus, IngestStatus, Snapshot};
use crate::text::counted;
use data_time::DataTime;

/// The heartbeat among the host's own documents of a tenant.
const ID: &str = "market_ingest";

/// Which heartbeat of a tenant it is.
#[derive(Debug, Clone, Copy)]
pub enum Occasion<'a> {
    /// The host runs.
    Running,
    /// The host has stopped, for this reason if it did not stop on request.
    Last(Option<&'a str>),
}

/// Writes every tenant's heartbeat once per interval until `stop`. Does not write the last one.
pub async fn run(status: Arc<HostStatus>, heartbeats: Heartbeats, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(status.heartbeat.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut missed = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = quote_after(&status, missed), if missed.is_some() => ticks.reset(),
        }
        missed = missed_quotes(&status.snapshot());
        // A slow sink must not delay the shutdown.
        tokio::select! {
            () = stop.cancelled() => return,
            () = write_all(&status, &heartbeats, Occasion::Running) => {}
        }
    }
}

/// The time in `ts`, if quotes are missing and it says so.
pub(crate) fn missed_quotes(snapshot: &Snapshot) -> Option<UnixNanos> {
    let time = fed_until(snapshot, None);
    (snapshot.time - time >= STALE_AFTER.as_nanos() as UnixNanos).then_some(time)
}

/// Waits for a quote after `missed`. The heartbeat that follows opens gates again at once.
async fn quote_after(status: &HostStatus, missed: Option<UnixNanos>) {
    const CHECK_EVERY: Duration = Duration::from_secs(1);
    while status.feed.last_received_time() <= missed {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Writes one heartbeat per tenant now, unless another host does.
pub async fn write_all(status: &HostStatus, heartbeats: &Heartbeats, occasion: Occasion<'_>) {
    if !status.may_write() {
        return;
    }
    let _round = status.heartbeat_lock.lock().await;
    let snapshot = status.snapshot();
    let round = write(&snapshot, status, heartbeats, |_| true, occasion).await;
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
    if !status.may_write() {
        return;
    }
    let _round = status.heartbeat_lock.lock().await;
    let round = write(&status.snapshot(), status, heartbeats, |id| added.contains(id), Occasion::Running).await;
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
    if !status.may_write() {
        return;
    }
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
    occasion: Occasion<'_>,
) -> Round {
    let chosen = snapshot.tenants.iter().filter(|(id, _)| which(id));
    let documents = chosen.filter_map(|(id, tenant)| {
        let status = match occasion {
            Occasion::Running => snapshot.ingest_status(tenant),
            Occasion::Last(reason) => (IngestStatus::Stopped, reason.map(str::to_owned)),
        };
        Some(TenantDocument { tenant: id.clone(), document: document(snapshot, tenant, status).ok()? })
    });
    let round = heartbeats.write(documents.collect()).await;
    status.count_heartbeats(round.written);
    round
}

/// The time for `ts`: until when the tenant's documents are known to be current. Without a tenant, that of tenants
/// without problems.
fn fed_until(snapshot: &Snapshot, tenant: Option<&TenantSnapshot>) -> UnixNanos {
    if snapshot.ts_follows == HeartbeatTime::Host {
        return snapshot.time;
    }
    let last_quote = match tenant {
        Some(tenant) if tenant.stopped.is_some() => tenant.last_quote_time,
        // Of any symbol: one that trades rarely is no reason to close a gate.
        _ => snapshot.last_quote,
    };
    let paused_since = tenant.and_then(|tenant| tenant.paused_since);
    DataTime { now: snapshot.time, open_since: snapshot.open_since, last_quote, paused_since }.get()
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
    let fed_until = Value::Timestamp(fed_until(snapshot, Some(tenant)));
    let mut fields = vec![
        field("ts", fed_until.clone()),
        // UIs that know this name take it first, before `updated_at`, which would keep them LIVE without quotes.
        field("last_heartbeat_at", fed_until),
        field("updated_at", Value::Timestamp(snapshot.time)),
        field("status", text(status.as_str())),
        field("reason", optional_text(reason.as_deref())),
        field("ingest_enabled", Value::Boolean(tenant.paused.is_none())),
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
    let gap = snapshot.feed.gap;
    fields.extend([
        field("last_gap.from", optional_time(gap.map(|gap| gap.from))),
        field("last_gap.to", optional_time(gap.and_then(|gap| gap.to))),
        field("last_gap.cause", optional_text(gap.map(|gap| gap.cause.as_str()))),
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
