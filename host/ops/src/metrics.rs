//! The host's numbers for Prometheus. The number of label values is bounded by the settings, never by quotes: symbols are
//! not labels, and more than [`MAX_TENANTS`] tenants are reported as one sum.

mod relay;

use std::collections::BTreeMap;

use quotegate_feed::ConnectionState;
use quotegate_lease::LeaseSnapshot;
use quotegate_pipeline::latency::{BOUNDS, LatencySnapshot};
use quotegate_pipeline::tenant::{CollectionCounters, CounterKind, TenantCounters, TenantSnapshot};
use quotegate_plugin::{PluginSnapshot, PluginState};
use quotegate_runtime::status::Snapshot;

use super::prometheus::PrometheusWriter;

/// More tenants than this are summed as the tenant `all`.
const MAX_TENANTS: usize = 100;

/// All metrics, in Prometheus' text format.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut out = PrometheusWriter::default();
    host(snapshot, &mut out);
    lease(snapshot, &mut out);
    relay::relay(snapshot, &mut out);
    // Only from the host that reads: the sum over all hosts is to be right.
    if snapshot.reads() {
        feed(snapshot, &mut out);
    }
    tenants(snapshot, &mut out);
    sink(snapshot, &mut out);
    plugins(snapshot, &mut out);
    out.finish()
}

fn host(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    out.gauge("quotegate_build_info", "The version and name of this host; always 1.")
        .sample(&[("version", env!("CARGO_PKG_VERSION")), ("instance_id", &snapshot.instance)], 1);
    out.gauge("quotegate_start_time_seconds", "When the host started, in seconds since 1970.")
        .sample(&[], seconds(snapshot.started));
    out.gauge("quotegate_dry_run", "1 if nothing is written.").sample(&[], u8::from(snapshot.dry_run));
    let reloads = &snapshot.reloads;
    out.counter("quotegate_reloads_total", "Reloads of the settings, by outcome.")
        .sample(&[("outcome", "applied")], reloads.applied)
        .sample(&[("outcome", "refused")], reloads.refused);
    out.gauge(
        "quotegate_reload_refused",
        "1 if the last reload was refused: the settings in effect are not those in the files.",
    )
    .sample(&[], u8::from(reloads.last_refused));
    out.counter("quotegate_heartbeats_total", "Heartbeat documents confirmed.").sample(&[], snapshot.heartbeats);
    out.gauge(
        "quotegate_heartbeat_limit_seconds",
        "A heartbeat older than this is stale: two intervals, at least 30 s.",
    )
    .sample(&[], snapshot.heartbeat_limit.as_secs_f64());
    // A worker that has no tenants any more writes none.
    if let Some(last) = snapshot.last_heartbeat.filter(|_| !snapshot.tenants.is_empty()) {
        out.gauge("quotegate_heartbeat_age_seconds", "Time since a heartbeat was last confirmed.")
            .sample(&[], seconds(snapshot.time - last));
    }
}

/// Without samples if the host needs no lease.
fn lease(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    let sample = |out: &mut PrometheusWriter, of: fn(&LeaseSnapshot) -> u64| {
        if let Some(lease) = &snapshot.lease {
            out.sample(&[], of(lease));
        }
    };
    out.gauge("quotegate_lease_owner", "1 while this host owns the feed, 0 while it is a standby.");
    sample(out, |lease| lease.held.into());
    out.gauge("quotegate_lease_epoch", "The number of the current ownership; each owner has the next one.");
    sample(out, |lease| lease.epoch);
    out.counter("quotegate_lease_taken_total", "How often this host became the owner.");
    sample(out, |lease| lease.taken);
    out.counter("quotegate_lease_lost_total", "How often this host could not renew the lease in time.");
    sample(out, |lease| lease.lost);
    out.gauge("quotegate_lease_failing", "1 while requests for the lease fail.");
    sample(out, |lease| lease.problem.is_some().into());
}

