use std::time::{Duration, Instant};

use anyhow::Result;

use super::workload::MapQuotes;
use super::{FILTER_BATCHES, MAP_BATCHES, Subject, failed_call};

/// The number of rounds, and the minimum for plugins so slow that the rounds take longer than [`MAX_TIME`].
const MAX_ROUNDS: usize = 101;
const MIN_ROUNDS: usize = 5;
const MAX_TIME: Duration = Duration::from_millis(700);
/// Quotes per round. With a fast plugin, a round takes well under a millisecond.
const FILTERED: usize = 1024;
const MAPPED: usize = 128;

/// Nanoseconds of instantiate and configure.
pub(super) fn start(subject: &Subject<'_>) -> Result<f64> {
    drop(subject.start()?);
    rounds(|| {
        let started = Instant::now();
        let instance = subject.start()?;
        let took = started.elapsed();
        drop(instance);
        Ok(took.as_nanos() as f64)
    })
}

/// Nanoseconds per quote for each batch size; empty without a filter.
pub(super) fn filter(subject: &Subject<'_>) -> Result<Vec<f64>> {
    let sizes = FILTER_BATCHES.iter().filter(|_| subject.plugin.filters());
    sizes.map(|quotes| filter_at(subject, *quotes)).collect()
}

fn filter_at(subject: &Subject<'_>, quotes: usize) -> Result<f64> {
    let mut instance = subject.start()?;
    let mut cursor = subject.workload.cursor();
    let names = subject.workload.names();
    let calls = (FILTERED / quotes).max(4);
    rounds(|| {
        let batches: Vec<_> = (0..calls).map(|_| cursor.batch(quotes)).collect();
        let started = Instant::now();
        for batch in &batches {
            instance.filter(batch, names).map_err(failed_call("filter", quotes))?;
        }
        Ok(started.elapsed().as_nanos() as f64 / (calls * quotes) as f64)
    })
}

/// Nanoseconds per quote for each batch size; empty without a map, or if the plugin's filter keeps nothing.
pub(super) fn map(subject: &Subject<'_>) -> Result<Vec<f64>> {
    let sizes = MAP_BATCHES.iter().filter(|_| subject.plugin.maps());
    let times = sizes.map(|quotes| map_at(subject, *quotes)).collect::<Result<Option<_>>>()?;
    Ok(times.unwrap_or_default())
}

fn map_at(subject: &Subject<'_>, quotes: usize) -> Result<Option<f64>> {
    let mut instance = subject.start()?;
    let mut kept = MapQuotes::new(subject.workload, subject.plugin);
    if kept.batch(&mut instance, 1)?.is_none() {
        return Ok(None);
    }
    let calls = (MAPPED / quotes).max(4);
    let time = rounds(|| {
        let mut batches = Vec::with_capacity(calls);
        for _ in 0..calls {
            batches.extend(kept.batch(&mut instance, quotes)?);
        }
        let started = Instant::now();
        for batch in &batches {
            instance.documents(batch, &subject.setup.collections).map_err(failed_call("map", quotes))?;
        }
        Ok(started.elapsed().as_nanos() as f64 / (calls * quotes) as f64)
    })?;
    Ok(Some(time))
}

/// The median of the rounds, after one to warm up.
fn rounds(mut round: impl FnMut() -> Result<f64>) -> Result<f64> {
    round()?;
    let began = Instant::now();
    let mut times = Vec::with_capacity(MAX_ROUNDS);
    while times.len() < MIN_ROUNDS || (times.len() < MAX_ROUNDS && began.elapsed() < MAX_TIME) {
        times.push(round()?);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
