use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Limits the processor time of a plugin's calls: its own share, that of its tenant's plugins together, and that of all
/// plugins.
#[derive(Debug)]
pub(crate) struct TimeShares {
    plugin: TimeBucket,
    tenant: SharedBucket,
    total: SharedBucket,
}

/// A bucket that several plugins share.
pub(crate) type SharedBucket = Arc<Mutex<TimeBucket>>;

/// A call is skipped because of the share of the plugin, of the tenant's plugins, or of all plugins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OverShare {
    Plugin(f64),
    Tenant(f64),
    Total,
}

impl TimeShares {
    pub(crate) fn new(plugin: f64, tenant: SharedBucket, total: SharedBucket, now: Instant) -> Self {
        Self { plugin: TimeBucket::new(plugin, now), tenant, total }
    }

    pub(crate) fn make_unlimited(&mut self) {
        let shared = || TimeBucket::shared(f64::INFINITY);
        *self = Self::new(f64::INFINITY, shared(), shared(), Instant::now());
    }

    /// Which share a call now would exceed. If all plugins together use too much, those of tenants that have used little
    /// are called all the same.
    pub(crate) fn exceeded(&mut self, now: Instant) -> Option<OverShare> {
        if !self.plugin.is_open(now) {
            return Some(OverShare::Plugin(self.plugin.share));
        }
        let mut tenant = self.tenant.lock();
        if !tenant.is_open(now) {
            return Some(OverShare::Tenant(tenant.share));
        }
        (!tenant.is_half_full(now) && !self.total.lock().is_open(now)).then_some(OverShare::Total)
    }

    /// Takes what a call has used.
    pub(crate) fn take(&mut self, now: Instant, used: Duration) {
        self.plugin.take(now, used);
        self.tenant.lock().take(now, used);
        self.total.lock().take(now, used);
    }
}

/// A token bucket of processor time.
#[derive(Debug)]
pub(crate) struct TimeBucket {
    /// Seconds that it gains per second: 0.25 is a quarter of one processor.
    share: f64,
    /// Seconds that it holds, as of `filled`.
    level: f64,
    filled: Instant,
    /// When a call that took more than the bucket held is paid off.
    opens_at: Option<Instant>,
}

impl TimeBucket {
    /// A full bucket holds the share of this many seconds: 100 ms for a quarter of a processor.
    const BURST: f64 = 0.4;
    /// The longest that a call is paid off, however long it took.
    const LONGEST_WAIT: f64 = 10.0;

    /// A full bucket.
    pub(crate) fn new(share: f64, now: Instant) -> Self {
        let share = share.max(0.0);
        Self { share, level: share * Self::BURST, filled: now, opens_at: None }
    }

    pub(crate) fn shared(share: f64) -> SharedBucket {
        Arc::new(Mutex::new(Self::new(share, Instant::now())))
    }

    fn is_open(&self, now: Instant) -> bool {
        self.opens_at.is_none_or(|at| at <= now)
    }

    /// True for those that have used little of late.
    fn is_half_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.is_open(now) && self.level >= self.share * Self::BURST / 2.0
    }

    fn take(&mut self, now: Instant, used: Duration) {
        self.fill(now);
        self.level -= used.as_secs_f64();
        if self.level < 0.0 {
            let wait = Duration::from_secs_f64((-self.level / self.share).min(Self::LONGEST_WAIT));
            let latest = now + Duration::from_secs_f64(Self::LONGEST_WAIT);
            let opens_at = (self.opens_at.map_or(now, |at| at.max(now)) + wait).min(latest);
            // It gains again from then on.
            (self.level, self.filled, self.opens_at) = (0.0, opens_at, Some(opens_at));
        }
    }

    fn fill(&mut self, now: Instant) {
        if now > self.filled {
            let passed = (now - self.filled).as_secs_f64();
            self.level = (self.level + self.share * passed).min(self.share * Self::BURST);
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    proptest! {
        /// In any window: at most the burst, the share of the window, and the one call that began last.
        #[test]
        fn calls_use_at_most_the_share_and_a_burst(
            share in 0.01_f64..4.0,
            calls in prop::collection::vec((0_u64..400, 1_u64..100), 1..80),
        ) {
            let start = Instant::now();
            let mut bucket = TimeBucket::new(share, start);
            let mut now = start;
            let mut made: Vec<(Instant, Duration)> = Vec::new();
            for (pause, took) in calls {
                now += pause as u32 * MS;
                if bucket.is_open(now) {
                    // A thread pool may run calls at the same time, so none of them takes wall time here.
                    bucket.take(now, took as u32 * MS);
                    // Debts of more than ten seconds are let off.
                    if took as f64 / 1000.0 / share < TimeBucket::LONGEST_WAIT {
                        made.push((now, took as u32 * MS));
                    }
                }
            }
            for (first, (from, _)) in made.iter().enumerate() {
                let mut used = 0.0;
                for (at, took) in &made[first..] {
                    let allowed = share * (TimeBucket::BURST + (*at - *from).as_secs_f64());
                    prop_assert!(used <= allowed + 1e-6, "{} of {}", used, allowed);
                    used += took.as_secs_f64();
                }
            }
        }
    }

    #[test]
    fn a_bucket_that_has_paid_opens_again_at_the_latest_after_ten_seconds() {
        let start = Instant::now();
        let mut bucket = TimeBucket::new(0.25, start);
        bucket.take(start, 100 * MS);
        assert!(bucket.is_open(start), "the burst");
        bucket.take(start, 50 * MS);
        assert!(!bucket.is_open(start + 199 * MS) && bucket.is_open(start + 200 * MS));
        bucket.take(start + 200 * MS, 60_000 * MS);
        assert!(!bucket.is_open(start + 10_199 * MS) && bucket.is_open(start + 10_200 * MS));
    }

    #[test]
    fn when_all_plugins_use_too_much_those_that_used_little_are_still_called() {
        let now = Instant::now();
        let total = TimeBucket::shared(1.0);
        let [mut hog, mut modest] = [(); 2].map(|()| TimeShares::new(1.0, TimeBucket::shared(0.5), total.clone(), now));
        hog.take(now, 150 * MS);
        modest.take(now, MS);
        assert_eq!((hog.exceeded(now), modest.exceeded(now)), (None, None));
        total.lock().take(now, 1000 * MS);
        assert_eq!((hog.exceeded(now), modest.exceeded(now)), (Some(OverShare::Total), None));
        hog.take(now, 60 * MS);
        assert_eq!(hog.exceeded(now), Some(OverShare::Tenant(0.5)));
    }
}
