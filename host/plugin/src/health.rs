use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_pace::{Backoff, BackoffError};

/// How a plugin of a tenant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No failure lately.
    Ready,
    /// Failed lately, still called.
    Degraded,
    /// Failed too often; not called before `until`.
    Quarantined {
        /// When it is tried again.
        until: Instant,
    },
}

/// Counts failures and decides on quarantine. Time and randomness are passed in.
#[derive(Debug)]
pub(crate) struct HealthRecord {
    state: Health,
    failures: u32,
    last_failure: Option<Instant>,
    backoff: Backoff,
}

/// So many failures with less than [`CALM`] between them lead into quarantine.
const FAILURES: u32 = 3;
/// So long without a failure, while being called, and all is forgotten. Successes alone do not clear a record: a plugin that fails every second call would never be stopped.
const CALM: Duration = Duration::from_secs(60);

impl HealthRecord {
    /// The first quarantine lasts between half of `first` and `first`, each further one up to twice as long, until `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Result<Self, BackoffError> {
        let backoff = Backoff::new(first, longest)?;
        Ok(Self { state: Health::Ready, failures: 0, last_failure: None, backoff })
    }

    pub(crate) fn state(&self) -> Health {
        self.state
    }

    /// Whether the plugin may be called; ends a quarantine that is over.
    pub(crate) fn may_call(&mut self, now: Instant) -> bool {
        match self.state {
            Health::Quarantined { until } if now < until => false,
            Health::Quarantined { .. } => {
                // One failure of the trial is enough to go back.
                self.failures = FAILURES - 1;
                self.state = Health::Degraded;
                true
            }
            Health::Ready | Health::Degraded => true,
        }
    }

    pub(crate) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.failures += 1;
        self.last_failure = Some(now);
        self.state = Health::Degraded;
        if self.failures >= FAILURES {
            // Half is certain: full jitter could put the next trial at once.
            let pause = self.backoff.cap() / 2 + self.backoff.next_delay(rng) / 2;
            self.state = Health::Quarantined { until: now + pause };
        }
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        let calm = self.last_failure.is_none_or(|last| now.saturating_duration_since(last) >= CALM);
        if self.state == Health::Degraded && calm {
            self.state = Health::Ready;
            self.failures = 0;
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record() -> HealthRecord {
        HealthRecord::new(SECOND, 8 * SECOND).unwrap()
    }

    #[test]
    fn three_failures_lead_into_quarantine_even_with_successes_between() {
        let (mut record, now, mut rng) = (record(), Instant::now(), Rng::with_seed(1));
        for _ in 0..2 {
            record.failed(now, &mut rng);
            record.succeeded(now);
            assert_eq!(record.state(), Health::Degraded);
        }
        record.failed(now, &mut rng);
        assert!(!record.may_call(now));
        assert!(!record.may_call(now + SECOND / 2 - Duration::from_millis(1)));
        assert!(record.may_call(now + SECOND));
        assert_eq!(record.state(), Health::Degraded);
    }

    #[test]
    fn a_failed_trial_lengthens_the_quarantine_and_calm_ends_it() {
        let (mut record, mut now, mut rng) = (record(), Instant::now(), Rng::with_seed(2));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            record.failed(now, &mut rng);
            if let Health::Quarantined { until } = record.state() {
                pauses.push(until - now);
                now = until;
                assert!(record.may_call(now));
            }
        }
        assert!(pauses[0] <= SECOND && pauses[4] >= 4 * SECOND && pauses[5] <= 8 * SECOND, "{pauses:?}");
        record.succeeded(now + CALM);
        assert_eq!(record.state(), Health::Ready);
        record.failed(now + CALM, &mut rng);
        assert_eq!(record.state(), Health::Degraded, "the record starts afresh");
    }
}
