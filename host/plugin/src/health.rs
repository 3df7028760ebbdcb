use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_pace::{Backoff, BackoffError};

/// Whether a tenant's plugin works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PluginHealth {
    /// No recent failure.
    Ready,
    /// Failed recently, but is still called.
    Degraded,
    /// Failed too often; not called until then.
    Quarantined { until: Instant },
}

/// Counts failures and decides when a plugin is quarantined.
#[derive(Debug)]
pub(crate) struct HealthTracker {
    state: PluginHealth,
    failures: u32,
    last_failure: Option<Instant>,
    backoff: Backoff,
}

/// This many failures, each less than [`RECOVERY`] after the last, lead to quarantine.
const MAX_FAILURES: u32 = 3;
/// Failures are forgotten after this long without another, if the plugin is called. A success alone does not clear them,
/// or a plugin that fails every second call would never be stopped.
const RECOVERY: Duration = Duration::from_secs(60);

impl HealthTracker {
    /// The first quarantine lasts between half of `first` and `first`, each later one up to twice as long, up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Result<Self, BackoffError> {
        let backoff = Backoff::new(first, longest)?;
        Ok(Self { state: PluginHealth::Ready, failures: 0, last_failure: None, backoff })
    }

    pub(crate) fn state(&self) -> PluginHealth {
        self.state
    }

    /// Whether the plugin may be called. Ends a quarantine whose time is up.
    pub(crate) fn may_call(&mut self, now: Instant) -> bool {
        match self.state {
            PluginHealth::Quarantined { until } if now < until => false,
            PluginHealth::Quarantined { .. } => {
                // One more failure leads straight back to quarantine.
                self.failures = MAX_FAILURES - 1;
                self.state = PluginHealth::Degraded;
                true
            }
            PluginHealth::Ready | PluginHealth::Degraded => true,
        }
    }

    pub(crate) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.failures += 1;
        self.last_failure = Some(now);
        self.state = PluginHealth::Degraded;
        if self.failures >= MAX_FAILURES {
            // At least half the delay, because full jitter could allow the next call at once.
            let pause = self.backoff.cap() / 2 + self.backoff.next_delay(rng) / 2;
            self.state = PluginHealth::Quarantined { until: now + pause };
        }
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        let recovered = self.last_failure.is_none_or(|last| now.saturating_duration_since(last) >= RECOVERY);
        if self.state == PluginHealth::Degraded && recovered {
            self.state = PluginHealth::Ready;
            self.failures = 0;
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tracker() -> HealthTracker {
        HealthTracker::new(SECOND, 8 * SECOND).unwrap()
    }

    #[test]
    fn three_failures_lead_to_quarantine_even_with_successes_between_them() {
        let (mut tracker, now, mut rng) = (tracker(), Instant::now(), Rng::with_seed(1));
        for _ in 0..2 {
            tracker.failed(now, &mut rng);
            tracker.succeeded(now);
            assert_eq!(tracker.state(), PluginHealth::Degraded);
        }
        tracker.failed(now, &mut rng);
        assert!(!tracker.may_call(now));
        assert!(!tracker.may_call(now + SECOND / 2 - Duration::from_millis(1)));
        assert!(tracker.may_call(now + SECOND));
        assert_eq!(tracker.state(), PluginHealth::Degraded);
    }

    #[test]
    fn each_failure_after_a_quarantine_doubles_the_next_and_recovery_resets_it() {
        let (mut tracker, mut now, mut rng) = (tracker(), Instant::now(), Rng::with_seed(2));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            tracker.failed(now, &mut rng);
            if let PluginHealth::Quarantined { until } = tracker.state() {
                pauses.push(until - now);
                now = until;
                assert!(tracker.may_call(now));
            }
        }
        assert!(pauses[0] <= SECOND && pauses[4] >= 4 * SECOND && pauses[5] <= 8 * SECOND, "{pauses:?}");
        tracker.succeeded(now + RECOVERY);
        assert_eq!(tracker.state(), PluginHealth::Ready);
        tracker.failed(now + RECOVERY, &mut rng);
        assert_eq!(tracker.state(), PluginHealth::Degraded, "earlier failures are forgotten");
    }
}
