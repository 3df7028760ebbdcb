//! How long a quote takes from its arrival to the sink, while the host is idle and while it is busy.
//!
//! ```sh
//! cargo bench --bench latency                    # 30 seconds per row
//! cargo bench --bench latency -- --seconds 5     # quicker, noisier
//! ```
//!
//! The real feed, router, tenant threads and tenant run in this process, against a simulator on its own thread. The sink
//! answers at once. Some symbols are *probes*: each is quoted on a schedule, less often than its interval, so every one of
//! its quotes can be written on arrival. A probe's latency counts from the time at which its quote was scheduled, whether
//! or not the sender kept to it, so a host (or a sender) that stalls counts with every quote that it delays.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod tenant;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quotegate_document::Value;
use quotegate_feed::{AuthBy, Credentials, Feed, FeedSettings, FeedStatus, system_clock};
use quotegate_market::{Quote, Symbol};
use quotegate_pace::Rate;
use quotegate_pipeline::clock::unix_now;
use quotegate_pipeline::router::Wanted;
use quotegate_plugin::PluginThreads;
use quotegate_sim::{SimHandle, SimSettings, Simulator, Universe};
use quotegate_sink::{DocumentWrite, Outcome};
use tenant::{INTERVAL, Setup, Tenant, tenant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two quotes of one probe.
const PROBE_EVERY: Duration = Duration::from_millis(1100);

/// The sender is awake this long before it sends, because the time that it takes to wake is not the host's.
const AWAKE_BEFORE: Duration = Duration::from_millis(1);

/// What arrives at the sink.
struct Written {
    symbol: String,
    event_time: i64,
    at: i64,
}

fn main() {
    let mut seconds = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = seconds.next().map_or(30.0, |seconds| seconds.parse().unwrap());
    println!("from a quote's arrival to the sink; one tenant; {seconds} s per row\n");
    println!("| host | what | samples | p50 | p90 | p99 | p99.9 | max |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut busy = Vec::new();
    for (name, symbols, probes, rate) in [("idle", 0, 20, 0.0), ("100,000 quotes/s, 200 symbols", 100, 100, 100_000.0)]
    {
        let written = measure(symbols, probes, rate, Duration::from_secs_f64(seconds));
        let probed = written.iter().filter(|written| written.symbol.starts_with("PROBE"));
        let latencies: Vec<i64> = probed.map(|written| written.at - written.event_time).collect();
        print_row(name, "arrival to sink", latencies.clone());
        print_row(name, "due to sink", late(&written));
        busy = latencies;
    }
    print_histogram(&busy);
}

/// How long after its interval each busy symbol was written again.
fn late(written: &[Written]) -> Vec<i64> {
    let mut last: HashMap<&str, i64> = HashMap::new();
    let mut late = Vec::new();
    for Written { symbol, at, .. } in written.iter().filter(|written| !written.symbol.starts_with("PROBE")) {
        if let Some(before) = last.insert(symbol, *at) {
            late.push(at - before - INTERVAL.as_nanos() as i64);
        }
    }
    late
}

fn print_row(host: &str, what: &str, mut nanos: Vec<i64>) {
    if nanos.is_empty() {
        return;
    }
    nanos.sort_unstable();
    let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize] as f64 / 1e6;
    println!(
        "| {host} | {what} | {} | {:.3} ms | {:.3} ms | {:.3} ms | {:.3} ms | {:.3} ms |",
        nanos.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn print_histogram(nanos: &[i64]) {
    const BOUNDS: [f64; 12] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, f64::INFINITY];
    println!("\nbusy host, arrival to sink:\n");
    let mut below = 0.0;
    for bound in BOUNDS {
        let count = nanos.iter().filter(|nanos| (below..bound).contains(&(**nanos as f64 / 1e6))).count();
        println!("{below:>6} to {bound:<5} ms {count:>6} {}", "#".repeat(count * 60 / nanos.len().max(1)));
        below = bound;
    }
}

/// Runs the host's parts, and returns everything that was written.
fn measure(busy: usize, probes: usize, rate: f64, time: Duration) -> Vec<Written> {
    let names = |prefix: &str, count: usize| -> Vec<Symbol> {
        (0..count).map(|at| Symbol::new(&format!("{prefix}{at}")).unwrap()).collect()
    };
    let (busy, probes) = (names("BUSY", busy), names("PROBE", probes));
    let stop = CancellationToken::new();
    let (address, sim) = simulator(busy.clone(), rate, stop.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let threads = PluginThreads::start(PluginThreads::default_count(), runtime.handle()).unwrap();
    let (writes, received) = mpsc::channel(100);
    let _runs = runtime.enter();
    let sink = runtime.spawn(sink(received));
    let setup = Setup {
        wanted: Wanted::Symbols(busy.iter().chain(&probes).cloned().collect()),
        budget: Rate::new(10_000.0, 1000).unwrap(),
        chain: None,
        writes,
        status: Arc::default(),
        counts_latencies: false,
    };
    let Tenant { mut router, task, deadline: _deadline } = tenant(setup, &stop);
    // The tenant ends when its handle is dropped.
    let tenant = threads.spawn(task.run());
    let (_subscription, subscription) = watch::channel(Arc::new(router.subscription()));
    let credentials = Credentials { key_id: "key".into(), secret_key: "secret".into(), by: AuthBy::Message };
    let feed = Feed {
        settings: FeedSettings::new(format!("ws://{address}/v2/iex"), credentials).unwrap(),
        subscription,
        status: Arc::new(FeedStatus::default()),
        clock: system_clock(),
        snapshots: None,
        tap: None,
        stop: stop.clone(),
    };
    let feed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(feed.run(&mut router)).unwrap();
    });
    while sim.subscribed().len() < busy.len() + probes.len() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // The first quote of every busy symbol.
    std::thread::sleep(Duration::from_secs(2));
    send_probes(&sim, &probes, time);
    stop.cancel();
    feed.join().unwrap();
    drop((tenant, threads));
    runtime.block_on(sink).unwrap()
}

/// Sends each probe's quotes at their times, and never skips one that is late.
fn send_probes(sim: &SimHandle, probes: &[Symbol], time: Duration) {
    let (began, began_unix) = (Instant::now(), unix_now());
    let step = PROBE_EVERY / u32::try_from(probes.len()).unwrap();
    for number in 0.. {
        let after = step * number;
        if after >= time {
            break;
        }
        std::thread::sleep(after.saturating_sub(began.elapsed() + AWAKE_BEFORE));
        while began.elapsed() < after {
            std::hint::spin_loop();
        }
        let event_time = began_unix + after.as_nanos() as i64;
        let quote =
            Quote { bid_price: 10.0, bid_size: 1.0, ask_price: 10.5, ask_size: 1.0, event_time, ..Quote::default() };
        sim.send_quote(&probes[number as usize % probes.len()], &quote);
    }
    std::thread::sleep(Duration::from_millis(200));
}

fn simulator(symbols: Vec<Symbol>, rate: f64, stop: CancellationToken) -> (SocketAddr, SimHandle) {
    let universe = if symbols.is_empty() { Universe::Count(1) } else { Universe::List(symbols) };
    let settings = SimSettings { universe, rate: quotegate_sim::Rate::PerSecond(rate), ..SimSettings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let simulator = runtime.block_on(Simulator::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings)).unwrap();
    let (address, handle) = (simulator.local_addr(), simulator.handle());
    std::thread::spawn(move || runtime.block_on(simulator.run(stop)));
    (address, handle)
}

async fn sink(mut received: mpsc::Receiver<DocumentWrite>) -> Vec<Written> {
    let mut all = Vec::new();
    while let Some(write) = received.recv().await {
        let at = unix_now();
        let fields = &write.target.document.fields;
        let ts = fields.iter().find(|field| field.path.as_str() == "ts").unwrap();
        let Value::Timestamp(event_time) = ts.value else { panic!("ts is a timestamp") };
        all.push(Written { symbol: write.target.document.key.id().to_owned(), event_time, at });
        write.answer(Outcome::Written);
    }
    all
}
