//! Many tenants, each with its own filter: how soon they are ready, their memory, and the cost of a quote.
//!
//! ```sh
//! cargo bench --bench tenants
//! ```
//!
//! Starts the real program with 10, 100 and 1,000 tenants, each with the standard filter, first without
//! compiled code and then with it. The simulator is a separate process and quotes 1,000 symbols, each wanted by one
//! tenant, then by ten. The cost of a quote is the CPU time of the host alone.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SYMBOLS: usize = 1000;
const RATE: usize = 20_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sim = program()
        .args(["sim", "--listen", &format!("127.0.0.1:{port}")])
        .args(["--symbols", &symbols().join(","), "--rate", &RATE.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("ws://127.0.0.1:{port}/v2/iex");
    println!("each tenant has the standard filter; {SYMBOLS} symbols, {RATE} quotes/s\n");
    println!(
        "| tenants | tenants that want a symbol | code at hand | ready after | resident | processor time a quote |"
    );
    println!("|---|---|---|---|---|---|");
    for (tenants, wanted_by) in [(10, 1), (100, 1), (1000, 1), (1000, 10)] {
        for warm in [false, true] {
            let cache = folder.path().join("cache");
            if !warm {
                let _ = std::fs::remove_dir_all(&cache);
            }
            let file = folder.path().join("quotegate.toml");
            std::fs::write(&file, settings(&url, &cache, tenants, wanted_by)).unwrap();
            let row = run(&file);
            println!(
                "| {tenants} | {wanted_by} | {} | {:.2} s | {} MB | {:.2} µs |",
                if warm { "yes" } else { "no" },
                row.ready.as_secs_f64(),
                row.resident_kib / 1000,
                row.cpu_a_quote * 1e6,
            );
        }
    }
    sim.kill().unwrap();
    let _ = sim.wait();
}

struct Row {
    ready: Duration,
    resident_kib: u64,
    cpu_a_quote: f64,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotegate"));
    command.env_clear().env("QUOTEGATE_OPS__PORT", "0").env("QUOTEGATE_LOG__FORMAT", "json").stdin(Stdio::null());
    command
}

/// Every symbol is wanted by `wanted_by` tenants.
fn settings(url: &str, cache: &Path, tenants: usize, wanted_by: usize) -> String {
    let mut text = format!(
        "[feed]\nsource = \"alpaca\"\nurl = {url:?}\nkey_id = \"key\"\nsecret_key = \"secret\"\n\
         [sink]\nkind = \"dry-run\"\n[log]\nlevel = \"warn,quotegate_runtime::host=info\"\n[plugins]\ncache_folder = {:?}\n\
         [tenant_defaults]\nplugins = [{{ standard = \"quote-filter\", config = {{ max_spread_bps = 500, min_price = 1 }} }}]\n",
        cache.display().to_string(),
    );
    let names = symbols();
    let each = SYMBOLS * wanted_by / tenants;
    for tenant in 0..tenants {
        let wanted = (0..each).map(|at| &names[(tenant * each + at) % SYMBOLS]);
        let list: Vec<String> = wanted.map(|name| format!("{name:?}")).collect();
        let _ = writeln!(text, "[tenants.t{tenant}]\nsymbols = [{}]", list.join(", "));
    }
    text
}

fn symbols() -> Vec<String> {
    (0..SYMBOLS).map(|number| format!("Q{number:04}")).collect()
}

fn run(file: &Path) -> Row {
    let began = Instant::now();
    let mut host = program().args(["run", "--config"]).arg(file).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(host.stderr.take().unwrap()).lines();
    let started = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"startup\"")));
    let ready = began.elapsed();
    assert!(started.is_some(), "the host did not start");
    // After the handshake and the first quotes of every symbol.
    std::thread::sleep(Duration::from_secs(3));
    let before = (Instant::now(), cpu(&host));
    std::thread::sleep(Duration::from_secs(5));
    let quotes = before.0.elapsed().as_secs_f64() * RATE as f64;
    let row = Row { ready, resident_kib: resident_kib(&host), cpu_a_quote: (cpu(&host) - before.1) / quotes };
    host.kill().unwrap();
    let _ = host.wait();
    row
}

/// CPU seconds so far.
fn cpu(process: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    // /proc counts in hundredths of a second on every relevant Linux.
    ticks / 100.0
}

fn resident_kib(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
