use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_pace::{Backoff, BackoffError};

use crate::snapshot::PluginState;

/// Counts failures and decides when a plugin is quarantined.
#[derive(Debug)]
pub(crate) struct HealthTracker {
    state: PluginState,
    /// When a quarantine ends.
    until: Option<Instant>,
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
        Ok(Self { state: PluginState::Ready, until: None, failures: 0, last_failure: None, backoff })
    }

    pub(crate) fn state(&self) -> PluginState {
        self.state
    }

    /// Whether the plugin may be called. Ends a quarantine whose time is up.
    pub(crate) fn may_call(&mut self, now: Instant) -> bool {
        let Some(until) = self.until else { return true };
        if until <= now {
            // One more failure leads straight back to quarantine.
            (self.state, self.until, self.failures) = (PluginState::Degraded, None, MAX_FAILURES - 1);
        }
        until <= now
    }

    pub(crate) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.failures += 1;
        self.last_failure = Some(now);
        self.state = PluginState::Degraded;
        if self.failures >= MAX_FAILURES {
            self.state = PluginState::Quarantined;
            self.until = Some(now + self.backoff.next_delay_equal_jitter(rng));
        }
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        let recovered = self.last_failure.is_none_or(|last| now.saturating_duration_since(last) >= RECOVERY);
        if self.state == PluginState::Degraded && recovered {
            self.state = PluginState::Ready;
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
            assert_eq!(tracker.state(), PluginState::Degraded);
        }
        tracker.failed(now, &mut rng);
        assert!(!tracker.may_call(now));
        assert!(!tracker.may_call(now + SECOND / 2 - Duration::from_millis(1)));
        assert!(tracker.may_call(now + SECOND));
        assert_eq!(tracker.state(), PluginState::Degraded);
    }

    #[test]
    fn each_failure_after_a_quarantine_doubles_the_next_and_recovery_resets_it() {
        let (mut tracker, mut now, mut rng) = (tracker(), Instant::now(), Rng::with_seed(2));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            tracker.failed(now, &mut rng);
            if let Some(until) = tracker.until {
                pauses.push(until - now);
                now = until;
                assert!(tracker.may_call(now));
            }
        }
        assert!(pauses[0] <= SECOND && pauses[4] >= 4 * SECOND && pauses[5] <= 8 * SECOND, "{pauses:?}");
        tracker.succeeded(now + RECOVERY);
        assert_eq!(tracker.state(), PluginState::Ready);
        tracker.failed(now + RECOVERY, &mut rng);
        assert_eq!(tracker.state(), PluginState::Degraded, "earlier failures are forgotten");
    }
}