fn feed(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    let feed = &snapshot.feed;
    let connected = matches!(feed.connection, ConnectionState::Streaming | ConnectionState::Replaying);
    out.gauge("quotegate_feed_connected", "1 while the feed is authenticated and quotes can flow.")
        .sample(&[], u8::from(connected));
    out.gauge("quotegate_feed_silent", "1 while no quotes arrive although the exchange is open.")
        .sample(&[], u8::from(feed.silent));
    out.counter("quotegate_feed_frames_total", "Websocket messages received.").sample(&[], feed.frames);
    out.counter("quotegate_feed_bytes_total", "Bytes of payload received.").sample(&[], feed.bytes);
    out.counter("quotegate_feed_quotes_total", "Quotes decoded.").sample(&[], feed.quotes);
    out.counter("quotegate_feed_skipped_total", "Messages skipped, by reason.")
        .sample(&[("reason", "unknown_type")], feed.skipped.unknown_type)
        .sample(&[("reason", "malformed")], feed.skipped.malformed)
        .sample(&[("reason", "from_future")], feed.skipped.from_future)
        .sample(&[("reason", "refused_symbol")], feed.skipped.refused_symbol);
    out.counter("quotegate_feed_connections_total", "Sessions that were authenticated.").sample(&[], feed.connections);
    out.counter("quotegate_feed_reconnects_total", "Connections that ended or failed, by cause.");
    for (cause, count) in &feed.retries {
        out.sample(&[("cause", cause)], count);
    }
    out.counter("quotegate_feed_errors_total", "Error messages of the server, by code.");
    for (code, count) in &feed.errors {
        out.sample(&[("code", &code.to_string())], count);
    }
    out.gauge(
        "quotegate_feed_unquoted_symbols",
        "Wanted symbols that have never quoted, after a minute in trading hours.",
    )
    .sample(&[], feed.unquoted.count);
    out.counter("quotegate_feed_snapshot_quotes_total", "Latest quotes that came over REST.")
        .sample(&[], feed.snapshot.quotes);
    out.counter("quotegate_feed_snapshot_failures_total", "Requests for latest quotes that failed, by cause.");
    for (cause, count) in &feed.snapshot.failures {
        out.sample(&[("cause", cause)], count);
    }
    if let Some(last) = feed.last_received_time {
        out.gauge("quotegate_feed_quote_age_seconds", "Time since the last quote arrived.")
            .sample(&[], seconds(snapshot.time - last));
    }
    if let Some(lag) = feed.last_lag {
        out.gauge("quotegate_feed_lag_seconds", "Arrival minus exchange time of the last quote.")
            .sample(&[], seconds(lag));
    }
}

fn tenants(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    let rows = rows(snapshot);
    let mut family = |kind, name, help, of: &dyn Fn(&TenantSnapshot) -> u64| {
        match kind {
            CounterKind::Counter => out.counter(name, help),
            CounterKind::Gauge => out.gauge(name, help),
        };
        for (id, tenants) in &rows {
            out.sample(&[("tenant", id)], tenants.iter().map(|tenant| of(tenant)).sum::<u64>());
        }
    };
    for info in TenantCounters::table() {
        family(info.kind, info.metric, info.help, &|tenant| (info.read)(&tenant.counters));
    }
    let gauge = CounterKind::Gauge;
    family(gauge, "quotegate_tenant_stopped", "1 if a plugin has stopped the tenant.", &|tenant| {
        u64::from(tenant.stopped.is_some())
    });
    family(gauge, "quotegate_tenant_paused", "1 if an operator has paused the tenant's writes.", &|tenant| {
        u64::from(tenant.paused.is_some())
    });
    collections(&rows, out);
}

