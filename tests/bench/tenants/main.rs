//! Many tenants, each with its own filter: how soon they are ready, their memory, and the cost of a quote.
//!
//! ```sh
//! cargo bench --bench tenants                    # all rows
//! cargo bench --bench tenants -- --only 1000     # only rows with so many tenants
//! cargo bench --bench tenants -- --program FILE  # another build of the program, to compare with
//! cargo bench --bench tenants -- --only 10000 --workers 3   # the same over a relay
//! ```
//!
//! Starts the real program with 10 to 10,000 tenants, each with the standard filter, first without compiled code and then
//! with it. The simulator is in this process. The cost of a quote is the CPU time of the host alone, divided by the quotes
//! that its own metrics count.
//!
//! With `--workers`, a reader and so many workers share the tenants over a NATS server (`workers.rs`). Firestore and the
//! simulator are in this process. `--rate` sets another number of quotes per second.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod workers;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quotegate_market::Symbol;
use quotegate_sim::{Rate, SimSettings, Simulator, Universe};
use tokio_util::sync::CancellationToken;

/// One row of the table.
struct Case {
    tenants: usize,
    /// Each tenant wants so many of `symbols`.
    each: usize,
    symbols: usize,
    rate: usize,
    quotes_per_frame: Option<usize>,
    filter: bool,
}

const CASES: [Case; 7] = [
    Case { tenants: 10, each: 100, ..BASE },
    Case { tenants: 100, each: 10, ..BASE },
    BASE,
    Case { filter: false, ..BASE },
    Case { each: 10, ..BASE },
    Case { each: 10, rate: 500_000, quotes_per_frame: Some(64), ..BASE },
    Case { tenants: 10_000, each: 20, symbols: 5000, rate: 100_000, quotes_per_frame: Some(64), filter: true },
];

/// A thousand tenants, each with a symbol of its own.
const BASE: Case = Case { tenants: 1000, each: 1, symbols: 1000, rate: 20_000, quotes_per_frame: None, filter: true };

struct Row {
    ready: Duration,
    memory_kib: u64,
    cores: f64,
    quotes_per_second: f64,
    cpu_per_quote: f64,
    cpu_per_delivery: f64,
    lost: f64,
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let number = |name| argument(name).map(|number| number.parse::<usize>().unwrap());
    let (only, rate) = (number("--only"), number("--rate"));
    let program = argument("--program").map_or_else(|| env!("CARGO_BIN_EXE_quotegate").into(), PathBuf::from);
    let cases = CASES.iter().filter(|case| only.is_none_or(|only| only == case.tenants));
    let cases = cases.map(|case| Case { rate: rate.unwrap_or(case.rate), ..*case });
    if let Some(workers) = number("--workers") {
        return workers::run(workers, cases, &program);
    }
    println!("processor time of the host alone; with a filter: the standard one, with two rules\n");
    println!(
        "| tenants | symbols of each | of | filter | code at hand | ready after | memory | quotes/s | processors | \
         time per quote | per quote and tenant | lost |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        let case = &case;
        let (url, stop) = simulator(case);
        for warm in [false, true].into_iter().skip(usize::from(!case.filter)) {
            let cache = folder.path().join("cache");
            if !warm {
                let _ = std::fs::remove_dir_all(&cache);
            }
            let file = folder.path().join("quotegate.toml");
            std::fs::write(&file, settings(&url, &cache, case)).unwrap();
            let row = run(&program, &file, case);
            println!(
                "| {} | {} | {} | {} | {} | {:.2} s | {} MB | {:.0} | {:.2} | {:.2} µs | {:.0} ns | {} |",
                case.tenants,
                case.each,
                case.symbols,
                if case.filter { "yes" } else { "no" },
                if warm { "yes" } else { "no" },
                row.ready.as_secs_f64(),
                row.memory_kib / 1000,
                row.quotes_per_second,
                row.cores,
                row.cpu_per_quote * 1e6,
                row.cpu_per_delivery * 1e9,
                row.lost,
            );
        }
        stop.cancel();
    }
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// Starts a simulator on its own thread.
fn simulator(case: &Case) -> (String, CancellationToken) {
    let settings = SimSettings {
        universe: Universe::List(symbols(case.symbols).map(|name| Symbol::new(&name).unwrap()).collect()),
        rate: Rate::PerSecond(case.rate as f64),
        quotes_per_frame: case.quotes_per_frame,
        ..SimSettings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let simulator = runtime.block_on(Simulator::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings)).unwrap();
    let (address, stop) = (simulator.local_addr(), CancellationToken::new());
    let stopped = stop.clone();
    std::thread::spawn(move || runtime.block_on(simulator.run(stopped)));
    (format!("ws://{address}/v2/iex"), stop)
}

/// Consecutive tenants want consecutive symbols, so all symbols are wanted equally often.
fn settings(url: &str, cache: &Path, case: &Case) -> String {
    let mut text = format!(
        "[feed]\nsource = \"alpaca\"\nurl = {url:?}\nkey_id = \"key\"\nsecret_key = \"secret\"\n\
         max_symbols = 20000\n[sink]\nkind = \"dry-run\"\n\
         [log]\nlevel = \"warn,quotegate_runtime::host=info\"\n[plugins]\ncache_folder = {:?}\n",
        cache.display().to_string(),
    );
    if case.filter {
        let rules = "{ max_spread_bps = 500, min_price = 1 }";
        let _ = writeln!(text, "[tenant_defaults]\nplugins = [{{ standard = \"quote-filter\", config = {rules} }}]");
    }
    let names: Vec<String> = symbols(case.symbols).collect();
    for tenant in 0..case.tenants {
        let wanted = (0..case.each).map(|at| &names[(tenant * case.each + at) % case.symbols]);
        let list: Vec<String> = wanted.map(|name| format!("{name:?}")).collect();
        let _ = writeln!(text, "[tenants.t{tenant}]\nsymbols = [{}]", list.join(", "));
    }
    text
}

fn symbols(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("Q{number:04}"))
}

