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
    longest: [i64; 2],
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
        let (time, began) = (Instant::now(), self.half_began);
        if began.is_none_or(|began| time.duration_since(began) >= Self::HALF) {
            self.half_began = Some(time);
            self.longest = [lag, self.longest[0]];
        }
        self.longest[0] = self.longest[0].max(lag);
        self.snapshot.max_lag = Some(self.longest[0].max(self.longest[1]));
    }

    /// So many batches are missing, which may be none.
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
