use std::time::Duration;

use quotegate_market::UnixNanos;
use tokio::time::Instant;

use crate::follower::Delivery;
use crate::status::SubscriberSnapshot;

/// The counters while the subscriber runs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) snapshot: SubscriberSnapshot,
    /// The longest lags of the current and the previous half of the window.
    longest: [Option<i64>; 2],
    half_began: Option<Instant>,
}

impl Counts {
    /// The longest lag is that of the last five to ten seconds.
    const HALF: Duration = Duration::from_secs(5);

    pub(super) fn count_batch(&mut self, bytes: usize, published: UnixNanos, now: UnixNanos) {
        let lag = now.saturating_sub(published);
        self.snapshot.batches += 1;
        self.snapshot.bytes += bytes as u64;
        self.snapshot.lag = Some(lag);
        self.snapshot.last_received_time = Some(now);
        self.longest[0] = self.longest[0].max(Some(lag));
    }

    /// The longest lag so far belongs to the past, sooner or later.
    pub(super) fn roll(&mut self, now: Instant) {
        if self.half_began.is_none_or(|began| now.duration_since(began) >= Self::HALF) {
            self.half_began = Some(now);
            self.longest = [None, self.longest[0]];
        }
        self.snapshot.max_lag = self.longest[0].max(self.longest[1]);
    }

    /// This many batches are missing, which may be none.
    pub(super) fn count_gap(&mut self, missed: u64) {
        self.snapshot.gaps += u64::from(missed > 0);
        self.snapshot.missed_batches += missed;
    }

    pub(super) fn count_snapshot(&mut self, bytes: usize) {
        self.snapshot.snapshots += 1;
        self.snapshot.bytes += bytes as u64;
    }

    pub(super) fn count_snapshot_delivery(&mut self, delivery: Delivery) {
        self.snapshot.snapshot_quotes += delivery.delivered as u64;
        self.count_undelivered(delivery);
    }

    pub(super) fn count_delivery(&mut self, delivery: Delivery) {
        self.snapshot.quotes += delivery.delivered as u64;
        self.count_undelivered(delivery);
    }

    fn count_undelivered(&mut self, delivery: Delivery) {
        self.snapshot.old += delivery.old as u64;
        self.snapshot.unnamed += delivery.unnamed as u64;
        self.snapshot.no_room += delivery.no_room as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_lag_is_forgotten_after_ten_seconds() {
        let (mut counts, begin) = (Counts::default(), Instant::now());
        let max_lag = |counts: &mut Counts, seconds| {
            counts.roll(begin + Duration::from_secs(seconds));
            counts.snapshot.max_lag
        };
        assert_eq!(max_lag(&mut counts, 0), None);
        counts.count_batch(1, 10, 50);
        counts.count_batch(1, 10, 30);
        assert_eq!(max_lag(&mut counts, 4), Some(40));
        counts.count_batch(1, 10, 17);
        assert_eq!(max_lag(&mut counts, 9), Some(40));
        assert_eq!(max_lag(&mut counts, 14), None);
    }
}
