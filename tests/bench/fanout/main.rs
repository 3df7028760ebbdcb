//! One reader, a NATS server and many workers, each in its own process: what is lost, how late quotes arrive, and what the
//! reader's part costs beside routing the same quotes in one process.
//!
//! ```sh
//! cargo bench --bench fanout                                # 1,000,000 quotes/s to 4 workers, 30 s per row
//! cargo bench --bench fanout -- --rate 500000 --seconds 10  # less, and quicker
//! cargo bench --bench fanout -- --only broker               # rows with this in their names
//! ```
//!
//! The reader decodes frames as they come from Alpaca. Latency counts from the moment before a frame is decoded until the
//! worker's receiver has its quotes. The server is the one that `tests/run --all` installs (QUOTEGATE_TEST_NATS), with the
//! configuration that the project ships.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod frames;
mod histogram;
mod in_process;
#[path = "../msgpack.rs"]
mod msgpack;
mod reader;
mod report;
mod worker;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quotegate_market::Symbol;
use quotegate_test_support::NatsServer;

use report::{Report, Window};

/// Before something is disturbed, and after that.
const AROUND: Duration = Duration::from_secs(5);

/// What happens during a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The first worker stands still.
    WorkerFrozen,
    /// The server is killed, and started again.
    BrokerKilled,
    /// The server stands still.
    BrokerFrozen,
}

impl Disturbance {
    const ALL: [Self; 3] = [Self::WorkerFrozen, Self::BrokerKilled, Self::BrokerFrozen];

    fn name(self) -> &'static str {
        match self {
            Self::WorkerFrozen => "slow: one worker frozen for 10 s",
            Self::BrokerKilled => "broker killed, and started again after 3 s",
            Self::BrokerFrozen => "broker frozen for 3 s",
        }
    }

    fn time(self) -> Duration {
        Duration::from_secs(if self == Self::WorkerFrozen { 10 } else { 3 })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("reader") => reader::run(&arguments[2..]),
        Some("worker") => worker::run(&arguments[2]),
        Some("in-process") => in_process::run(&arguments[2..]),
        _ => orchestrate(),
    }
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn orchestrate() {
    let number = |name, default| argument(name).map_or(default, |text| text.parse().unwrap());
    let (rate, seconds, workers): (f64, f64, usize) =
        (number("--rate", 1e6), number("--seconds", 30.0), number("--workers", 4.0) as usize);
    let only = argument("--only").unwrap_or_default();
    println!("{rate} quotes/s wanted, {workers} workers, {seconds} s per row\n");
    report::print_head();
    if "in-process".contains(&only) {
        let child = spawn(&["in-process", &rate.to_string(), &seconds.to_string(), &workers.to_string()]);
        report::print_in_process(&finish(child));
    }
    for (name, compression) in [("raw", "none"), ("zstd", "zstd")] {
        if name.contains(&only) {
            let Some(report) = relayed(rate, Duration::from_secs_f64(seconds), workers, compression, None) else {
                return;
            };
            report::print(name, &report);
        }
    }
    let mut remarks = Vec::new();
    for disturbance in Disturbance::ALL.into_iter().filter(|disturbance| disturbance.name().contains(&only)) {
        let time = 2 * AROUND + disturbance.time();
        let Some(report) = relayed(rate, time, workers, "none", Some(disturbance)) else { return };
        report::print(disturbance.name(), &report);
        remarks.push(report::remark(disturbance, &report));
    }
    println!("\n{}", remarks.join("\n"));
}

/// Runs a server, workers and a reader.
fn relayed(
    rate: f64,
    time: Duration,
    workers: usize,
    compression: &str,
    disturbance: Option<Disturbance>,
) -> Option<Report> {
    let mut server = NatsServer::start()?;
    let workers: Vec<Worker> = (0..workers).map(|_| Worker::start(&server.url())).collect();
    // They subscribe before the first quote, so that none may miss one.
    std::thread::sleep(Duration::from_secs(1));
    let seconds = time.as_secs_f64().to_string();
    let reader = spawn(&["reader", &server.url(), &rate.to_string(), &seconds, compression]);
    let disturbed = disturbance.map(|disturbance| {
        // The reader waits for its connection first.
        std::thread::sleep(reader::BEFORE + AROUND);
        let began = now();
        match disturbance {
            Disturbance::WorkerFrozen => workers[0].signal("STOP"),
            Disturbance::BrokerKilled => server.kill(),
            Disturbance::BrokerFrozen => server.freeze(),
        }
        std::thread::sleep(disturbance.time());
        match disturbance {
            Disturbance::WorkerFrozen => workers[0].signal("CONT"),
            Disturbance::BrokerKilled => server.start_again(),
            Disturbance::BrokerFrozen => server.thaw(),
        }
        (began, now())
    });
    let reader = finish(reader);
    // What is on its way arrives.
    std::thread::sleep(Duration::from_secs(3));
    let workers = workers.into_iter().map(Worker::finish).collect();
    Some(Report { reader, workers, disturbed })
}

struct Worker {
    process: Child,
    lines: JoinHandle<Vec<Window>>,
}

impl Worker {
    fn start(url: &str) -> Self {
        let mut process = spawn(&["worker", url]);
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap()).collect()
        });
        Self { process, lines }
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill")
                .args([&format!("-{signal}"), &self.process.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    fn finish(mut self) -> Vec<Window> {
        // Its standard input ends, and so does it.
        drop(self.process.stdin.take());
        let windows = self.lines.join().unwrap();
        let _ = self.process.wait();
        windows
    }
}

fn spawn(arguments: &[&str]) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What it prints at its end.
fn finish<T: serde::de::DeserializeOwned>(child: Child) -> T {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Nanoseconds of the wall clock, which all processes share.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// The same for equal tables of the newest time of each symbol, in whatever order.
pub(crate) fn digest(symbols: &[Symbol], newest: &[i64]) -> u64 {
    symbols.iter().zip(newest).fold(0, |sum, (symbol, time)| {
        let name =
            symbol.as_str().bytes().fold(17_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        sum.wrapping_add(name.wrapping_mul(time.cast_unsigned() | 1))
    })
}

/// Seconds of processor time of this process.
pub(crate) fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

pub(crate) fn print_json(value: &impl serde::Serialize) {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value).unwrap();
    output.write_all(b"\n").unwrap();
    output.flush().unwrap();
}
