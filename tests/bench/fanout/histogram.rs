//! Latencies, each to within two percent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many there were in each bucket. Bucket `n` begins at 1.02^n microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Histogram(BTreeMap<i32, u64>);

impl Histogram {
    pub(crate) fn record(&mut self, nanos: i64) {
        let bucket = ((nanos.max(1) as f64 / 1000.0).ln() / 1.02_f64.ln()).floor() as i32;
        *self.0.entry(bucket).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// In milliseconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let total: u64 = self.0.values().sum();
        let mut before = 0;
        for (bucket, count) in &self.0 {
            before += count;
            if before as f64 >= part * total as f64 {
                return 1.02_f64.powi(bucket + 1) / 1000.0;
            }
        }
        f64::NAN
    }
}
