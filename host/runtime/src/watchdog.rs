//! Detects threads that are stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use quotegate_market::UnixNanos;
use quotegate_pipeline::clock::unix_now;
use tokio_util::sync::CancellationToken;

/// When each group of the host's threads last reported that it is alive.
#[derive(Debug)]
pub struct Watchdog([Report; 4]);

#[derive(Debug)]
struct Report {
    name: &'static str,
    last: AtomicI64,
    /// Ended normally, so no more reports are expected.
    ended: AtomicBool,
}

/// Threads that are watched together.
#[derive(Debug, Clone, Copy)]
pub enum ThreadGroup {
    /// The thread that reads the feed.
    Feed = 0,
    /// The threads of tenants and plugins.
    Tenants = 1,
    /// Tokio's workers: sink, budget, heartbeat.
    Workers = 2,
    /// The thread that receives quotes over the relay.
    Relay = 3,
}

impl Watchdog {
    const REPORT_INTERVAL: Duration = Duration::from_secs(1);
    /// Long enough that a loaded machine does not count as stuck.
    const STUCK_AFTER: Duration = Duration::from_secs(20);

    /// All groups alive, as far as this host has them.
    pub fn new(has_feed: bool, has_relay: bool) -> Arc<Self> {
        let now = unix_now();
        let report =
            |name, is_there: bool| Report { name, last: AtomicI64::new(now), ended: AtomicBool::new(!is_there) };
        Arc::new(Self([
            report("feed", has_feed),
            report("tenants", true),
            report("workers", true),
            report("relay", has_relay),
        ]))
    }

    /// Reports regularly until `stop`. Must run on the threads of `group`.
    pub async fn report(self: Arc<Self>, group: ThreadGroup, stop: CancellationToken) {
        let report = &self.0[group as usize];
        loop {
            report.last.store(unix_now(), Relaxed);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(Self::REPORT_INTERVAL) => {}
            }
        }
        report.ended.store(true, Relaxed);
    }

    /// The names of the groups that are stuck.
    pub fn stuck(&self, now: UnixNanos) -> Vec<&'static str> {
        let is_stuck = |report: &&Report| {
            let age = now.saturating_sub(report.last.load(Relaxed)).max(0).unsigned_abs();
            !report.ended.load(Relaxed) && Duration::from_nanos(age) > Self::STUCK_AFTER
        };
        self.0.iter().filter(is_stuck).map(|report| report.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_groups_are_named_unless_they_ended_normally() {
        let watchdog = Watchdog::new(true, false);
        let later = unix_now() + 3_600_000_000_000;
        let stop = CancellationToken::new();
        stop.cancel();
        watchdog.clone().report(ThreadGroup::Feed, stop).await;
        assert_eq!(watchdog.stuck(unix_now()), Vec::<&str>::new());
        assert_eq!(watchdog.stuck(later), ["tenants", "workers"]);
    }
}