fn run(program: &Path, file: &Path, case: &Case) -> Row {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let began = Instant::now();
    let mut host = Command::new(program)
        .env_clear()
        .env("QUOTEGATE_OPS__PORT", port.to_string())
        .env("QUOTEGATE_LOG__FORMAT", "json")
        .args(["run", "--config"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(host.stderr.take().unwrap()).lines();
    let started = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"startup\"")));
    assert!(started.is_some(), "the host did not start");
    // Until quotes arrive: the handshake and the subscription included.
    while feed_quotes(port) == 0.0 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(began.elapsed() < Duration::from_secs(120), "no quotes arrive");
    }
    let ready = began.elapsed();
    // After the first quotes of every symbol.
    std::thread::sleep(Duration::from_secs(3));
    // The host spends processor time on the answer, so it is asked before the window begins and after it ends.
    let quotes = feed_quotes(port);
    let before = (Instant::now(), cpu(&host), quotes);
    std::thread::sleep(Duration::from_secs(5));
    let after = (Instant::now(), cpu(&host), feed_quotes(port));
    let (seconds, used) = ((after.0 - before.0).as_secs_f64(), after.1 - before.1);
    let quotes = after.2 - before.2;
    let row = Row {
        ready,
        memory_kib: memory_kib(&host),
        cores: used / seconds,
        quotes_per_second: quotes / seconds,
        cpu_per_quote: used / quotes,
        cpu_per_delivery: used / quotes / (case.tenants * case.each) as f64 * case.symbols as f64,
        lost: metric(&metrics(port), "quotegate_tenant_lost_total"),
    };
    host.kill().unwrap();
    let _ = host.wait();
    row
}

fn feed_quotes(port: u16) -> f64 {
    metric(&metrics(port), "quotegate_feed_quotes_total")
}

fn metrics(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut text).unwrap();
    }
    text
}

/// The sum over all tenants.
fn metric(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// CPU seconds so far.
fn cpu(process: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    // /proc counts in hundredths of a second on every relevant Linux.
    ticks / 100.0
}

/// Resident memory with each page once: all instances of a plugin map the same image, which `VmRSS` counts for each of them.
fn memory_kib(process: &Child) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.id())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
