//! Documents a second into Google's emulator: ours, with and without the fence, beside google-cloud-firestore's batch.
//!
//! ```sh
//! QUOTEGATE_TEST_PYTHON=$PWD/target/tools cargo bench -p quotegate-sink --bench documents
//! cargo bench -p quotegate-sink --bench documents -- --rounds 3 --documents 3000   # quicker, noisier
//! ```
//!
//! `tests/run --all` installs the Python client in target/tools. Both write the same documents, twelve fields each, merged
//! into what is there, from values to the last answer. They take turns, so that whatever else the machine does hits
//! both, and the medians of the rounds are compared; with and without the fence, the two runs of a round. The emulator is a program of its own on the same machine and may
//! be the limit: the processor time that the client takes for a document says what the client itself could do. What the
//! fence reads after a start, one document each, is not in the measured time. What the fence costs by itself is measured with
//! a sink that answers at once.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quotegate_document::{Document, DocumentKey, Field, FieldPath, TenantId, Value};
use quotegate_sink::{
    Batcher, BatcherSettings, ConditionalWrite, DocumentRead, DocumentReader, DocumentWrite, FenceSettings,
    FirestoreSettings, FirestoreSink, Outcome, ReadFuture, Sink, SinkStatus, StoredDocument, TenantDocument, Version,
    WriteFuture, WriteMode, WriteResult,
};
use quotegate_test_support::emulator_or_skip;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A round writes this many different documents over and over; batch.py does the same.
const SYMBOLS: usize = 2000;

#[derive(Clone, Copy)]
enum Client {
    /// Documents in a request, requests in flight, and whether writes are fenced.
    Ours(usize, usize, bool),
    /// Documents in a commit; it has one in flight.
    Python(usize),
}

#[derive(Clone, Copy)]
struct Measured {
    documents_a_second: f64,
    client_micros_a_document: f64,
}

