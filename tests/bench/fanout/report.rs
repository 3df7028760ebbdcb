//! What the processes tell each other, and what is printed of it.

use std::time::Duration;

use quotegate_relay::{PublisherSnapshot, SubscriberSnapshot};
use serde::{Deserialize, Serialize};

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
        }
    }
}

pub(crate) struct Report {
    pub(crate) reader: Reader,
    pub(crate) workers: Vec<Vec<Window>>,
    /// When the first worker was frozen and when it ran on.
    pub(crate) frozen: Option<(i64, i64)>,
}

pub(crate) fn print_head() {
    println!(
        "| row | quotes/s | conflated | lost | backwards | p50 | p99 | p99.9 | reader per quote | worker per quote | \
         bytes per quote | quotes per message | longest receive | longest turn |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
}

pub(crate) fn print_in_process(report: &InProcess) {
    let InProcess { quotes, seconds, processor, latencies } = report;
    println!(
        "| in one process | {:.0} | | | | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} ns | | | | | |",
        *quotes as f64 / seconds,
        latencies.percentile(0.5),
        latencies.percentile(0.99),
        latencies.percentile(0.999),
        processor / *quotes as f64 * 1e9,
    );
}

pub(crate) fn print(name: &str, report: &Report) {
    let Reader { counts, seconds, processor, longest_receive, longest_turn } = &report.reader;
    // The frozen one has its own line.
    let others = &report.workers[usize::from(report.frozen.is_some())..];
    let mut latencies = Histogram::default();
    let (mut lost, mut worker_processor, mut worker_quotes, mut backwards) = (0, 0.0, 0, 0);
    for windows in others {
        let last = &windows.last().unwrap();
        lost += counts.quotes as i64 - (last.counts.quotes + last.counts.old + last.counts.unnamed) as i64;
        worker_processor += last.processor;
        worker_quotes += last.counts.quotes;
        for window in windows {
            latencies.add(&window.latencies);
            backwards += window.backwards;
        }
    }
    println!(
        "| {name} | {:.0} | {} | {lost} | {backwards} | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} ns | {:.0} ns | {:.1} | {:.0} | {:.2?} | {:.2?} |",
        counts.received as f64 / seconds,
        counts.conflated,
        latencies.percentile(0.5),
        latencies.percentile(0.99),
        latencies.percentile(0.999),
        processor / counts.received as f64 * 1e9,
        worker_processor / worker_quotes as f64 * 1e9,
        counts.bytes as f64 / counts.quotes as f64,
        counts.quotes as f64 / counts.batches as f64,
        longest_receive,
        longest_turn,
    );
}

/// The others while one stands still, and that one afterwards.
pub(crate) fn print_slow(report: &Report) {
    let Some((frozen, thawed)) = report.frozen else { return };
    let mut meanwhile = Histogram::default();
    for window in report.workers[1..].iter().flatten() {
        if window.ended > frozen && window.began < thawed {
            meanwhile.add(&window.latencies);
        }
    }
    let caught_up = report.workers[0].iter().find(|window| {
        window.began > thawed && window.counts.waiting == 0 && window.latencies.percentile(0.99) < 100.0
    });
    let last = &report.workers[0].last().unwrap().counts;
    let backwards: u64 = report.workers[0].iter().map(|window| window.backwards).sum();
    println!(
        "\nthe others meanwhile: p50 {:.2} ms, p99 {:.2} ms; the worker that stood still was up to date {} after it ran on, \
         with {} gaps and {} snapshots, {backwards} quotes backwards",
        meanwhile.percentile(0.5),
        meanwhile.percentile(0.99),
        caught_up.map_or("never".to_owned(), |window| format!("{:.2} s", (window.began - thawed) as f64 / 1e9)),
        last.gaps,
        last.snapshots,
    );
}
