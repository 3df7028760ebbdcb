//! Everything that the soak starts and stops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quotegate_test_support::{Act, Arrival, FakeFirestore, Ledger};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::{LIMIT, Running, free_port, get, guest, quotegate};

pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "hooli"];
pub(crate) const SYMBOLS: u32 = 1000;
pub(crate) const RATE: u32 = 50_000;

/// The settings of all tenants. One document per quote, each with the exchange's time in `ts`, which the ledger compares.
const COMMON_SETTINGS: &str = r#"
[feed]
calendar = "always"
stale_after_s = 5
reconnect_backoff_max_s = 2
[sink]
request_timeout_s = 5
retry_max_s = 2
[log]
level = "warn"
[plugins]
cache = false
[pace]
writes_per_second = 500
[run]
watch_interval_s = 1
control_interval_s = 0
"#;

/// The plugins of a tenant: it filters, it maps, or it has one that is replaced.
const PLUGINS: [&str; 3] = [
    r#"[{ standard = "quote-filter", config = { max_spread_bps = 5, min_move = 0.01 } }]"#,
    r#"[{ standard = "field-map",
    config = { fields = { symbol = "symbol", mid = "mid", "best.bid" = "bid_price", ts = "event_time" } } }]"#,
    r#"[{ path = "filter.wasm" }, { standard = "field-map", config = { standard = true } }]"#,
];

/// The settings for these tenants, each of which wants every symbol.
pub(crate) fn settings<T: AsRef<str>>(tenants: &[T]) -> String {
    let section = |(tenant, plugins): (&T, &&str)| {
        format!("[tenants.{}]\nsymbols = [\"*\"]\nplugins = {plugins}\n", tenant.as_ref())
    };
    COMMON_SETTINGS.to_owned() + &tenants.iter().zip(PLUGINS.iter().cycle()).map(section).collect::<String>()
}

/// Bodies for the third tenant's filter.
pub(crate) const KEEP_ALL: &str = "";
pub(crate) const TRAP: &str = "unreachable";

/// How Firestore behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FirestoreMode {
    Healthy,
    /// Every request fails (UNAVAILABLE).
    Unavailable,
    /// Everything is written but never answered.
    Silent,
    /// One in ten requests has documents that fail temporarily (ABORTED), one in twenty has some that fail permanently
    /// (INVALID_ARGUMENT).
    FailingDocuments,
}

const ABORTED: i32 = 10;
const INVALID_ARGUMENT: i32 = 3;
const UNAVAILABLE: i32 = 14;

/// The host under test, with a simulator and a Firestore.
pub(crate) struct Testbed {
    pub(crate) host: Running,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) sim_port: u16,
    pub(crate) ops_port: u16,
    pub(crate) runtime: Runtime,
    sim: Option<Sim>,
    firestore: Option<FakeFirestore>,
    firestore_port: u16,
    mode: Arc<AtomicU8>,
    folder: TempDir,
}

