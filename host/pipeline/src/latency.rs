//! How long quotes take through the host, in histograms.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets, in seconds. One more bucket counts what is above them.
pub const BOUNDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Times from a quote's arrival to one later point. Written by all tenants.
#[derive(Debug, Default)]
pub struct Latency {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// How long quotes take after their arrival.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Until the sink has their documents.
    pub to_sink: Latency,
    /// Until it has confirmed them.
    pub to_commit: Latency,
}

/// The counts at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LatencySnapshot {
    /// One per bound in [`BOUNDS`], and one for what is above them.
    pub counts: Vec<u64>,
    /// The sum of all times.
    pub seconds: f64,
}

impl Latency {
    /// Counts a quote that arrived at `received_time`. If the clock was set back, the time counts as zero.
    pub fn record(&self, received_time: UnixNanos, now: UnixNanos) {
        let took = Duration::from_nanos(now.saturating_sub(received_time).max(0).unsigned_abs());
        let bucket = BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The counts now.
    pub fn snapshot(&self) -> LatencySnapshot {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        LatencySnapshot { counts, seconds: self.micros.load(Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_holds_it() {
        let latency = Latency::default();
        for millis in [0, 1, 2, 3, 60_000] {
            latency.record(5, 5 + millis * 1_000_000);
        }
        latency.record(10, 5);
        let snapshot = latency.snapshot();
        assert_eq!((snapshot.counts[0], &snapshot.counts[5..8]), (2, &[1, 1, 1][..]));
        assert_eq!((snapshot.counts[BOUNDS.len()], snapshot.seconds), (1, 60.006));
    }
}
