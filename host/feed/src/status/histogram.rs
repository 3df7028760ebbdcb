use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::add;

/// A histogram in powers of two: bucket `i` counts values `v` with `2^(i-1) <= v < 2^i`, bucket 0 counts zeros, the
/// last bucket everything above.
#[derive(Debug, Default)]
pub(super) struct LogHistogram([AtomicU64; 32]);

impl LogHistogram {
    pub(super) fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        add(&self.0[bucket.min(31)], 1, Relaxed);
    }

    /// The counts, without trailing zeros.
    pub(super) fn counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> = self.0.iter().map(|count| count.load(Relaxed)).collect();
        let used = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        counts.truncate(used);
        counts
    }
}