impl Testbed {
    pub(crate) fn start() -> Self {
        let (sim_port, ops_port, firestore_port) = (free_port(), free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quotegate.toml"), settings(&TENANTS)).unwrap();
        std::fs::write(folder.path().join("filter.wasm"), guest(KEEP_ALL)).unwrap();
        let host = Running::start(
            quotegate(["run", "--config", "quotegate.toml"])
                .current_dir(folder.path())
                .env("ALPACA_KEY_ID", "key")
                .env("ALPACA_SECRET_KEY", "secret")
                .env("QUOTEGATE_FEED__URL", format!("ws://127.0.0.1:{sim_port}/v2/iex"))
                .env("QUOTEGATE_OPS__PORT", ops_port.to_string())
                .env("FIRESTORE_PROJECT_ID", "demo-soak")
                .env("FIRESTORE_EMULATOR_HOST", format!("127.0.0.1:{firestore_port}")),
        );
        let mut testbed = Self {
            host,
            ledger: Arc::default(),
            sim_port,
            ops_port,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
            sim: None,
            firestore: None,
            firestore_port,
            mode: Arc::new(AtomicU8::new(FirestoreMode::Healthy as u8)),
            folder,
        };
        testbed.start_firestore();
        testbed.start_sim(None);
        testbed
    }

    /// Kills the simulator and starts another one.
    pub(crate) fn start_sim(&mut self, fault: Option<&str>) {
        self.kill_sim();
        let listen = format!("127.0.0.1:{}", self.sim_port);
        let (symbols, rate) = (SYMBOLS.to_string(), RATE.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_quotegate"));
        command.args(["sim", "--listen", &listen, "--symbols", &symbols, "--rate", &rate]);
        command.args(fault.into_iter().flat_map(|fault| ["--fault", fault]));
        let quiet = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.sim = Some(Sim(quiet.spawn().unwrap()));
    }

    pub(crate) fn kill_sim(&mut self) {
        self.sim = None;
    }

    /// Ends the current Firestore, with all connections, and starts one that continues its ledger.
    pub(crate) fn start_firestore(&mut self) {
        self.end_firestore();
        let (mode, ledger) = (self.mode.clone(), self.ledger.clone());
        let address = SocketAddr::from(([127, 0, 0, 1], self.firestore_port));
        let script = move |arrival: &Arrival| act(mode.load(Relaxed), arrival);
        self.firestore = Some(self.runtime.block_on(FakeFirestore::start_on(address, ledger, script)));
    }

    pub(crate) fn end_firestore(&mut self) {
        self.firestore = None;
    }

    pub(crate) fn set_firestore_mode(&self, mode: FirestoreMode) {
        self.mode.store(mode as u8, Relaxed);
    }

    /// Replaces the third tenant's plugin while it runs.
    pub(crate) fn set_filter(&self, body: &str) {
        // Atomically, because the host may read the file at any time.
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, guest(body)).unwrap();
        std::fs::rename(draft, self.folder.path().join("filter.wasm")).unwrap();
    }

    /// Waits until `condition` returns a value; if it never does, prints the host's log and metrics.
    pub(crate) fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            if Instant::now() > deadline {
                let lines = self.host.lines();
                let last: Vec<_> = lines.iter().rev().take(20).map(ToString::to_string).collect();
                eprintln!("the last lines of the log, backwards:\n{}", last.join("\n"));
                eprintln!("{}", get(self.ops_port, "/metrics").map_or_else(String::new, |answer| answer.body));
                panic!("never happened: {what}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Every sample of the host's metrics.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::of_host(self.ops_port).expect("the host answers")
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.host.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Killed when dropped.
struct Sim(Child);

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn act(mode: u8, arrival: &Arrival) -> Act {
    const HEALTHY: u8 = FirestoreMode::Healthy as u8;
    const UNAVAILABLE_NOW: u8 = FirestoreMode::Unavailable as u8;
    const SILENT: u8 = FirestoreMode::Silent as u8;
    match mode {
        HEALTHY => Act::Write,
        UNAVAILABLE_NOW => Act::FailRequest(UNAVAILABLE, "unavailable"),
        SILENT => Act::LoseAnswer,
        _ if arrival.request % 10 == 1 => Act::Fail(ABORTED, "too many at once"),
        _ if arrival.request % 20 == 2 && arrival.path.contains("live_quotes") => {
            Act::Fail(INVALID_ARGUMENT, "refused by the soak")
        }
        _ => Act::Write,
    }
}

/// The host's metrics, by name with labels.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Every sample, if the host answers.
    pub(crate) fn of_host(port: u16) -> Option<Self> {
        let text = get(port, "/metrics")?.body;
        let samples = text.lines().filter(|line| line.starts_with("quotegate_")).filter_map(|l| l.rsplit_once(' '));
        Some(Self(samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()))
    }

    /// A sample, or 0 if it does not exist yet.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn of(&self, tenant: &str, name: &str) -> f64 {
        self.get(&format!("quotegate_tenant_{name}{{tenant=\"{tenant}\"}}"))
    }

    /// The sum over all tenants.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.all(&format!("quotegate_tenant_{name}{{"))
    }

    /// The tenants that run on this host.
    pub(crate) fn tenants(&self) -> BTreeSet<String> {
        let labels = self.0.keys().filter_map(|name| name.strip_prefix("quotegate_tenant_quotes_total{tenant=\""));
        labels.filter_map(|label| Some(label.split_once('"')?.0.to_owned())).collect()
    }

    /// The sum over all labels.
    pub(crate) fn all(&self, prefix: &str) -> f64 {
        self.0.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    }
}