/// The documents of each tenant by collection: what its settings name, and what its plugins' settings allow.
fn collections(rows: &[(&str, Vec<&TenantSnapshot>)], out: &mut PrometheusWriter) {
    out.counter("quotegate_tenant_documents_total", "Documents answered by the sink, by collection and outcome.");
    for (id, tenants) in rows {
        let mut sums: BTreeMap<&str, CollectionCounters> = BTreeMap::new();
        for (name, counters) in tenants.iter().flat_map(|tenant| &tenant.collections) {
            let known = sums.contains_key(name.as_str()) || sums.len() < MAX_LABELS;
            let sum = sums.entry(if known { name } else { "other" }).or_default();
            sum.written += counters.written;
            sum.retried += counters.retried;
            sum.refused += counters.refused;
            sum.older += counters.older;
        }
        for (name, CollectionCounters { written, retried, refused, older }) in &sums {
            let outcomes = [("written", written), ("retried", retried), ("refused", refused), ("older", older)];
            for (outcome, count) in outcomes {
                out.sample(&[("tenant", id), ("collection", name), ("outcome", outcome)], count);
            }
        }
    }
}

/// One row per tenant, or one for all of them.
fn rows(snapshot: &Snapshot) -> Vec<(&str, Vec<&TenantSnapshot>)> {
    if snapshot.tenants.len() > MAX_TENANTS {
        return vec![("all", snapshot.tenants.iter().map(|(_, tenant)| tenant).collect())];
    }
    snapshot.tenants.iter().map(|(id, tenant)| (id.as_str(), vec![tenant])).collect()
}

fn sink(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    let sink = &snapshot.sink;
    out.gauge("quotegate_sink_failing", "1 while the sink does not accept documents.")
        .sample(&[], u8::from(sink.failing));
    out.counter("quotegate_sink_requests_total", "Requests sent.").sample(&[], sink.requests);
    out.gauge("quotegate_sink_requests_in_flight", "Requests without an answer yet.").sample(&[], sink.in_flight);
    out.counter("quotegate_sink_request_seconds_total", "Time that all answered requests took together.")
        .sample(&[], sink.request_micros as f64 / 1e6);
    out.counter("quotegate_sink_documents_total", "Documents answered, by outcome.")
        .sample(&[("outcome", "written")], sink.written)
        .sample(&[("outcome", "retried")], sink.retried)
        .sample(&[("outcome", "refused")], sink.refused)
        .sample(&[("outcome", "older")], sink.older);
    out.counter("quotegate_sink_documents_read_total", "Documents read for the fence.").sample(&[], sink.read);
    out.counter(
        "quotegate_sink_conflicts_total",
        "Writes that found their document changed by someone else, or by a late request of this host.",
    )
    .sample(&[], sink.conflicts);
    out.counter(
        "quotegate_sink_foreign_writes_total",
        "Conflicts with writers that left the document's order as it was.",
    )
    .sample(&[], sink.foreign_writes);
    out.gauge("quotegate_write_tokens", "Write tokens left in the global bucket.").sample(&[], snapshot.tokens);
    let histogram = |out: &mut PrometheusWriter, name, help, of: &LatencySnapshot| {
        out.histogram(name, help, &BOUNDS, &of.counts, of.seconds);
    };
    let [to_sink, to_commit] = &snapshot.latency;
    histogram(out, "quotegate_tick_to_sink_seconds", "From a quote's arrival to the sink.", to_sink);
    histogram(out, "quotegate_tick_to_commit_seconds", "From a quote's arrival to the confirmed write.", to_commit);
}

