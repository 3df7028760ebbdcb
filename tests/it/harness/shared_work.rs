use std::collections::BTreeMap;
use std::process::Command;
use std::time::SystemTime;

use quotegate_test_support::NatsServer;
use serde_json::Value;
use tempfile::TempDir;

use super::cluster::time;
use super::{Cluster, Member, Running, Sim, eventually, free_port};

/// Several hosts that share the tenants `t00`, `t01`, … over a relay.
pub struct SharedWork<'a> {
    pub cluster: Cluster<'a>,
    pub nats: NatsServer,
    pub tenants: Vec<String>,
    folder: TempDir,
}

impl<'a> SharedWork<'a> {
    /// `None` without an emulator or a NATS server.
    pub fn or_skip(project: &'static str, sim: &'a Sim, tenants: usize) -> Option<Self> {
        let work = Self::without_broker_or_skip(project, sim, tenants);
        work.map(|mut work| {
            work.nats.start_again();
            work
        })
    }

    /// The same with a NATS server that does not run yet.
    pub fn without_broker_or_skip(project: &'static str, sim: &'a Sim, tenants: usize) -> Option<Self> {
        let (cluster, nats) = (Cluster::or_skip(project, sim)?, NatsServer::stopped()?);
        let tenants: Vec<String> = (0..tenants).map(|number| format!("t{number:02}")).collect();
        let folder = tempfile::tempdir().unwrap();
        let settings: String = tenants.iter().map(|tenant| format!("[tenants.{tenant}]\n")).collect();
        std::fs::write(folder.path().join("quotegate.toml"), settings).unwrap();
        Some(Self { cluster, nats, tenants, folder })
    }

    /// Starts a host.
    pub fn start(&self, name: &str) -> Member {
        self.start_with(name, |command| command)
    }

    /// Starts a host with changes to its command.
    pub fn start_with(&self, name: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Member {
        let port = free_port();
        let mut command = self.cluster.command(name, port);
        command
            .arg("--config")
            .arg(self.folder.path().join("quotegate.toml"))
            .env_remove("TENANT_ID")
            // Implied by the relay.
            .env_remove("QUOTEGATE_LEASE__ENABLED")
            .env("QUOTEGATE_RELAY__URL", self.nats.url())
            // The emulator shares a busy machine with the tests. Those that wait for takeovers set their own.
            .env("QUOTEGATE_LEASE__TTL_S", "15")
            .env("GLOBAL_WRITES_PER_SEC", "400")
            .env("GLOBAL_BURST", "80")
            .env("PER_SYMBOL_MIN_INTERVAL_MS", "50");
        let running = Running::start(change(&mut command));
        Member { name: name.to_owned(), port, running }
    }

    /// Changes the settings file of all hosts.
    pub fn write_settings(&self, text: &str) {
        std::fs::write(self.folder.path().join("quotegate.toml"), text).unwrap();
    }

    /// Waits until each of the hosts has shards, and each tenant runs on one of them. Returns which.
    pub fn wait_for_spread(&self, members: &[&Member]) -> BTreeMap<String, String> {
        eventually("every tenant runs somewhere", || {
            let mut places = BTreeMap::new();
            for member in members {
                let state = member.state()?;
                let here: Vec<&str> =
                    state["tenants"].as_array()?.iter().map(|tenant| tenant["id"].as_str().unwrap()).collect();
                if state["shards"]["holds"].as_array()?.is_empty() {
                    return None;
                }
                places.extend(here.iter().map(|tenant| ((*tenant).to_owned(), member.name.clone())));
            }
            (places.len() == self.tenants.len()).then_some(places)
        })
    }

    /// When the newest quote document of a tenant was written.
    pub fn newest_write(&self, tenant: &str) -> Option<SystemTime> {
        let documents = self.cluster.emulator.documents(self.cluster.project, &format!("tenants/{tenant}/live_quotes"));
        documents.iter().map(|document| time(&document["updateTime"])).max()
    }

    /// Waits until each of these tenants has a document that was written after `since`, and returns when the last of them
    /// got its first.
    pub fn wait_for_writes_after<'t>(
        &self,
        tenants: impl IntoIterator<Item = &'t String>,
        since: SystemTime,
    ) -> SystemTime {
        let first =
            |tenant: &String| eventually("a document", || self.newest_write(tenant).filter(|written| *written > since));
        tenants.into_iter().map(first).max().unwrap_or(since)
    }

    /// A tenant's heartbeat.
    pub fn heartbeat(&self, tenant: &str) -> Option<Value> {
        let path = format!("tenants/{tenant}/ops/market_ingest");
        Some(self.cluster.emulator.document(self.cluster.project, &path)?["fields"].clone())
    }
}
