use std::time::{Duration, Instant};

use quotegate_pace::{Rate, TokenBucket};

/// Firestore's advice for new traffic: start with 500 operations per second and add 50% every 5 minutes.
const START: f64 = 500.0;
const STEP: Duration = Duration::from_secs(300);
const GROWTH: f64 = 1.5;
/// The ramp ends at this rate.
const FULL: f64 = 10_000.0;

/// The 500/50/5 ramp: how many documents per second may be written, depending on its age.
#[derive(Debug)]
pub struct Ramp {
    started: Instant,
    per_second: f64,
    bucket: Option<TokenBucket>,
}

impl Ramp {
    /// Starts now.
    pub fn new(now: Instant) -> Self {
        Self { started: now, per_second: START, bucket: bucket(START, now) }
    }

    /// The documents per second allowed now.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    fn climb(&mut self, now: Instant) {
        let steps = now.saturating_duration_since(self.started).as_secs() / STEP.as_secs();
        let per_second = (START * GROWTH.powi(i32::try_from(steps).unwrap_or(i32::MAX))).min(FULL);
        if per_second > self.per_second {
            self.per_second = per_second;
            self.bucket = bucket(per_second, now);
        }
    }
}

fn bucket(per_second: f64, now: Instant) -> Option<TokenBucket> {
    // The burst is one second's worth.
    Rate::new(per_second, per_second as u32).ok().map(|rate| TokenBucket::new(rate, now))
}

/// The last check before a request is sent. Tokens are granted when a document is made, but documents may then wait for
/// others to share their request. Without this gate, documents that waited could be sent together with newer ones, above
/// the rate (invariant 1).
#[derive(Debug)]
pub(crate) struct RateGate {
    limit: Option<TokenBucket>,
    ramp: Option<Ramp>,
}

impl RateGate {
    pub(crate) fn new(limit: Option<Rate>, ramp: bool, now: Instant) -> Self {
        Self { limit: limit.map(|rate| TokenBucket::new(rate, now)), ramp: ramp.then(|| Ramp::new(now)) }
    }

    /// Changes the limit. This grants no tokens.
    pub(crate) fn set_limit(&mut self, limit: Rate, now: Instant) {
        match &mut self.limit {
            Some(bucket) => bucket.set_rate(limit, now),
            none => *none = Some(TokenBucket::new(limit, now)),
        }
    }

    /// How many documents may be sent now.
    pub(crate) fn open_for(&mut self, now: Instant) -> usize {
        if let Some(ramp) = &mut self.ramp {
            ramp.climb(now);
        }
        self.buckets().map(|bucket| bucket.tokens(now) as usize).min().unwrap_or(usize::MAX)
    }

    /// When at least one may be sent.
    pub(crate) fn opens_at(&mut self, now: Instant) -> Instant {
        self.buckets().map(|bucket| bucket.ready_at(now)).max().unwrap_or(now)
    }

    /// Counts `documents` as sent.
    pub(crate) fn pass(&mut self, documents: usize, now: Instant) {
        for bucket in self.buckets() {
            for _ in 0..documents {
                bucket.take(now);
            }
        }
    }

    fn buckets(&mut self) -> impl Iterator<Item = &mut TokenBucket> {
        let ramp = self.ramp.as_mut().and_then(|ramp| ramp.bucket.as_mut());
        self.limit.iter_mut().chain(ramp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_grows_by_half_every_five_minutes() {
        let start = Instant::now();
        let mut ramp = Ramp::new(start);
        for (minutes, expected) in [(0, 500.0), (4, 500.0), (5, 750.0), (10, 1125.0), (600, 10_000.0)] {
            ramp.climb(start + Duration::from_secs(60 * minutes));
            assert_eq!(ramp.per_second(), expected, "after {minutes} minutes");
        }
    }

    #[test]
    fn the_strictest_bucket_decides() {
        let now = Instant::now();
        let mut gate = RateGate::new(Some(Rate::new(10.0, 5).unwrap()), true, now);
        assert_eq!(gate.open_for(now), 5);
        gate.pass(5, now);
        assert_eq!((gate.open_for(now), gate.opens_at(now)), (0, now + Duration::from_millis(100)));
        gate.set_limit(Rate::new(100.0, 50).unwrap(), now);
        assert_eq!((gate.open_for(now), gate.opens_at(now)), (0, now + Duration::from_millis(10)));
        assert_eq!(RateGate::new(None, false, now).open_for(now), usize::MAX);
    }
}
