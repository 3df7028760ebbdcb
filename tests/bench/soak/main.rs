//! A long run with a fault every minute: memory stays flat, no write is lost or goes backwards, every quote is counted.
//!
//! ```sh
//! cargo bench --bench soak                   # eighteen minutes: every fault twice
//! cargo bench --bench soak -- --minutes 60
//! cargo bench --bench soak -- --hosts 3 --minutes 30
//! cargo bench --bench soak -- --relay --minutes 20
//! ```
//!
//! Runs the real program with a simulator that sends 50,000 quotes per second for 1,000 symbols, and a Firestore that
//! fails on command (`faults.rs`). Three tenants want every symbol: one filters, one maps, and one has a plugin that is
//! replaced by one that traps. A client watches the page the whole time. Each minute one fault begins and ends; the host
//! must notice it and recover within the minute. At the end, one last quote per symbol is sent. The run fails
//!
//! - if any tenant's document does not contain that quote, or was ever overwritten by an older one;
//! - if the counters do not add up, for any tenant: quotes in = filtered + conflated + older + lost + unmapped +
//!   settled, writes attempted = written + retried + refused, and Firestore has everything that the host counts as written;
//! - if the second half of the run needed more memory than the first.
//!
//! With `--hosts`, several hosts share the feed under a lease, and each minute one of them is killed, stopped or frozen
//! (`hosts.rs`). The run fails if a document goes backwards, if a quote that a host has seen is not accounted for, or if the
//! last quote of a symbol is not written.
//!
//! With `--relay`, two readers and three workers share twelve tenants over a NATS server, and each minute one of them, or the
//! server, is killed or frozen (`relay.rs`). The same must hold, and every worker must receive every last quote once.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../../it"]
mod it {
    pub(crate) mod harness;
}

mod cluster;
mod faults;
mod hosts;
mod relay;
mod testbed;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quotegate_market::{Quote, Symbol};
use quotegate_sim::{Rate, SimHandle, SimSettings, Simulator};
use quotegate_test_support::Ledger;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use faults::Fault;
use it::harness;
use it::harness::get;
use testbed::{Metrics, RATE, SYMBOLS, TENANTS, Testbed};

const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let minutes = argument("--minutes").unwrap_or(2 * Fault::ALL.len());
    match argument("--hosts") {
        Some(hosts) => hosts::run(hosts, minutes),
        None if std::env::args().any(|argument| argument == "--relay") => relay::run(minutes),
        None => run_one_host(minutes),
    }
}

fn argument(name: &str) -> Option<usize> {
    std::env::args().skip_while(|arg| arg != name).nth(1)?.parse().ok()
}