/// By plugin, summed over the tenants that use it.
fn plugins(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    let mut by_name: BTreeMap<&str, Vec<&PluginSnapshot>> = BTreeMap::new();
    for plugin in snapshot.tenants.iter().flat_map(|(_, tenant)| &tenant.plugins) {
        by_name.entry(&plugin.name).or_default().push(plugin);
    }
    if by_name.is_empty() {
        return;
    }
    let mut counter = |name, help, of: fn(&PluginSnapshot) -> f64| {
        out.counter(name, help);
        for (plugin, all) in &by_name {
            out.sample(&[("plugin", plugin)], all.iter().map(|plugin| of(plugin)).sum::<f64>());
        }
    };
    counter("quotegate_plugin_calls_total", "Calls of filter and map.", |p| p.calls as f64);
    counter("quotegate_plugin_calls_left_out_total", "Calls skipped: quarantine, or over its share of time.", |p| {
        p.calls_left_out as f64
    });
    counter("quotegate_plugin_quotes_total", "Quotes given to the plugin.", |p| p.quotes_seen as f64);
    counter("quotegate_plugin_kept_total", "Quotes that it kept.", |p| p.quotes_kept as f64);
    counter("quotegate_plugin_documents_total", "Documents that it made.", |p| p.documents as f64);
    counter("quotegate_plugin_documents_refused_total", "Quotes whose documents were refused.", |p| {
        p.documents_refused as f64
    });
    counter("quotegate_plugin_seconds_total", "Time spent in calls and starts.", |p| p.seconds);
    counter("quotegate_plugin_log_lines_dropped_total", "Log lines over its rate.", |p| p.log_lines_dropped as f64);
    out.gauge("quotegate_plugin_memory_bytes", "Memory that its instances hold now.");
    for (plugin, all) in &by_name {
        out.sample(&[("plugin", plugin)], all.iter().map(|plugin| plugin.memory_bytes).sum::<usize>());
    }
    labelled(out, &by_name, "quotegate_plugin_refused_total", "Quotes that it refused, by reason.", "reason", |p| {
        p.quotes_refused.iter().map(|(reason, count)| (reason.clone(), *count)).collect()
    });
    labelled(out, &by_name, "quotegate_plugin_traps_total", "Instances lost, by kind of failure.", "kind", |p| {
        p.failures.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    });
    labelled(out, &by_name, "quotegate_plugin_count_total", "The plugin's own counters, by name.", "name", |p| {
        p.counts.iter().map(|(name, count)| (name.clone(), *count)).collect()
    });
    own_gauges(snapshot, out);
    out.gauge("quotegate_plugin_tenants", "Tenants whose plugin is in this state.");
    let states = [PluginState::Ready, PluginState::Degraded, PluginState::Quarantined];
    for (plugin, all) in &by_name {
        for state in states {
            let count = all.iter().filter(|plugin| plugin.state == state).count();
            out.sample(&[("plugin", plugin), ("state", state.as_str())], count);
        }
    }
}

/// The plugins' own gauges. Their sum over tenants would mean nothing, so they are left out if there are too many tenants.
fn own_gauges(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    if snapshot.tenants.len() > MAX_TENANTS {
        return;
    }
    out.gauge("quotegate_plugin_gauge", "The plugin's own gauges, by name.");
    for (id, tenant) in &snapshot.tenants {
        for plugin in &tenant.plugins {
            for (name, value) in plugin.gauges.iter().take(MAX_LABELS) {
                out.sample(&[("tenant", id.as_str()), ("plugin", &plugin.name), ("name", name)], value);
            }
        }
    }
}

/// A plugin may choose the values of a label. More than this are too many for Prometheus.
const MAX_LABELS: usize = 32;

/// A counter with one more label, whose values the plugin chooses. Values beyond [`MAX_LABELS`] are summed.
fn labelled(
    out: &mut PrometheusWriter,
    by_name: &BTreeMap<&str, Vec<&PluginSnapshot>>,
    name: &'static str,
    help: &str,
    label: &str,
    of: fn(&PluginSnapshot) -> Vec<(String, u64)>,
) {
    out.counter(name, help);
    for (plugin, all) in by_name {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (value, count) in all.iter().flat_map(|plugin| of(plugin)) {
            let known = sums.contains_key(&value) || sums.len() < MAX_LABELS;
            *sums.entry(if known { value } else { "other".to_owned() }).or_default() += count;
        }
        for (value, count) in &sums {
            out.sample(&[("plugin", plugin), (label, value)], count);
        }
    }
}

/// Nanoseconds as seconds.
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}
