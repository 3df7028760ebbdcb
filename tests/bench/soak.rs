//! A long run with faults: memory stays flat, no counter loses a quote.
//!
//! ```sh
//! cargo bench --bench soak                   # three minutes
//! cargo bench --bench soak -- --minutes 60
//! ```
//!
//! Starts the real program twice: once as the simulator, which quotes 1,000 symbols 50,000 times a second, and once as
//! the host, with two tenants that filter and map, writing to a sink that answers at once (a dry run). Every minute the
//! simulator is killed and started again. Prints the host's memory and counters every half minute, and fails if quotes
//! are missing from the sum or if the second half of the run needed more memory than the first.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TENANTS: [&str; 2] = ["acme", "globex"];
const SETTINGS: &str = r#"
[sink]
kind = "dry-run"
[log]
level = "warn"
[plugins]
cache = false
[pace]
writes_per_second = 500
[tenants.acme]
symbols = ["*"]
[[tenants.acme.plugins]]
standard = "quote-filter"
config = { max_spread_bps = 5, min_move = 0.01 }
[tenants.globex]
symbols = ["*"]
[[tenants.globex.plugins]]
standard = "field-map"
config = { fields = { symbol = "symbol", mid = "mid", "best.bid" = "bid_price" } }
"#;

fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != "--minutes").skip(1);
    let minutes: u32 = args.next().and_then(|minutes| minutes.parse().ok()).unwrap_or(3);
    let (sim_port, ops_port) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotegate.toml");
    std::fs::write(&file, SETTINGS).unwrap();
    let mut sim = start_sim(sim_port);
    let mut host = program()
        .args(["run", "--config"])
        .arg(&file)
        .env("QUOTEGATE_FEED__SOURCE", "alpaca")
        .env("QUOTEGATE_FEED__URL", format!("ws://127.0.0.1:{sim_port}/v2/iex"))
        .env("ALPACA_KEY_ID", "key")
        .env("ALPACA_SECRET_KEY", "secret")
        .env("QUOTEGATE_OPS__PORT", ops_port.to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    println!("| after | resident | million quotes in | filtered | conflated | written | reconnects |");
    println!("|---|---|---|---|---|---|---|");
    let began = Instant::now();
    let mut resident = Vec::new();
    for half_minute in 1..=2 * minutes {
        std::thread::sleep((Duration::from_secs(30) * half_minute).saturating_sub(began.elapsed()));
        let now = metrics(ops_port);
        let sum = |name: &str| TENANTS.iter().map(|tenant| now[&of(name, tenant)]).sum::<f64>();
        resident.push(resident_kib(&host));
        println!(
            "| {} s | {} MB | {:.1} | {} | {} | {} | {} |",
            30 * half_minute,
            resident[resident.len() - 1] / 1000,
            sum("quotes_total") / 1e6,
            sum("filtered_total"),
            sum("conflated_total"),
            sum("writes_total"),
            now.iter()
                .filter(|(name, _)| name.starts_with("quotegate_feed_reconnects_total"))
                .map(|(_, n)| n)
                .sum::<f64>(),
        );
        if half_minute % 2 == 0 {
            sim.kill().unwrap();
            let _ = sim.wait();
            sim = start_sim(sim_port);
        }
    }
    sim.kill().unwrap();
    let _ = sim.wait();
    // Nothing arrives any more: everything that did has come to one of its ends.
    std::thread::sleep(Duration::from_secs(10));
    let last = metrics(ops_port);
    for tenant in TENANTS {
        let of = |name: &str| last[&of(name, tenant)];
        let ends = ["filtered_total", "conflated_total", "older_total", "lost_total", "writes_total"].map(of);
        let waiting = of("dirty") + of("in_flight");
        assert_eq!(ends.iter().sum::<f64>() + waiting, of("quotes_total"), "{tenant}: quotes are missing: {last:#?}");
    }
    let (first, second) = resident.split_at(resident.len() / 2);
    let (before, after) = (first.iter().max().unwrap(), second.iter().max().unwrap());
    println!(
        "\nevery quote is accounted for; at most {before} kB resident in the first half, {after} kB in the second"
    );
    assert!(*after as f64 <= 1.05 * *before as f64, "memory grows");
    let _ = Command::new("kill").args(["-TERM", &host.id().to_string()]).status();
    assert!(host.wait().unwrap().success());
}

fn of(name: &str, tenant: &str) -> String {
    format!("quotegate_tenant_{name}{{tenant=\"{tenant}\"}}")
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotegate"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn start_sim(port: u16) -> Child {
    program()
        .args(["sim", "--listen", &format!("127.0.0.1:{port}"), "--symbols", "1000", "--rate", "50000"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn metrics(port: u16) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the host answers");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let samples = text.lines().filter(|line| line.starts_with("quotegate_")).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn resident_kib(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
