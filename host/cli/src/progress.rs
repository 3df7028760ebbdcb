use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use quotegate_plugin::PluginSnapshot;
use tokio_util::sync::CancellationToken;

use quotegate_runtime::host::Summary;
use quotegate_runtime::status::{HostStatus, Snapshot};
use quotegate_runtime::text::counted;

use super::output::{self, out, outln};

/// Prints a line per tenant once per `interval`, until `ended`. Prints a message on `stop`, and cancels it when nobody reads
/// the lines any more.
pub(super) async fn print(
    status: Arc<HostStatus>,
    interval: Duration,
    stop: CancellationToken,
    ended: CancellationToken,
) {
    let mut before = status.snapshot();
    let mut seconds = 0.0;
    let mut is_stopping = false;
    loop {
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                outln!("\nstopping: writing what is dirty, within the limits; press Ctrl-C again to exit at once");
                continue;
            }
            () = tokio::time::sleep(interval) => {}
        }
        let now = status.snapshot();
        seconds += interval.as_secs_f64();
        out!("{}", lines(&before, &now, seconds, interval));
        before = now;
        if output::is_closed() {
            stop.cancel();
        }
    }
}

fn lines(before: &Snapshot, now: &Snapshot, seconds: f64, interval: Duration) -> String {
    let mut text = format!("{seconds:>4.0} s  feed {}\n", now.connection());
    let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 / interval.as_secs_f64();
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
    let mut text = format!("{}: {}", plugin.name, counted(plugin.quotes_seen, "quote"));
    if plugin.documents > 0 {
        let _ = write!(text, ", {}", counted(plugin.documents, "document"));
    } else {
        let refused: Vec<String> =
            plugin.quotes_refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let _ = write!(text, ", {} kept, refused: {}", plugin.quotes_kept, refused.join(", "));
    }
    let _ = write!(text, "; {:.1} µs per call", plugin.seconds * 1e6 / calls);
    text
}

/// The summary at the end.
pub(super) fn summary(summary: &Summary) -> String {
    let mut text = format!("stopped after {:.1} s\n", summary.elapsed.as_secs_f64());
    for (id, tenant) in &summary.snapshot.tenants {
        let _ = writeln!(
            text,
            "  {:<8} {} in, {} refused by its filter, {} replaced by newer ones, {} written",
            id.as_str(),
            counted(tenant.counters.quotes, "quote"),
            tenant.counters.filtered,
            tenant.counters.conflated,
            counted(tenant.counters.written, "document"),
        );
    }
    let left = summary.unflushed.dirty + summary.unflushed.in_flight;
    match left {
        0 => text.push_str("  every symbol's newest quote was written"),
        _ => {
            let left = counted(left, "symbol");
            let _ = write!(text, "  not flushed within the limits and the grace period: {left}");
        }
    }
    text
}
