use std::time::{Duration, Instant};

/// A write limit: writes per second, and the burst allowed after idle time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u32,
}

/// Why a [`Rate`] is invalid.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RateError {
    /// Zero, negative, NaN or infinite.
    #[error("a rate must be a number above zero, not {0}")]
    PerSecond(f64),
    /// A burst of zero would allow no writes.
    #[error("a burst must be at least 1")]
    Burst,
}

impl Rate {
    /// Validates both numbers.
    pub fn new(per_second: f64, burst: u32) -> Result<Self, RateError> {
        // Below this, the interval between tokens could overflow an `Instant`.
        if !per_second.is_finite() || per_second < 1e-9 {
            return Err(RateError::PerSecond(per_second));
        }
        if burst == 0 {
            return Err(RateError::Burst);
        }
        Ok(Self { per_second, burst })
    }

    /// Writes per second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Maximum number of writes at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The part of a host that has `held` of `shards` equal shares. The parts of all hosts together never exceed the whole,
    /// because bursts are rounded down. `None` if that leaves no burst: then the host may not write.
    pub fn share(&self, held: u16, shards: u16) -> Option<Self> {
        let (part, whole) = (held.min(shards), shards.max(1));
        let burst = u64::from(self.burst) * u64::from(part) / u64::from(whole);
        let per_second = self.per_second * f64::from(part) / f64::from(whole);
        Self::new(per_second, u32::try_from(burst).unwrap_or(self.burst)).ok()
    }
}

