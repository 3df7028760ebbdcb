use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use quotegate_plugin::PluginSnapshot;
use tokio_util::sync::CancellationToken;

use quotegate_runtime::host::Summary;
use quotegate_runtime::status::{HostStatus, Snapshot};

/// Prints a line a tenant each `every` until the host has `ended`; says so when it is told to `stop`.
pub(super) async fn print(status: Arc<HostStatus>, every: Duration, stop: CancellationToken, ended: CancellationToken) {
    let mut before = status.snapshot();
    let mut seconds = 0.0;
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = stop.cancelled(), if !is_told => {
                is_told = true;
                println!("\nending: what is dirty is written first, as the limits allow; Ctrl-C again ends at once");
                continue;
            }
            () = tokio::time::sleep(every) => {}
        }
        let now = status.snapshot();
        seconds += every.as_secs_f64();
        print!("{}", lines(&before, &now, seconds, every));
        before = now;
    }
}

fn lines(before: &Snapshot, now: &Snapshot, seconds: f64, every: Duration) -> String {
    let mut text = format!("{seconds:>4.0} s  feed {}\n", now.connection());
    let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 / every.as_secs_f64();
    for ((id, new), (_, old)) in now.tenants.iter().zip(&before.tenants) {
        let _ = writeln!(
            text,
            "        {:<8} {:>7.0} quotes/s   {:>5.0} writes/s   {:>4} dirty   last {}",
            id.as_str(),
            per_second(new.counters.quotes, old.counters.quotes),
            per_second(new.counters.written, old.counters.written),
            new.counters.dirty,
            new.last_symbol.as_deref().unwrap_or("-"),
        );
        for plugin in &new.plugins {
            let _ = writeln!(text, "                 {}", plugin_line(plugin));
        }
    }
    text
}

fn plugin_line(plugin: &PluginSnapshot) -> String {
    let calls = plugin.calls.max(1) as f64;
    let mut text = format!("{}: {} quotes", plugin.name, plugin.quotes_seen);
    if plugin.documents > 0 {
        let _ = write!(text, ", {} documents", plugin.documents);
    } else {
        let refused: Vec<String> =
            plugin.quotes_refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let _ = write!(text, ", {} kept, refused: {}", plugin.quotes_kept, refused.join(", "));
    }
    let _ = write!(text, "; {:.1} µs a call", plugin.seconds * 1e6 / calls);
    text
}

/// What a person wants to know at the end.
pub(super) fn summary(summary: &Summary) -> String {
    let mut text = format!("ended after {:.1} s\n", summary.elapsed.as_secs_f64());
    for (id, tenant) in &summary.snapshot.tenants {
        let _ = writeln!(
            text,
            "  {:<8} {} quotes in, {} refused by its filter, {} replaced by newer ones, {} documents written",
            id.as_str(),
            tenant.counters.quotes,
            tenant.counters.filtered,
            tenant.counters.conflated,
            tenant.counters.written,
        );
    }
    let left = summary.unflushed.dirty + summary.unflushed.in_flight;
    match left {
        0 => text.push_str("  every symbol's newest quote was written"),
        _ => {
            let _ = write!(text, "  {left} symbols were not flushed: the limits and the grace period allowed no more");
        }
    }
    text
}
