//! The tenants over a relay: a reader, workers, a NATS server.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quotegate_test_support::{Act, FakeFirestore, Ledger, NatsServer};

use crate::{Case, cpu, memory_kib, metric, metrics, settings, simulator};

const READY_LIMIT: Duration = Duration::from_secs(300);

struct Host {
    process: Child,
    port: u16,
}

/// Ends however the benchmark does.
impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Row {
    ready: Duration,
    /// Of the reader, and of all workers together.
    memory_kib: [u64; 2],
    cores: [f64; 2],
    quotes_per_second: f64,
    cpu_per_delivery: f64,
    lost: f64,
}

pub(crate) fn run(workers: usize, cases: impl Iterator<Item = Case>, program: &Path) {
    println!("one reader and {workers} workers; processor time of the workers, and apart from it the reader's\n");
    println!(
        "| tenants | symbols of each | of | code at hand | ready after | memory: reader | workers | per tenant | quotes/s | \
         processors: reader | workers | per quote and tenant | conflated or lost |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let folder = tempfile::tempdir().unwrap();
    // How many tenants run is known by their plugins.
    for case in cases.filter(|case| case.filter) {
        let (url, stop) = simulator(&case);
        let (cache, file) = (folder.path().join("cache"), folder.path().join("quotegate.toml"));
        let _ = std::fs::remove_dir_all(&cache);
        std::fs::write(&file, settings(&url, &cache, &case)).unwrap();
        for warm in [false, true] {
            let row = measure(workers, program, &file, &case);
            println!(
                "| {} | {} | {} | {} | {:.1} s | {} MB | {} MB | {:.0} kB | {:.0} | {:.2} | {:.2} | {:.0} ns | {} |",
                case.tenants,
                case.each,
                case.symbols,
                if warm { "yes" } else { "no" },
                row.ready.as_secs_f64(),
                row.memory_kib[0] / 1000,
                row.memory_kib[1] / 1000,
                row.memory_kib[1] as f64 / case.tenants as f64,
                row.quotes_per_second,
                row.cores[0],
                row.cores[1],
                row.cpu_per_delivery * 1e9,
                row.lost,
            );
        }
        stop.cancel();
    }
}

fn measure(workers: usize, program: &Path, file: &Path, case: &Case) -> Row {
    let nats = NatsServer::start().expect("a NATS server");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let firestore = runtime.block_on(FakeFirestore::start_on(anywhere, Arc::<Ledger>::default(), |_| Act::Write));
    let began = Instant::now();
    let roles = std::iter::once("reader").chain(std::iter::repeat_n("worker", workers));
    let start = |(number, role): (usize, &str)| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .env_clear()
            .env("FIRESTORE_PROJECT_ID", "demo-tenants")
            .env("FIRESTORE_EMULATOR_HOST", firestore.host())
            .env("HEARTBEAT_INTERVAL_S", "3600")
            .env("QUOTEGATE_OPS__PORT", port.to_string())
            .env("QUOTEGATE_RELAY__URL", nats.url())
            .env("QUOTEGATE_RUN__INSTANCE", format!("host-{number}"))
            .env("QUOTEGATE_RUN__ROLE", role)
            .env("QUOTEGATE_SINK__KIND", "firestore")
            .args(["run", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Host { process, port }
    };
    let hosts: Vec<Host> = roles.enumerate().map(start).collect();
    while !are_ready(&hosts[1..], case.tenants) {
        thread::sleep(Duration::from_millis(100));
        assert!(began.elapsed() < READY_LIMIT, "the tenants do not run");
    }
    let ready = began.elapsed();
    // After the first quotes of every symbol.
    thread::sleep(Duration::from_secs(3));
    let before = (Instant::now(), quotes(&hosts[0]), used(&hosts));
    thread::sleep(Duration::from_secs(5));
    let after = (Instant::now(), quotes(&hosts[0]), used(&hosts));
    let seconds = (after.0 - before.0).as_secs_f64();
    let quotes_per_second = (after.1 - before.1) / seconds;
    let cores = [0, 1].map(|part| (after.2[part] - before.2[part]) / seconds);
    let memory = |hosts: &[Host]| hosts.iter().map(|host| memory_kib(&host.process)).sum();
    let count = |name: &str| hosts.iter().map(|host| metric(&metrics(host.port), name)).sum::<f64>();
    Row {
        ready,
        memory_kib: [memory(&hosts[..1]), memory(&hosts[1..])],
        cores,
        quotes_per_second,
        cpu_per_delivery: cores[1] / quotes_per_second / (case.tenants * case.each) as f64 * case.symbols as f64,
        lost: count("quotegate_relay_conflated_quotes_total ") + count("quotegate_tenant_lost_total"),
    }
}

/// Each tenant runs on one worker, and quotes arrive at all of them.
fn are_ready(workers: &[Host], tenants: usize) -> bool {
    let answers: Vec<String> = workers.iter().map(|host| metrics(host.port)).collect();
    let running = |text: &String| metric(text, "quotegate_plugin_tenants{") as usize;
    let receives = |text: &String| metric(text, "quotegate_relay_received_quotes_total ") > 0.0;
    answers.iter().map(running).sum::<usize>() == tenants && answers.iter().all(receives)
}

fn quotes(reader: &Host) -> f64 {
    metric(&metrics(reader.port), "quotegate_feed_quotes_total ")
}

/// The processor time of the reader, and of all workers.
fn used(hosts: &[Host]) -> [f64; 2] {
    let of = |hosts: &[Host]| hosts.iter().map(|host| cpu(&host.process)).sum();
    [of(&hosts[..1]), of(&hosts[1..])]
}
