//! Several hosts with one lease. Each minute one of them, mostly the owner, is killed, stopped or frozen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_sim::{Rate, SimSettings, Simulator, Universe};
use quotegate_test_support::{Act, FakeFirestore, Ledger};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Running, eventually, free_port, guest, quotegate};
use crate::testbed::{KEEP_ALL, Metrics, SETTINGS, SYMBOLS, TENANTS};
use crate::{LastQuotes, MINUTE, quiet_simulator};

/// Less than a host by itself gets: all of them share the machine with the simulator and Firestore.
const RATE: f64 = 5_000.0;

/// How a host ends, or seems to.
#[derive(Debug, Clone, Copy)]
enum End {
    Killed,
    Stopped,
    Frozen(Duration),
}

impl End {
    fn random(rng: &mut Rng) -> Self {
        match rng.u8(0..3) {
            0 => Self::Killed,
            1 => Self::Stopped,
            _ => Self::Frozen(Duration::from_secs(rng.u64(2..16))),
        }
    }
}

struct Host {
    name: String,
    port: u16,
    running: Running,
}

impl Host {
    fn metrics(&self) -> Option<Metrics> {
        Metrics::of_host(self.port)
    }

    fn is_owner(&self) -> bool {
        self.metrics().is_some_and(|metrics| metrics.get("quotegate_lease_owner") == 1.0)
    }

    /// Asks again while the numbers are those of different moments.
    fn wait_until_quotes_add_up(&self) {
        eventually(&format!("the quotes of {} add up", self.name), || {
            let metrics = self.metrics()?;
            TENANTS.iter().all(|tenant| quotes_add_up(&metrics, tenant)).then_some(())
        });
    }
}

/// True if every quote came to a counted end, or is dirty or in flight. A symbol in flight may have a newer quote that waits.
fn quotes_add_up(metrics: &Metrics, tenant: &str) -> bool {
    let of = |name: &str| metrics.of(tenant, name);
    let ends = ["filtered_total", "conflated_total", "older_total", "lost_total", "unmapped_total", "settled_total"];
    let open = of("quotes_total") - ends.iter().map(|name| of(name)).sum::<f64>();
    let (dirty, in_flight) = (of("dirty"), of("in_flight"));
    (dirty + in_flight..=dirty + 2.0 * in_flight).contains(&open)
}

struct Cluster {
    hosts: Vec<Host>,
    started: usize,
    ledger: Arc<Ledger>,
    firestore: FakeFirestore,
    sim_port: u16,
    folder: TempDir,
    runtime: Runtime,
}

impl Cluster {
    fn start(hosts: usize) -> (Self, Sim) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quotegate.toml"), SETTINGS).unwrap();
        std::fs::write(folder.path().join("filter.wasm"), guest(KEEP_ALL)).unwrap();
        let ledger = Arc::<Ledger>::default();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let firestore = runtime.block_on(FakeFirestore::start_on(anywhere, ledger.clone(), |_| Act::Write));
        let sim = Sim::start(&runtime, hosts);
        let sim_port = sim.port;
        let mut cluster = Self { hosts: Vec::new(), started: 0, ledger, firestore, sim_port, folder, runtime };
        for _ in 0..hosts {
            cluster.start_host();
        }
        (cluster, sim)
    }

    fn start_host(&mut self) {
        let (name, port) = (format!("host-{}", self.started), free_port());
        self.started += 1;
        let running = Running::start(
            quotegate(["run", "--config", "quotegate.toml"])
                .current_dir(self.folder.path())
                .env("ALPACA_KEY_ID", "key")
                .env("ALPACA_SECRET_KEY", "secret")
                .env("HEARTBEAT_INTERVAL_S", "2")
                .env("QUOTEGATE_FEED__URL", format!("ws://127.0.0.1:{}/v2/iex", self.sim_port))
                .env("QUOTEGATE_LEASE__ENABLED", "true")
                .env("QUOTEGATE_LOG__LEVEL", "info")
                .env("QUOTEGATE_OPS__PORT", port.to_string())
                .env("QUOTEGATE_RUN__INSTANCE", &name)
                .env("FIRESTORE_PROJECT_ID", "demo-soak")
                .env("FIRESTORE_EMULATOR_HOST", self.firestore.host()),
        );
        self.hosts.push(Host { name, port, running });
    }

    /// Waits until one host owns the feed, has written, and the others are ready. Returns its place.
    fn wait_for_owner(&self) -> usize {
        let owner = eventually("one owner", || {
            let metrics: Vec<_> = self.hosts.iter().map(Host::metrics).collect::<Option<_>>()?;
            let owners: Vec<_> =
                (0..metrics.len()).filter(|at| metrics[*at].get("quotegate_lease_owner") == 1.0).collect();
            assert!(owners.len() <= 1, "several owners: {owners:?}");
            owners.first().copied()
        });
        let written = || self.hosts[owner].metrics().map(|metrics| metrics.sum("writes_total"));
        let before = eventually("its numbers", written);
        eventually("documents of the owner", || (written()? > before + 100.0).then_some(()));
        owner
    }

    /// Ends a host and waits until all is well again. Returns what a stopped host left unwritten.
    fn end(&mut self, at: usize, end: End) -> u64 {
        let signal = |name| self.hosts[at].running.signal(name);
        if let End::Frozen(duration) = end {
            signal("STOP");
            std::thread::sleep(duration);
            signal("CONT");
            return 0;
        }
        signal(if let End::Killed = end { "KILL" } else { "TERM" });
        let finished = self.hosts.remove(at).running.wait();
        self.start_host();
        if let End::Killed = end {
            return 0;
        }
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let lines =
            finished.stderr.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| line["unflushed"].as_u64()).next().expect("the last words of a stopped host")
    }
}

