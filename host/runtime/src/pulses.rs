//! Whether the host's loops turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use quotegate_market::UnixNanos;
use quotegate_pipeline::clock::unix_now;
use tokio_util::sync::CancellationToken;

/// The last sign of life of each of the host's kinds of threads.
#[derive(Debug)]
pub struct Pulses([Pulse; 3]);

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    last: AtomicI64,
    /// It has ended as it should: nothing more is expected of it.
    ended: AtomicBool,
}

/// Which threads.
#[derive(Debug, Clone, Copy)]
pub enum Beating {
    /// The thread that reads the feed.
    Feed = 0,
    /// The threads of tenants and plugins.
    Tenants = 1,
    /// Tokio's workers: sink, budget, heartbeat.
    House = 2,
}

impl Pulses {
    const EVERY: Duration = Duration::from_secs(1);
    /// Threads without a sign of life for so long are stuck. A loaded machine is not.
    const STUCK: Duration = Duration::from_secs(20);

    /// All alive.
    pub fn new() -> Arc<Self> {
        let now = unix_now();
        let pulse = |name| Pulse { name, last: AtomicI64::new(now), ended: AtomicBool::new(false) };
        Arc::new(Self([pulse("feed"), pulse("tenants"), pulse("house")]))
    }

    /// Beats until `stop`: runs as a task among those whose threads it speaks for.
    pub async fn beat(self: Arc<Self>, which: Beating, stop: CancellationToken) {
        let pulse = &self.0[which as usize];
        loop {
            pulse.last.store(unix_now(), Relaxed);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(Self::EVERY) => {}
            }
        }
        pulse.ended.store(true, Relaxed);
    }

    /// The names of those that are stuck.
    pub fn stuck(&self, now: UnixNanos) -> Vec<&'static str> {
        let silent = |pulse: &&Pulse| {
            let age = now.saturating_sub(pulse.last.load(Relaxed)).max(0).unsigned_abs();
            !pulse.ended.load(Relaxed) && Duration::from_nanos(age) > Self::STUCK
        };
        self.0.iter().filter(silent).map(|pulse| pulse.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_told_by_name_unless_it_is_meant() {
        let pulses = Pulses::new();
        let later = unix_now() + 3_600_000_000_000;
        let stop = CancellationToken::new();
        stop.cancel();
        pulses.clone().beat(Beating::Feed, stop).await;
        assert_eq!(pulses.stuck(unix_now()), Vec::<&str>::new());
        assert_eq!(pulses.stuck(later), ["tenants", "house"]);
    }
}