/// A token bucket: in any window of t seconds it grants at most `burst + per_second · t` tokens.
///
/// Stores one time (the generic cell rate algorithm) instead of a fractional count, so that rounding errors can never add
/// up to an extra token.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    /// The time between two tokens, rounded up.
    interval: Duration,
    /// The time to fill an empty bucket.
    fill_time: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        let interval = Duration::from_nanos((1e9 / rate.per_second).ceil() as u64);
        Self { interval, fill_time: interval.saturating_mul(rate.burst), full_at: now }
    }

    /// Changes the rate. This adds no tokens: those in the bucket stay, up to the new burst.
    pub fn set_rate(&mut self, rate: Rate, now: Instant) {
        let new = Self::new(rate, now);
        let missing = self.full_at.saturating_duration_since(now);
        // Rounded down, so that a change never adds even a fraction of a token.
        let held = self.fill_time.saturating_sub(missing).as_nanos() * new.interval.as_nanos()
            / self.interval.as_nanos().max(1);
        let held = Duration::from_nanos(u64::try_from(held).unwrap_or(u64::MAX)).min(new.fill_time);
        *self = Self { full_at: now + (new.fill_time - held), ..new };
    }

    /// Removes all tokens.
    pub fn drain(&mut self, now: Instant) {
        self.full_at = now + self.fill_time;
    }

    /// True if the bucket is full.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.interval;
        let given = full_at - now <= self.fill_time;
        if given {
            self.full_at = full_at;
        }
        given
    }

    /// Returns an unused token.
    pub fn refund(&mut self) {
        self.full_at = self.full_at.checked_sub(self.interval).unwrap_or(self.full_at);
    }

    /// The number of whole tokens.
    pub fn tokens(&self, now: Instant) -> u32 {
        let missing = self.full_at.saturating_duration_since(now);
        let held = self.fill_time.saturating_sub(missing).as_nanos() / self.interval.as_nanos().max(1);
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// When the next token is available: `now` or later.
    pub fn ready_at(&self, now: Instant) -> Instant {
        let needed = self.fill_time - self.interval;
        (self.full_at.checked_sub(needed)).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate::new(per_second, burst).unwrap()
    }

    #[test]
    fn invalid_rates_are_rejected() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Rate::new(per_second, 1).is_err());
        }
        assert_eq!(Rate::new(1.0, 0), Err(RateError::Burst));
    }

    #[test]
    fn a_host_without_a_whole_token_has_no_share() {
        let limit = rate(400.0, 40);
        assert_eq!(limit.share(64, 64), Some(limit));
        assert_eq!(limit.share(16, 64), Some(rate(100.0, 10)));
        assert_eq!(limit.share(3, 64), Some(rate(18.75, 1)));
        assert_eq!((limit.share(1, 64), limit.share(0, 64)), (None, None));
    }

    #[test]
    fn a_refunded_token_can_be_taken_again() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(rate(1.0, 1), now);
        assert!(bucket.take(now));
        assert!(!bucket.take(now));
        bucket.refund();
        assert!(bucket.take(now));
    }

    #[test]
    fn a_drained_bucket_fills_up_again() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(rate(10.0, 5), now);
        bucket.drain(now);
        assert!(!bucket.take(now) && bucket.tokens(now + Duration::from_millis(300)) == 3);
        assert_eq!(bucket.tokens(now + Duration::from_secs(9)), 5);
    }

    #[test]
    fn a_new_rate_adds_no_tokens_and_a_smaller_burst_removes_some() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(rate(1.0, 10), now);
        for _ in 0..8 {
            assert!(bucket.take(now));
        }
        bucket.set_rate(rate(100.0, 50), now);
        assert_eq!(bucket.tokens(now), 2);
        assert_eq!(bucket.tokens(now + Duration::from_millis(100)), 12);
        assert_eq!(bucket.tokens(now + Duration::from_secs(1)), 50);
        bucket.set_rate(rate(0.5, 3), now + Duration::from_secs(1));
        assert_eq!(bucket.tokens(now + Duration::from_secs(1)), 3);
    }

    proptest! {
        /// Invariant 1 while the rate changes: in any window at most the largest burst plus the tokens that each rate adds
        /// while it applies.
        #[test]
        fn changing_rates_never_exceed_the_limits(
            rates in prop::collection::vec((0.1_f64..2000.0, 1_u32..30, 0_u64..2_000_000_000), 1..12),
            tries in prop::collection::vec((0_u64..300_000_000, 1_u32..40), 1..60),
        ) {
            let start = Instant::now();
            let mut changes = rates.into_iter();
            let (per_second, burst, _) = changes.next().unwrap();
            let mut bucket = TokenBucket::new(rate(per_second, burst), start);
            let mut history = vec![(start, per_second, burst)];
            let mut taken: Vec<(Instant, u32)> = Vec::new();
            let (mut now, mut change_at) = (start, start);
            let mut coming = changes.next();
            for (pause, tries) in tries {
                now += Duration::from_nanos(pause);
                while let Some((per_second, burst, after)) = coming {
                    let at = change_at + Duration::from_nanos(after);
                    if at > now {
                        break;
                    }
                    bucket.set_rate(rate(per_second, burst), at);
                    history.push((at, per_second, burst));
                    (change_at, coming) = (at, changes.next());
                }
                taken.push((now, (0..tries).map(|_| u32::from(bucket.take(now))).sum()));
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut within = 0;
                for (to, got) in &taken[first..] {
                    within += got;
                    // The rates of the window, each with its time in it.
                    let ends = history.iter().skip(1).map(|change| change.0).chain([*to]);
                    let (mut grown, mut most) = (0.0, 0);
                    for ((begins, per_second, burst), ends) in history.iter().zip(ends) {
                        let (begins, ends) = ((*begins).max(*from), ends.min(*to));
                        if ends >= begins {
                            grown += per_second * (ends - begins).as_secs_f64();
                            most = most.max(*burst);
                        }
                    }
                    prop_assert!(f64::from(within) <= f64::from(most) + grown + 1e-6);
                }
            }
        }

        #[test]
        fn the_shares_of_all_hosts_are_within_the_limit(
            per_second in 0.1_f64..5000.0,
            burst in 1_u32..500,
            parts in prop::collection::vec(0_u16..40, 1..12),
        ) {
            let shares: Vec<Rate> =
                parts.iter().filter_map(|part| rate(per_second, burst).share(*part, parts.iter().sum())).collect();
            prop_assert!(shares.iter().map(Rate::burst).sum::<u32>() <= burst);
            prop_assert!(shares.iter().map(Rate::per_second).sum::<f64>() <= per_second * (1.0 + 1e-9));
        }

        #[test]
        fn no_window_exceeds_the_limit(
            per_second in 0.1_f64..5000.0,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u64..3_000_000_000, 1_u32..60), 1..60),
        ) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(rate(per_second, burst), start);
            let mut now = start;
            let mut taken: Vec<(Instant, u32)> = Vec::new();
            for (pause, tries) in steps {
                now += Duration::from_nanos(pause);
                let expected = bucket.tokens(now);
                let got = (0..tries).map(|_| u32::from(bucket.take(now))).sum();
                prop_assert_eq!(got, expected.min(tries));
                taken.push((now, got));
                let ready = bucket.ready_at(now);
                prop_assert!(bucket.clone().take(ready), "no token at the time promised");
                if ready > now {
                    prop_assert!(!bucket.clone().take(ready - Duration::from_nanos(1)), "a token before its time");
                }
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut within = 0;
                for (to, got) in &taken[first..] {
                    within += got;
                    let allowed = f64::from(burst) + per_second * (*to - *from).as_secs_f64();
                    prop_assert!(f64::from(within) <= allowed + 1e-6);
                }
            }
        }
    }
}