fn run_one_host(minutes: usize) {
    let mut testbed = Testbed::start();
    testbed.wait("quotes are written", || {
        get(testbed.ops_port, "/readyz").filter(|answer| answer.status == 200)?;
        (testbed.metrics().sum("settled_total") > 1000.0).then_some(())
    });
    watch_the_page(testbed.ops_port);

    println!(
        "| minute | fault | resident | quotes/s after it | written | retried | refused | reconnects | backwards |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut resident = Vec::new();
    for (minute, fault) in (1..=minutes).zip(Fault::ALL.into_iter().cycle()) {
        let (most, speed) = run_one_minute(&mut testbed, fault);
        resident.push(most);
        let now = testbed.metrics();
        println!(
            "| {minute} | {} | {} MB | {speed:.0} | {} | {} | {} | {} | {} |",
            fault.name(),
            most / 1000,
            now.sum("writes_total"),
            now.sum("writes_retried_total"),
            now.sum("writes_refused_total"),
            now.all("quotegate_feed_reconnects_total"),
            testbed.ledger.reversed(),
        );
    }
    let last = send_last_quotes(&mut testbed);
    assert_counters_add_up(&last, &testbed);
    assert_memory_is_flat(&resident);
    testbed.host.signal("TERM");
    let ended = testbed.host.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// Injects the fault and waits until the host has noticed it and recovered. Returns the peak resident memory in kB and
/// the quotes per second after recovery.
fn run_one_minute(testbed: &mut Testbed, fault: Fault) -> (u64, f64) {
    let began = Instant::now();
    let before = testbed.metrics();
    fault.begin(testbed);
    std::thread::sleep(fault.duration());
    fault.end(testbed);
    if let Some(count_before) = fault.count(&before) {
        let what = format!("{} is noticed", fault.name());
        testbed.wait(&what, || (fault.count(&testbed.metrics())? > count_before).then_some(()));
    }
    let settled = |metrics: &Metrics| TENANTS.map(|tenant| metrics.of(tenant, "settled_total"));
    let settled_before = settled(&testbed.metrics());
    testbed.wait(&format!("all is well after {}", fault.name()), || {
        get(testbed.ops_port, "/readyz").filter(|answer| answer.status == 200)?;
        let now = testbed.metrics();
        let quarantined = now.all("quotegate_plugin_tenants{plugin=\"filter\",state=\"quarantined\"}");
        let writes = settled(&now).iter().zip(settled_before).all(|(now, from)| *now > from + 100.0);
        (quarantined == 0.0 && writes).then_some(())
    });
    let quotes = |testbed: &Testbed| testbed.metrics().get("quotegate_feed_quotes_total");
    let (well, first) = (Instant::now(), quotes(testbed));
    let mut most = testbed.resident_kib();
    while began.elapsed() < MINUTE {
        std::thread::sleep(Duration::from_secs(2).min(MINUTE.saturating_sub(began.elapsed())));
        most = most.max(testbed.resident_kib());
    }
    (most, (quotes(testbed) - first) / well.elapsed().as_secs_f64())
}

/// Sends one last quote per symbol and waits until all three documents of each contain it.
fn send_last_quotes(testbed: &mut Testbed) -> Metrics {
    testbed.kill_sim();
    let stop = CancellationToken::new();
    let handle = quiet_simulator(&testbed.runtime, testbed.sim_port, stop.clone());
    testbed.wait("the subscription", || handle.subscribed().contains("*").then_some(()));
    let last_quotes = LastQuotes::send(&handle, &testbed.ledger);
    testbed.wait("everything is written", || {
        let now = testbed.metrics();
        let waiting = now.sum("dirty") + now.sum("in_flight");
        let is_written = waiting == 0.0 && now.all("quotegate_feed_quotes_total") > 0.0;
        (is_written && last_quotes.are_in(&testbed.ledger, &TENANTS)).then_some(())
    });
    let last = testbed.metrics();
    stop.cancel();
    last
}

/// One last quote for each symbol.
struct LastQuotes {
    symbols: BTreeSet<String>,
    time: i64,
}

impl LastQuotes {
    fn send(handle: &SimHandle, ledger: &Ledger) -> Self {
        let paths = ledger.paths();
        let symbols: BTreeSet<String> =
            paths.iter().filter_map(|path| Some(path.split_once("/live_quotes/")?.1.to_owned())).collect();
        assert_eq!(symbols.len(), SYMBOLS as usize);
        // Firestore stores microseconds.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64 * 1000;
        let quote = Quote { bid_price: 777.0, ask_price: 777.01, event_time: time, ..Quote::default() };
        for symbol in &symbols {
            handle.send_quote(&Symbol::new(symbol).unwrap(), &quote);
        }
        Self { symbols, time }
    }

    fn are_in<T: AsRef<str>>(&self, ledger: &Ledger, tenants: &[T]) -> bool {
        let time = |tenant: &T, symbol| ledger.time(&format!("tenants/{}/live_quotes/{symbol}", tenant.as_ref()));
        tenants.iter().all(|tenant| self.symbols.iter().all(|symbol| time(tenant, symbol) == Some(self.time)))
    }
}

fn quiet_simulator(runtime: &Runtime, port: u16, stop: CancellationToken) -> SimHandle {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let settings = SimSettings { rate: Rate::PerSecond(0.0), ..SimSettings::default() };
    let simulator = runtime.block_on(Simulator::bind(address, settings)).unwrap();
    let handle = simulator.handle();
    runtime.spawn(simulator.run(stop));
    handle
}

fn assert_counters_add_up(last: &Metrics, testbed: &Testbed) {
    let arrived = last.get("quotegate_feed_quotes_total") + last.get("quotegate_feed_snapshot_quotes_total");
    for tenant in TENANTS {
        let of = |name: &str| last.of(tenant, name);
        let sum = |names: &[&str]| names.iter().map(|name| of(name)).sum::<f64>();
        let quotes = of("quotes_total");
        let ends =
            ["filtered_total", "conflated_total", "older_total", "lost_total", "unmapped_total", "settled_total"];
        let parts: Vec<_> = ends.iter().map(|name| format!("{} {name}", of(name))).collect();
        println!("{tenant}: {quotes} quotes in = {}", parts.join(" + "));
        assert_eq!(quotes, arrived, "{tenant} has not seen every quote of the feed");
        assert_eq!(quotes, sum(&ends), "{tenant}: quotes are missing");
        let settled = ["writes_total", "writes_refused_total", "writes_older_total"];
        let outcomes = [&settled[..], &["writes_retried_total"]].concat();
        assert_eq!(of("writes_attempted_total"), sum(&outcomes), "{tenant}: writes are missing");
        assert_eq!(of("settled_total"), sum(&settled), "{tenant}");
    }
    let (told, kept) =
        (last.sum("writes_total") + last.get("quotegate_heartbeats_total"), testbed.ledger.writes() as f64);
    println!("{told} documents and heartbeats confirmed; Firestore has written {kept}, because some answers were lost");
    assert!(told <= kept, "the host calls documents written that are not");
    assert_eq!(testbed.ledger.reversed(), 0, "documents went backwards");
    println!(
        "asked for {RATE} quotes/s; every quote is accounted for, no document went backwards, every last quote is written"
    );
}

fn assert_memory_is_flat(resident: &[u64]) {
    let (first, second) = resident.split_at(resident.len() / 2);
    let most = |half: &[u64]| half.iter().max().copied().unwrap_or_default();
    println!("at most {} kB resident in the first half, {} kB in the second", most(first), most(second));
    // Faults differ in memory use, so both halves must have had each of them.
    if resident.len() >= 2 * Fault::ALL.len() {
        assert!(most(second) as f64 <= 1.05 * most(first) as f64, "memory grows");
    }
}

/// A client that keeps the page's event stream open and reconnects when it loses the host.
fn watch_the_page(port: u16) {
    std::thread::spawn(move || {
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                let _ = write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let mut part = [0; 16 << 10];
                while matches!(stream.read(&mut part), Ok(1..)) {}
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}
