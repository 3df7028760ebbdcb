use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

use quotegate_test_support::{Emulator, SHARED_EMULATOR};
use serde_json::Value;

use super::{Answer, Running, Sim, eventually, free_port, get, quotegate};

/// Several hosts with one lease, on one simulator and one project of the shared emulator.
pub struct Cluster<'a> {
    pub emulator: &'static Emulator,
    pub project: &'static str,
    pub sim: &'a Sim,
}

/// One of them.
pub struct Member {
    pub name: String,
    pub port: u16,
    pub running: Running,
}

/// The lease's document.
pub const LEASE: &str = "ops/ingest_lease_iex";

impl<'a> Cluster<'a> {
    /// `None` without an emulator.
    pub fn or_skip(project: &'static str, sim: &'a Sim) -> Option<Self> {
        Some(Self { emulator: SHARED_EMULATOR.as_ref()?, project, sim })
    }

    /// The command that runs a host.
    pub fn command(&self, name: &str, port: u16) -> Command {
        let mut command = quotegate(["run"]);
        command
            .env("TENANT_ID", "acme")
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("MONITORED_SYMBOLS", "SPY,AAPL,MSFT,NVDA")
            .env("PER_SYMBOL_MIN_INTERVAL_MS", "20")
            .env("GLOBAL_WRITES_PER_SEC", "100")
            .env("GLOBAL_BURST", "20")
            .env("FLUSH_INTERVAL_MS", "10")
            .env("HEARTBEAT_INTERVAL_S", "1")
            .env("QUOTEGATE_FEED__URL", self.sim.url())
            .env("QUOTEGATE_LEASE__ENABLED", "true")
            .env("QUOTEGATE_RUN__CONTROL_INTERVAL_S", "1")
            .env("QUOTEGATE_RUN__INSTANCE", name)
            .env("QUOTEGATE_OPS__PORT", port.to_string())
            .env("FIRESTORE_PROJECT_ID", self.project)
            .env("FIRESTORE_EMULATOR_HOST", self.emulator.host());
        command
    }

    /// Starts a host.
    pub fn start(&self, name: &str) -> Member {
        self.start_with(name, |command| command)
    }

    /// Starts a host with changes to its command.
    pub fn start_with(&self, name: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Member {
        let port = free_port();
        let running = Running::start(change(&mut self.command(name, port)));
        Member { name: name.to_owned(), port, running }
    }

    /// Waits until one of them owns the feed and the others wait for it. Returns the owner's place.
    pub fn wait_for_owner(&self, members: &[Member]) -> usize {
        eventually("an owner", || {
            let states: Vec<Value> = members.iter().map(Member::state).collect::<Option<_>>()?;
            let owners: Vec<usize> = (0..members.len()).filter(|at| states[*at]["lease"]["held"] == true).collect();
            assert!(owners.len() <= 1, "two owners: {states:?}");
            let owner = *owners.first()?;
            let agree = |state: &Value| state["lease"]["owner"]["instance"] == members[owner].name.as_str();
            states.iter().all(agree).then_some(owner)
        })
    }

    /// When the newest quote document was written, by the emulator's clock, which is this machine's.
    pub fn newest_write(&self) -> Option<SystemTime> {
        self.write_times().into_values().max()
    }

    /// When each quote document was last written.
    pub fn write_times(&self) -> BTreeMap<String, SystemTime> {
        let documents = self.emulator.documents(self.project, "tenants/acme/live_quotes");
        let of = |document: &Value| (document["name"].as_str().unwrap().to_owned(), time(&document["updateTime"]));
        documents.iter().map(of).collect()
    }

    /// When the lease was last written.
    pub fn newest_renewal(&self) -> SystemTime {
        time(&self.emulator.document(self.project, LEASE).expect("a lease")["updateTime"])
    }

    /// Waits for a quote document that was written after `time`, and returns when that was.
    pub fn wait_for_write_after(&self, time: SystemTime) -> SystemTime {
        eventually("a document", || self.newest_write().filter(|written| *written > time))
    }

    /// The tenant's heartbeat.
    pub fn heartbeat(&self) -> Option<Value> {
        let document = self.emulator.document(self.project, "tenants/acme/ops/market_ingest")?;
        Some(document["fields"].clone())
    }
}

impl Member {
    /// `/api/state`, if it answers.
    pub fn state(&self) -> Option<Value> {
        serde_json::from_str(&get(self.port, "/api/state")?.body).ok()
    }

    /// One of the tenant's counters.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.state()?["tenants"][0][name].as_u64()
    }

    pub fn readyz(&self) -> Option<Answer> {
        get(self.port, "/readyz")
    }
}

/// From Firestore's text.
pub fn time(text: &Value) -> SystemTime {
    let time: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(time.as_nanosecond()).unwrap())
}
