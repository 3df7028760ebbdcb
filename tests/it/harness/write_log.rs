use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use quotegate_test_support::{Act, Arrival, FakeFirestore, Ledger};
use tokio::runtime::Runtime;

use super::eventually;

/// A Firestore inside the test that notes which host writes quotes of which tenant, and when they arrive. Each host has an
/// address of its own, at which it finds the same documents as the others.
pub struct WriteLog {
    pub ledger: Arc<Ledger>,
    writes: Arc<Mutex<Vec<Write>>>,
    servers: Mutex<Vec<FakeFirestore>>,
    runtime: Runtime,
}

/// A quote's document that arrived, whatever became of it.
#[derive(Debug, Clone)]
pub struct Write {
    pub at: Instant,
    pub host: Arc<str>,
    pub tenant: String,
}

impl WriteLog {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { ledger: Arc::default(), writes: Arc::default(), servers: Mutex::default(), runtime }
    }

    /// For `FIRESTORE_EMULATOR_HOST` of this host.
    pub fn address_for(&self, host: &str) -> String {
        let (host, writes): (Arc<str>, _) = (host.into(), self.writes.clone());
        let note = move |arrival: &Arrival| {
            let tenant = arrival.path.strip_prefix("tenants/").and_then(|below| below.split_once("/live_quotes/"));
            if let Some((tenant, _)) = tenant {
                let write = Write { at: Instant::now(), host: host.clone(), tenant: tenant.to_owned() };
                writes.lock().unwrap().push(write);
            }
            Act::Write
        };
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = self.runtime.block_on(FakeFirestore::start_on(anywhere, self.ledger.clone(), note));
        let address = server.host();
        self.servers.lock().unwrap().push(server);
        address
    }

    /// What has arrived since then, in order.
    pub fn since(&self, since: Instant) -> Vec<Write> {
        let writes = self.writes.lock().unwrap();
        writes[writes.partition_point(|write| write.at < since)..].to_vec()
    }

    /// Waits until each of these tenants has been written since then by a host that `fits`, and returns when that first was.
    pub fn first_writes(
        &self,
        tenants: &BTreeSet<String>,
        since: Instant,
        fits: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Instant> {
        eventually("a write of each tenant", || {
            let mut first = BTreeMap::new();
            for write in self.since(since) {
                if tenants.contains(&write.tenant) && fits(&write.host) {
                    first.entry(write.tenant).or_insert(write.at);
                }
            }
            (first.len() == tenants.len()).then_some(first)
        })
    }
}
