//! What the processes tell each other, and what is printed of it.

use std::fmt::Write;
use std::time::Duration;

use quotegate_relay::{PublisherSnapshot, SubscriberSnapshot};
use serde::{Deserialize, Serialize};

use crate::Disturbance;
use crate::histogram::Histogram;

/// Without a relay.
#[derive(Serialize, Deserialize)]
pub(crate) struct InProcess {
    pub(crate) quotes: u64,
    pub(crate) seconds: f64,
    pub(crate) processor: f64,
    pub(crate) latencies: Histogram,
}

/// What the reader tells at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reader {
    pub(crate) counts: PublisherSnapshot,
    pub(crate) seconds: f64,
    pub(crate) processor: f64,
    pub(crate) longest_receive: Duration,
    pub(crate) longest_turn: Duration,
    /// Of the newest time of each symbol.
    pub(crate) digest: u64,
}

/// A tenth of a second of a worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) began: i64,
    pub(crate) ended: i64,
    pub(crate) latencies: Histogram,
    pub(crate) backwards: u64,
    /// Seconds since the worker began.
    pub(crate) processor: f64,
    /// Since the worker began.
    pub(crate) counts: SubscriberSnapshot,
    /// Of the newest time of each symbol, at the end.
    pub(crate) digest: u64,
}

impl Window {
    pub(crate) fn begin() -> Self {
        Self {
            began: crate::now(),
            ended: 0,
            latencies: Histogram::default(),
            backwards: 0,
            processor: 0.0,
            counts: SubscriberSnapshot::default(),
            digest: 0,
        }
    }
}

pub(crate) struct Report {
    pub(crate) reader: Reader,
    pub(crate) workers: Vec<Vec<Window>>,
    /// From when to when something was disturbed.
    pub(crate) disturbed: Option<(i64, i64)>,
}

pub(crate) fn print_head() {
    println!(
        "| row | quotes/s | conflated | lost | batches seen missing | last quotes | backwards | p50 | p99 | p99.9 | reader per quote | worker per quote | \
         bytes per quote | quotes per message | longest receive | longest turn |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
}

pub(crate) fn print_in_process(report: &InProcess) {
    let InProcess { quotes, seconds, processor, latencies } = report;
    println!(
        "| in one process | {:.0} | | | | | | {} | {:.0} ns | | | | | |",
        *quotes as f64 / seconds,
        percentiles(latencies),
        processor / *quotes as f64 * 1e9,
    );
}

fn percentiles(latencies: &Histogram) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| latencies.percentile(part));
    format!("{p50:.2} ms | {p99:.2} ms | {p999:.2} ms")
}

pub(crate) fn print(name: &str, report: &Report) {
    let Reader { counts, seconds, processor, longest_receive, longest_turn, digest } = &report.reader;
    let mut latencies = Histogram::default();
    let (mut lost, mut missed, mut worker_processor, mut worker_quotes) = (0, 0, 0.0, 0);
    let (mut backwards, mut wrong) = (0, 0);
    for windows in &report.workers {
        let last = windows.last().unwrap();
        lost += counts.quotes as i64 - (last.counts.quotes + last.counts.old + last.counts.unnamed) as i64;
        missed += last.counts.missed_batches;
        worker_processor += last.processor;
        worker_quotes += last.counts.quotes;
        wrong += u32::from(last.digest != *digest);
        for window in windows {
            latencies.add(&window.latencies);
            backwards += window.backwards;
        }
    }
    // What a disturbance takes away is not lost: snapshots make up for it.
    let lost = if report.disturbed.is_some() { String::new() } else { lost.to_string() };
    let right = if wrong == 0 { "all there".to_owned() } else { format!("missing at {wrong} workers") };
    println!(
        "| {name} | {:.0} | {} | {lost} | {missed} | {right} | {backwards} | {} | {:.0} ns | {:.0} ns | {:.1} | {:.0} | {:.2?} | {:.2?} |",
        counts.received as f64 / seconds,
        counts.conflated,
        percentiles(&latencies),
        processor / counts.received as f64 * 1e9,
        worker_processor / worker_quotes as f64 * 1e9,
        counts.bytes as f64 / counts.quotes as f64,
        counts.quotes as f64 / counts.batches as f64,
        longest_receive,
        longest_turn,
    );
}

/// What the row does not show: the others meanwhile, and how soon all was well again.
pub(crate) fn remark<'a>(disturbance: Disturbance, report: &'a Report) -> String {
    let (began, ended) = report.disturbed.unwrap();
    let seconds = |time: i64| format!("{:.2} s", (time - ended) as f64 / 1e9);
    let affected = match disturbance {
        Disturbance::WorkerFrozen => &report.workers[..1],
        Disturbance::BrokerKilled | Disturbance::BrokerFrozen => &report.workers[..],
    };
    let after = |windows: &'a [Window]| windows.iter().filter(move |window| window.began > ended);
    let flows = affected.iter().filter_map(|windows| after(windows).next()).map(|window| window.began).max();
    let behind = |window: &&Window| window.counts.waiting > 0 || window.latencies.percentile(0.5) > 100.0;
    let last_behind = affected.iter().filter_map(|windows| after(windows).rfind(behind));
    let well = last_behind.map(|window| window.ended).max().max(flows);
    let mut text = format!(
        "{}: quotes flow again after {}, and nothing is missing after {}",
        disturbance.name(),
        flows.map_or("never".to_owned(), seconds),
        well.map_or("never".to_owned(), seconds),
    );
    if disturbance == Disturbance::WorkerFrozen {
        let mut meanwhile = Histogram::default();
        for window in report.workers[1..].iter().flatten() {
            if window.ended > began && window.began < ended {
                meanwhile.add(&window.latencies);
            }
        }
        let [p50, p99] = [0.5, 0.99].map(|part| meanwhile.percentile(part));
        let _ = write!(text, "; the others meanwhile: p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    text
}