/// In this process, because its limit of connections is not a setting of the command: that of a frozen host stays open.
struct Sim {
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sim {
    fn start(runtime: &Runtime, hosts: usize) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = SimSettings {
            universe: Universe::Count(SYMBOLS),
            rate: Rate::PerSecond(RATE),
            connection_limit: hosts,
            ..SimSettings::default()
        };
        let simulator = runtime.block_on(Simulator::bind(anywhere, settings)).unwrap();
        let (port, stop) = (simulator.local_addr().port(), CancellationToken::new());
        let run = simulator.run(stop.clone());
        Self { port, stop, task: runtime.spawn(run) }
    }

    fn end(self, runtime: &Runtime) {
        self.stop.cancel();
        runtime.block_on(self.task).unwrap();
    }
}

/// The longest time without a document, in milliseconds, since it was last taken.
fn watch_pauses(ledger: Arc<Ledger>) -> Arc<AtomicU64> {
    let longest = Arc::<AtomicU64>::default();
    let watched = longest.clone();
    std::thread::spawn(move || {
        let (mut writes, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(2));
            if writes != ledger.writes() {
                (writes, since) = (ledger.writes(), Instant::now());
            }
            watched.fetch_max(since.elapsed().as_millis() as u64, Relaxed);
        }
    });
    longest
}

pub(crate) fn run(hosts: usize, minutes: usize) {
    let (mut cluster, sim) = Cluster::start(hosts);
    let mut rng = Rng::with_seed(20);
    let mut owner = cluster.wait_for_owner();
    let pauses = watch_pauses(cluster.ledger.clone());
    println!("| minute | host | | longest pause of documents | documents | not flushed | backwards |");
    println!("|---|---|---|---|---|---|---|");
    for minute in 1..=minutes {
        let began = Instant::now();
        cluster.hosts.iter().for_each(Host::wait_until_quotes_add_up);
        let at = if rng.u8(0..4) > 0 { owner } else { rng.usize(0..hosts) };
        let (name, role) = (cluster.hosts[at].name.clone(), if at == owner { "owner" } else { "standby" });
        let end = End::random(&mut rng);
        pauses.store(0, Relaxed);
        let unflushed = cluster.end(at, end);
        owner = cluster.wait_for_owner();
        println!(
            "| {minute} | {name}, {role} | {end:?} | {:.2} s | {} | {unflushed} | {} |",
            pauses.load(Relaxed) as f64 / 1000.0,
            cluster.ledger.writes(),
            cluster.ledger.reversed(),
        );
        std::thread::sleep(MINUTE.saturating_sub(began.elapsed()));
    }
    sim.end(&cluster.runtime);
    let stop = CancellationToken::new();
    let handle = quiet_simulator(&cluster.runtime, cluster.sim_port, stop);
    eventually("the subscription", || handle.subscribed().contains("*").then_some(()));
    let last = LastQuotes::send(&handle, &cluster.ledger);
    eventually("everything is written", || last.are_in(&cluster.ledger).then_some(()));
    cluster.hosts.iter().for_each(Host::wait_until_quotes_add_up);
    assert!(cluster.hosts[owner].is_owner(), "the owner has changed by itself");
    assert_eq!(cluster.ledger.reversed(), 0, "documents went backwards");
    println!(
        "{} documents; every quote of every host that still runs is accounted for, no document went backwards, every last \
         quote is written",
        cluster.ledger.writes()
    );
    for host in cluster.hosts {
        host.running.signal("TERM");
        let ended = host.running.wait();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
}
