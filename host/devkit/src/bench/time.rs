use std::time::{Duration, Instant};

use super::workload::Kept;
use super::{BenchError, FILTER_BATCHES, MAP_BATCHES, Subject, failed};

/// Rounds of one measurement, and the fewest for a plugin so slow that they take longer than [`ENOUGH`].
const MOST_ROUNDS: usize = 101;
const FEWEST_ROUNDS: usize = 5;
const ENOUGH: Duration = Duration::from_millis(700);
/// Quotes in a round: of a fast plugin it then takes well under a millisecond.
const FILTERED: usize = 1024;
const MAPPED: usize = 128;

/// Nanoseconds of instantiate and configure.
pub(super) fn start(subject: &Subject<'_>) -> Result<f64, BenchError> {
    drop(subject.start()?);
    rounds(|| {
        let started = Instant::now();
        let instance = subject.start()?;
        let took = started.elapsed();
        drop(instance);
        Ok(took.as_nanos() as f64)
    })
}

/// Nanoseconds a quote for each of the batch sizes; none without a filter.
pub(super) fn filter(subject: &Subject<'_>) -> Result<Vec<f64>, BenchError> {
    let sizes = FILTER_BATCHES.iter().filter(|_| subject.plugin.filters());
    sizes.map(|quotes| filter_at(subject, *quotes)).collect()
}

fn filter_at(subject: &Subject<'_>, quotes: usize) -> Result<f64, BenchError> {
    let mut instance = subject.start()?;
    let mut runner = subject.workload.runner();
    let names = subject.workload.names();
    let calls = (FILTERED / quotes).max(4);
    rounds(|| {
        let batches: Vec<_> = (0..calls).map(|_| runner.batch(quotes)).collect();
        let started = Instant::now();
        for batch in &batches {
            instance.filter(batch, names).map_err(failed("filter", quotes))?;
        }
        Ok(started.elapsed().as_nanos() as f64 / (calls * quotes) as f64)
    })
}

/// Nanoseconds a quote for each of the batch sizes; none without a map, or where the plugin's own filter keeps nothing.
pub(super) fn map(subject: &Subject<'_>) -> Result<Vec<f64>, BenchError> {
    let sizes = MAP_BATCHES.iter().filter(|_| subject.plugin.maps());
    let times = sizes.map(|quotes| map_at(subject, *quotes)).collect::<Result<Option<_>, _>>()?;
    Ok(times.unwrap_or_default())
}

fn map_at(subject: &Subject<'_>, quotes: usize) -> Result<Option<f64>, BenchError> {
    let mut instance = subject.start()?;
    let mut kept = Kept::new(subject.workload, subject.plugin);
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
            instance.documents(batch, &subject.setup.collections).map_err(failed("map", quotes))?;
        }
        Ok(started.elapsed().as_nanos() as f64 / (calls * quotes) as f64)
    })?;
    Ok(Some(time))
}

/// The median of rounds; the first is for warming up.
fn rounds(mut round: impl FnMut() -> Result<f64, BenchError>) -> Result<f64, BenchError> {
    round()?;
    let began = Instant::now();
    let mut times = Vec::with_capacity(MOST_ROUNDS);
    while times.len() < FEWEST_ROUNDS || (times.len() < MOST_ROUNDS && began.elapsed() < ENOUGH) {
        times.push(round()?);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
