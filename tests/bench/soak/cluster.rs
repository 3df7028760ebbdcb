//! Several hosts that share a feed, with a simulator and a Firestore.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_sim::{Rate, SimSettings, Simulator, Universe};
use quotegate_test_support::{Act, FakeFirestore, Ledger, NatsServer};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Running, eventually, free_port, guest, quotegate};
use crate::testbed::{KEEP_ALL, Metrics, SYMBOLS, settings};
use crate::{LastQuotes, quiet_simulator};

/// Less than a host by itself gets: all of them share the machine with the simulator and Firestore.
const RATE: f64 = 5_000.0;

/// How a host ends, or seems to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Killed,
    Stopped,
    Frozen(Duration),
}

impl End {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        match rng.u8(0..3) {
            0 => Self::Killed,
            1 => Self::Stopped,
            _ => Self::Frozen(Duration::from_secs(rng.u64(2..16))),
        }
    }
}

pub(crate) struct Host {
    pub(crate) name: String,
    /// With a relay, its part of the work.
    pub(crate) role: &'static str,
    pub(crate) running: Running,
    port: u16,
}

impl Host {
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        Metrics::of_host(self.port)
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.metrics().is_some_and(|metrics| metrics.get("quotegate_lease_owner") == 1.0)
    }

    /// Asks again while the numbers are those of different moments.
    pub(crate) fn wait_until_quotes_add_up(&self) {
        eventually(&format!("the quotes of {} add up", self.name), || {
            let metrics = self.metrics()?;
            metrics.tenants().iter().all(|tenant| quotes_add_up(&metrics, tenant)).then_some(())
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

pub(crate) struct Cluster {
    pub(crate) hosts: Vec<Host>,
    pub(crate) tenants: Vec<String>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) runtime: Runtime,
    /// With a relay, the broker.
    pub(crate) nats: Option<NatsServer>,
    started: usize,
    firestore: FakeFirestore,
    sim: Option<Sim>,
    sim_port: u16,
    folder: TempDir,
}

impl Cluster {
    /// Starts a host for each of the roles.
    pub(crate) fn start(tenants: Vec<String>, roles: &[&'static str], nats: Option<NatsServer>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quotegate.toml"), settings(&tenants)).unwrap();
        std::fs::write(folder.path().join("filter.wasm"), guest(KEEP_ALL)).unwrap();
        let ledger = Arc::<Ledger>::default();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let firestore = runtime.block_on(FakeFirestore::start_on(anywhere, ledger.clone(), |_| Act::Write));
        let sim = Sim::start(&runtime, roles.len());
        let (hosts, started, sim_port) = (Vec::new(), 0, sim.port);
        let sim = Some(sim);
        let mut cluster = Self { hosts, tenants, ledger, runtime, nats, started, firestore, sim, sim_port, folder };
        for role in roles {
            cluster.start_host(role);
        }
        cluster
    }

    fn start_host(&mut self, role: &'static str) {
        let (name, port) = (format!("host-{}", self.started), free_port());
        self.started += 1;
        let mut command = quotegate(["run", "--config", "quotegate.toml"]);
        command
            .current_dir(self.folder.path())
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("HEARTBEAT_INTERVAL_S", "2")
            .env("QUOTEGATE_FEED__URL", format!("ws://127.0.0.1:{}/v2/iex", self.sim_port))
            .env("QUOTEGATE_LOG__LEVEL", "info")
            .env("QUOTEGATE_OPS__PORT", port.to_string())
            .env("QUOTEGATE_RUN__INSTANCE", &name)
            .env("FIRESTORE_PROJECT_ID", "demo-soak")
            .env("FIRESTORE_EMULATOR_HOST", self.firestore.host());
        match &self.nats {
            None => command.env("QUOTEGATE_LEASE__ENABLED", "true"),
            Some(nats) => command.env("QUOTEGATE_RELAY__URL", nats.url()).env("QUOTEGATE_RUN__ROLE", role),
        };
        self.hosts.push(Host { name, role, port, running: Running::start(&mut command) });
    }

    /// Waits until one host owns the feed, has written, and the others are ready. Returns its place.
    pub(crate) fn wait_for_owner(&self) -> usize {
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

    /// Ends a host and starts another one in its place, or freezes it. Returns what a stopped host left unwritten.
    pub(crate) fn end(&mut self, at: usize, end: End) -> u64 {
        let signal = |name| self.hosts[at].running.signal(name);
        if let End::Frozen(duration) = end {
            signal("STOP");
            std::thread::sleep(duration);
            signal("CONT");
            return 0;
        }
        signal(if let End::Killed = end { "KILL" } else { "TERM" });
        let ended = self.hosts.remove(at);
        let finished = ended.running.wait();
        self.start_host(ended.role);
        if let End::Killed = end {
            return 0;
        }
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let lines =
            finished.stderr.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter_map(|line| line["unflushed"].as_u64()).next().expect("the last words of a stopped host")
    }

    /// Replaces the simulator by one that sends one last quote of each symbol, and waits until all of them are in the documents
    /// of every tenant.
    pub(crate) fn send_last_quotes(&mut self, before: impl FnOnce(&Self)) {
        if let Some(sim) = self.sim.take() {
            sim.end(&self.runtime);
        }
        let handle = quiet_simulator(&self.runtime, self.sim_port, CancellationToken::new());
        eventually("the subscription", || handle.subscribed().contains("*").then_some(()));
        before(self);
        let last = LastQuotes::send(&handle, &self.ledger);
        eventually("everything is written", || last.are_in(&self.ledger, &self.tenants).then_some(()));
        self.hosts.iter().for_each(Host::wait_until_quotes_add_up);
    }

    /// Stops all hosts.
    pub(crate) fn stop(self) {
        for host in self.hosts {
            host.running.signal("TERM");
            let ended = host.running.wait();
            assert_eq!(ended.code, 0, "{}", ended.stderr);
        }
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
pub(crate) fn watch_pauses(ledger: Arc<Ledger>) -> Arc<AtomicU64> {
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