fn main() {
    let (rounds, documents) = (argument("--rounds", 5), argument("--documents", 10_000));
    let Some(emulator) = emulator_or_skip() else { return };
    let python =
        std::env::var_os("QUOTEGATE_TEST_PYTHON").map(|tools| PathBuf::from(tools).join("firestore_py/bin/python"));
    // The first of ours is what the host does by default; 500 is the most that Firestore takes.
    let shapes = [(100, 4), (100, 8), (500, 4), (20, 4)];
    let mut clients: Vec<_> = shapes
        .into_iter()
        .flat_map(|(batch, in_flight)| [true, false].map(|fenced| Client::Ours(batch, in_flight, fenced)))
        .collect();
    if python.is_some() {
        clients.extend([Client::Python(100), Client::Python(500)]);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut measured = vec![Vec::new(); clients.len()];
    // One round more, which does not count: the emulator compiles itself while it runs.
    for round in 0..=rounds {
        let mut turns: Vec<_> = clients.iter().zip(&mut measured).collect();
        // Whoever comes first finds the emulator as the other one has left it.
        if round % 2 == 1 {
            turns.reverse();
        }
        for (client, measured) in turns {
            let one = match client {
                Client::Ours(batch, in_flight, fenced) => {
                    runtime.block_on(ours(emulator.host(), *batch, *in_flight, *fenced, documents))
                }
                Client::Python(batch) => theirs(python.as_ref().unwrap(), &emulator.host(), *batch, documents),
            };
            if round > 0 {
                measured.push(one);
            }
        }
    }

    println!("{documents} documents a round, medians of {rounds} rounds\n");
    println!(
        "| client | documents a request × requests in flight | documents/s (least, most) | client's processor time a document |"
    );
    println!("|---|---|---|---|");
    // The run with the fence and the one without it of each round.
    let pairs: Vec<Vec<(Measured, Measured)>> = (0..shapes.len())
        .map(|at| measured[2 * at].iter().copied().zip(measured[2 * at + 1].iter().copied()).collect())
        .collect();
    let mut best = [0.0; 2];
    let mut cheapest = [f64::INFINITY; 2];
    for (client, measured) in clients.iter().zip(&mut measured) {
        let (whose, name, shape) = match client {
            Client::Ours(batch, in_flight, true) => (0, "quotegate", format!("{batch} × {in_flight}")),
            Client::Ours(batch, in_flight, false) => {
                (0, "quotegate, without the fence", format!("{batch} × {in_flight}"))
            }
            Client::Python(batch) => (1, "google-cloud-firestore", format!("{batch} × 1")),
        };
        let (least, rate, most) = spread(measured, |one| one.documents_a_second);
        let (_, micros, _) = spread(measured, |one| one.client_micros_a_document);
        println!("| {name} | {shape} | {rate:.0} ({least:.0}, {most:.0}) | {micros:.1} µs |");
        best[whose] = f64::max(best[whose], rate);
        cheapest[whose] = f64::min(cheapest[whose], micros);
    }
    let (_, defaults, _) = spread(&mut measured[0], |one| one.documents_a_second);
    for ((batch, in_flight), pairs) in shapes.into_iter().zip(&pairs) {
        print_ratio(&format!("{batch} × {in_flight}"), pairs);
    }
    print_ratio("all of them", &pairs.concat());
    let alone = |fenced| {
        let run = |_| {
            runtime
                .block_on(measure(Arc::new(Nowhere(AtomicI64::new(0))), 100, 4, fenced, 100_000))
                .client_micros_a_document
        };
        median((0..2 * rounds).map(run))
    };
    println!("without Firestore, in the client: {:.2} µs a document fenced, {:.2} µs not", alone(true), alone(false));
    if python.is_some() {
        println!(
            "\nbeside their best: our defaults {:.1} times the documents a second, our best {:.1} times, with 1/{:.0} of \
             the processor time",
            defaults / best[1],
            best[0] / best[1],
            cheapest[1] / cheapest[0],
        );
    } else {
        println!("\ngoogle-cloud-firestore: not measured, QUOTEGATE_TEST_PYTHON is not set");
    }
}

fn argument(name: &str, default: usize) -> usize {
    let mut rest = std::env::args().skip_while(|argument| argument != name).skip(1);
    rest.next().map_or(default, |value| value.parse().expect("a number"))
}

fn print_ratio(shape: &str, pairs: &[(Measured, Measured)]) {
    let ratio = |of: fn(&Measured) -> f64| median(pairs.iter().map(|(fenced, plain)| of(fenced) / of(plain)));
    println!(
        "fenced, {shape}: {:.3} of the documents a second and {:.3} of the processor time without the fence",
        ratio(|one| one.documents_a_second),
        ratio(|one| one.client_micros_a_document)
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Least, median and most.
fn spread(measured: &mut [Measured], of: fn(&Measured) -> f64) -> (f64, f64, f64) {
    measured.sort_by(|left, right| of(left).total_cmp(&of(right)));
    (of(&measured[0]), of(&measured[measured.len() / 2]), of(measured.last().unwrap()))
}

async fn ours(host: String, batch_size: usize, max_in_flight: usize, fenced: bool, documents: usize) -> Measured {
    let request_timeout = Duration::from_secs(60);
    let settings = FirestoreSettings {
        project_id: Some("demo-bench".to_owned()),
        database_id: "(default)".to_owned(),
        emulator_host: Some(host),
        credentials_file: None,
        request_timeout,
        mode: WriteMode::Merge,
    };
    let sink = FirestoreSink::connect(settings).await.expect("the emulator runs");
    measure(Arc::new(sink), batch_size, max_in_flight, fenced, documents).await
}

/// Answers at once, so that only what the batcher and the fence do is measured.
struct Nowhere(AtomicI64);

impl Sink for Nowhere {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        let version = Version(self.0.fetch_add(1, Relaxed));
        Box::pin(std::future::ready(vec![WriteResult::Written(Some(version)); writes.len()]))
    }
}

impl DocumentReader for Nowhere {
    fn read<'a>(&'a self, reads: &'a [DocumentRead<'a>]) -> ReadFuture<'a> {
        let absent = StoredDocument { version: None, order: None, age: None };
        Box::pin(std::future::ready(vec![Ok(absent); reads.len()]))
    }
}

