use std::time::{Duration, Instant};

/// Limits the share of the last ten seconds that a plugin's calls may take.
#[derive(Debug)]
pub(crate) struct CpuQuota {
    allowed: Duration,
    slots: [Duration; SLOTS],
    /// The newest slot, counted from `start`.
    newest: u64,
    start: Instant,
    sum: Duration,
}

const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);

impl CpuQuota {
    /// `share` is of wall time, 0 to 1. The quota of a whole window may be used at once, which forgives a slow start.
    pub(crate) fn new(share: f64, now: Instant) -> Self {
        let window = SLOT * u32::try_from(SLOTS).unwrap_or(1);
        let allowed = window.mul_f64(if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 });
        Self { allowed, slots: [Duration::ZERO; SLOTS], newest: 0, start: now, sum: Duration::ZERO }
    }

    pub(crate) fn unlimited() -> Self {
        Self { allowed: Duration::MAX, ..Self::new(1.0, Instant::now()) }
    }

    /// Adds a call that ended at `now`.
    pub(crate) fn add(&mut self, now: Instant, took: Duration) {
        self.rotate(now);
        self.slots[slot(self.newest)] += took;
        self.sum += took;
    }

    pub(crate) fn may_call(&mut self, now: Instant) -> bool {
        self.rotate(now);
        self.sum <= self.allowed
    }

    fn rotate(&mut self, now: Instant) {
        let number = now.saturating_duration_since(self.start).as_secs();
        let passed = number.saturating_sub(self.newest).min(SLOTS as u64);
        for _ in 0..passed {
            self.newest += 1;
            self.sum -= std::mem::take(&mut self.slots[slot(self.newest)]);
        }
        self.newest = self.newest.max(number);
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_quota_counts_the_last_ten_slots(calls in prop::collection::vec((0_u64..4000, 0_u64..1500), 1..60)) {
            let start = Instant::now();
            let mut quota = CpuQuota::new(0.25, start);
            let (mut now, mut history) = (0, Vec::new());
            for (pause, took) in calls {
                now += pause;
                quota.add(start + Duration::from_millis(now), Duration::from_millis(took));
                history.push((now / 1000, took));
                let recent: u64 = history.iter().filter(|(second, _)| second + 10 > now / 1000).map(|(_, took)| took).sum();
                prop_assert_eq!(quota.may_call(start + Duration::from_millis(now)), recent <= 2500);
            }
        }
    }
}
