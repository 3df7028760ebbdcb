use std::time::Duration;

use fastrand::Rng;

/// Exponential backoff with full jitter: the n-th delay is uniform in `0 ..= min(max, base · 2ⁿ)`.
///
/// Full jitter, because many hosts (or documents) that failed together must not retry together. The published crates
/// either jitter less or exceed their maximum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempts: u32,
}

/// Why a [`Backoff`] is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackoffError {
    /// A base of zero would retry without a delay.
    #[error("the base delay must be above zero")]
    ZeroBase,
    /// The longest delay is below the base.
    #[error("the longest delay ({max:?}) is shorter than the base delay ({base:?})")]
    MaxBelowBase {
        /// The base delay.
        base: Duration,
        /// The longest delay.
        max: Duration,
    },
}

impl Backoff {
    /// Validates both delays. The first delay is at most `base`.
    pub fn new(base: Duration, max: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() {
            return Err(BackoffError::ZeroBase);
        }
        if max < base {
            return Err(BackoffError::MaxBelowBase { base, max });
        }
        Ok(Self { base, max, attempts: 0 })
    }

    /// Returns the next delay and counts the attempt.
    pub fn next_delay(&mut self, rng: &mut Rng) -> Duration {
        let cap = self.cap();
        self.attempts = self.attempts.saturating_add(1);
        jitter(cap, rng)
    }

    /// Like [`Backoff::next_delay`], but with equal jitter, over the upper half only: for what lasts a while, so that the next
    /// attempt does not follow at once.
    pub fn next_delay_equal_jitter(&mut self, rng: &mut Rng) -> Duration {
        self.cap() / 2 + self.next_delay(rng) / 2
    }

    /// Skips ahead to the longest delay, jittered over its upper half: for servers that report overload.
    pub fn longest_delay(&mut self, rng: &mut Rng) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        self.max / 2 + jitter(self.max / 2, rng)
    }

    /// The upper end of the next delay.
    pub fn cap(&self) -> Duration {
        // A factor of 2^32 is beyond any maximum.
        let factor = 1_u32.checked_shl(self.attempts).filter(|_| self.attempts < 32).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    /// The number of delays since the last [`Backoff::reset`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The backoff after this many failed attempts: lets a caller that retries thousands of things store a number for
    /// each instead of a `Backoff`.
    #[must_use]
    pub fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

fn jitter(cap: Duration, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(0..=nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_cap_doubles_stops_at_the_maximum_and_resets() {
        let mut backoff = Backoff::new(seconds(1), seconds(10)).unwrap();
        let mut rng = Rng::with_seed(1);
        let caps: Vec<_> = (0..6)
            .map(|_| {
                let cap = backoff.cap();
                backoff.next_delay(&mut rng);
                cap
            })
            .collect();
        assert_eq!(caps, [1, 2, 4, 8, 10, 10].map(seconds));
        backoff.reset();
        assert_eq!(backoff.cap(), seconds(1));
    }

    #[test]
    fn invalid_delays_are_rejected() {
        assert_eq!(Backoff::new(Duration::ZERO, seconds(1)), Err(BackoffError::ZeroBase));
        assert!(Backoff::new(seconds(2), seconds(1)).is_err());
    }

    proptest! {
        #[test]
        fn a_delay_never_exceeds_its_cap_and_spreads_over_all_of_it(seed: u64, attempts in 0_u32..80) {
            let mut backoff = Backoff::new(Duration::from_millis(100), seconds(60)).unwrap();
            let mut rng = Rng::with_seed(seed);
            for _ in 0..attempts {
                let cap = backoff.cap();
                prop_assert!(backoff.next_delay(&mut rng) <= cap);
            }
            let longest = backoff.longest_delay(&mut rng);
            prop_assert!(longest >= seconds(30) && longest <= seconds(60));
        }
    }
}