async fn measure(
    sink: Arc<impl Sink + DocumentReader + 'static>,
    batch_size: usize,
    max_in_flight: usize,
    fenced: bool,
    documents: usize,
) -> Measured {
    let (flush_interval, request_timeout) = (Duration::from_millis(200), Duration::from_secs(60));
    let settings =
        BatcherSettings { batch_size, max_in_flight, flush_interval, request_timeout, limit: None, ramp: false };
    let (writes, received) = mpsc::channel(4 * batch_size);
    let (answer_to, mut answers) = mpsc::unbounded_channel();
    let mut batcher = Batcher::new(sink.clone(), settings, Arc::new(SinkStatus::default()));
    if fenced {
        batcher = batcher.fenced(sink, FenceSettings::default());
    }
    let batcher = tokio::spawn(batcher.run(received, CancellationToken::new()));

    // Later than every document of the rounds before.
    let first = FIRST.fetch_add(SYMBOLS + documents, Relaxed);
    let mut written = async |numbers: std::ops::Range<usize>| {
        let (writes, answer_to, count) = (writes.clone(), answer_to.clone(), numbers.len());
        let sender = tokio::spawn(async move {
            for number in numbers {
                let (target, event_time) = document(number);
                let write = DocumentWrite {
                    target,
                    event_time,
                    min_interval: Duration::ZERO,
                    ticket: 0,
                    answer_to: answer_to.clone(),
                };
                writes.send(write).await.expect("the batcher listens");
            }
        });
        for _ in 0..count {
            assert_eq!(answers.recv().await.expect("an answer").outcome, Outcome::Written);
        }
        sender.await.unwrap();
    };
    // Opens the connection, and reads every document for the fence.
    written(first..first + SYMBOLS).await;
    let (began, processor) = (Instant::now(), processor_time());
    written(first + SYMBOLS..first + SYMBOLS + documents).await;
    let (took, processor) = (began.elapsed(), processor_time() - processor);
    drop(writes);
    batcher.await.unwrap();
    Measured {
        documents_a_second: documents as f64 / took.as_secs_f64(),
        client_micros_a_document: 1e6 * processor.as_secs_f64() / documents as f64,
    }
}

/// The number of the next round's first document.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// What the host makes of a quote, and the quote's time.
fn document(number: usize) -> (TenantDocument, i64) {
    let symbol = format!("S{:04}", number % SYMBOLS);
    let field = |path, value| Field { path: FieldPath::literal(path), value };
    let bid = number as f64 / 100.0;
    let ask = bid + 0.01;
    let time = 1_700_000_000_000_000_000 + 1_000_000 * i64::try_from(number).unwrap();
    let fields = vec![
        field("symbol", Value::Text(symbol.clone().into())),
        field("bid", Value::Double(bid)),
        field("ask", Value::Double(ask)),
        field("price", Value::Double(bid.midpoint(ask))),
        field("bid_size", Value::Double(100.0)),
        field("ask_size", Value::Double(200.0)),
        field("ts", Value::Timestamp(time)),
        field("updated_at", Value::Timestamp(time)),
        field("source", Value::Text("alpaca".into())),
        field("bid_price", Value::Double(bid)),
        field("ask_price", Value::Double(ask)),
        field("last_update_ts", Value::Timestamp(time)),
    ];
    let key = DocumentKey::new("live_quotes", symbol).unwrap();
    (TenantDocument { tenant: TenantId::new("bench").unwrap(), document: Document { key, fields } }, time)
}

fn theirs(python: &PathBuf, host: &str, batch: usize, documents: usize) -> Measured {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/firestore_py/batch.py");
    let number = |number: usize| number.to_string();
    let output = Command::new(python)
        .args([script, "--project", "demo-bench", "--symbols", &number(SYMBOLS)])
        .args(["--batch", &number(batch), "--documents", &number(documents)])
        .env("FIRESTORE_EMULATOR_HOST", host)
        .stderr(Stdio::inherit())
        .output()
        .expect("python starts");
    assert!(output.status.success(), "batch.py failed");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let number = |name: &str| result[name].as_f64().expect(name);
    Measured {
        documents_a_second: documents as f64 / number("seconds"),
        client_micros_a_document: 1e6 * number("processor_seconds") / documents as f64,
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
