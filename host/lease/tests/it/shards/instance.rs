//! An instance that competes for the feed and works, and what runs its tenants.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotegate_lease::{
    Clock, Holder, InstanceRole, Lease, LeaseSettings, LeaseStore, ShardSettings, ShardStore, Shards, ShardsHandle,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub(crate) const TTL: Duration = Duration::from_secs(3);
pub(crate) const SHARDS: u16 = 64;

/// How long tenants take to end and to start.
const SWITCH: Duration = Duration::from_millis(20);

/// No test may depend on how fast the machine is.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Instance {
    pub(crate) lease: Lease,
    shards: Shards,
    running: Arc<Mutex<BTreeSet<u16>>>,
    tenants: JoinHandle<()>,
}

impl Instance {
    pub(crate) fn start(name: &str, clock: &Clock, lease: Arc<dyn LeaseStore>, store: Arc<dyn ShardStore>) -> Self {
        let holder = Holder::new(name.to_owned(), None, "1".into());
        let clock = clock.clone();
        let lease = Lease::start(LeaseSettings { holder: holder.clone(), ttl: TTL, clock: clock.clone() }, lease);
        let settings = ShardSettings { holder, role: InstanceRole::All, shards: SHARDS, ttl: TTL, clock };
        let shards = Shards::start(settings, store, Some(lease.handle()));
        let running = Arc::default();
        let tenants = tokio::spawn(run_tenants(shards.handle(), Arc::clone(&running)));
        Self { lease, shards, running, tenants }
    }

    pub(crate) fn handle(&self) -> ShardsHandle {
        self.shards.handle()
    }

    pub(crate) fn coordinates(&self) -> bool {
        self.lease.handle().is_held()
    }

    /// The shards for which it may write.
    pub(crate) fn served(&self) -> BTreeSet<u16> {
        if self.handle().may_write() { self.running.lock().unwrap().clone() } else { BTreeSet::new() }
    }

    /// Ends as a killed process does.
    pub(crate) async fn kill(self) {
        self.tenants.abort();
        self.shards.end().await;
        self.lease.end().await;
    }

    /// Ends politely.
    pub(crate) async fn leave(self) {
        assert!(self.handle().leave(LIMIT).await);
        assert!(self.lease.handle().release(LIMIT).await);
        self.kill().await;
    }
}

async fn run_tenants(shards: ShardsHandle, running: Arc<Mutex<BTreeSet<u16>>>) {
    let mut assigned = shards.assigned();
    loop {
        let wanted = BTreeSet::clone(&assigned.borrow_and_update());
        if *running.lock().unwrap() != wanted {
            running.lock().unwrap().extend(&wanted);
            sleep(SWITCH).await;
            running.lock().unwrap().clone_from(&wanted);
        }
        shards.confirm(wanted);
        if assigned.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until all shards are served, and returns how long that took. No shard ever has two writers.
pub(crate) async fn until_all_are_served(instances: &[Instance]) -> Duration {
    let began = Instant::now();
    loop {
        let parts: Vec<BTreeSet<u16>> = instances.iter().map(Instance::served).collect();
        let count: usize = parts.iter().map(BTreeSet::len).sum();
        let all: BTreeSet<u16> = parts.into_iter().flatten().collect();
        assert_eq!(all.len(), count, "a shard has two writers");
        if count == usize::from(SHARDS) && is_even(instances) {
            return began.elapsed();
        }
        assert!(began.elapsed() < LIMIT, "{:?}", instances.iter().map(Instance::handle).collect::<Vec<_>>());
        sleep(Duration::from_millis(1)).await;
    }
}

fn is_even(instances: &[Instance]) -> bool {
    let least = usize::from(SHARDS) / instances.len();
    instances.iter().all(|instance| (least..=least + 1).contains(&instance.served().len()))
}
