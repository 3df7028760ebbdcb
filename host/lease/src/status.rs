use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use quotegate_document::UnixNanos;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::Clock;

/// What other parts of the program know of the lease. Cheap to clone and to ask.
#[derive(Clone)]
pub struct LeaseHandle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    clock: Clock,
    /// The clock's nanoseconds; 0 while this process is not the owner. Written only by the driver.
    held_until: AtomicU64,
    snapshot: Mutex<LeaseSnapshot>,
    pub(crate) held: watch::Sender<bool>,
    pub(crate) leave: Notify,
    pub(crate) left: watch::Sender<bool>,
}

/// The lease at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSnapshot {
    /// This process is the owner.
    pub held: bool,
    /// The current epoch, as far as this process knows.
    pub epoch: u64,
    /// The current owner, as far as this process knows.
    pub owner: Option<Owner>,
    /// How often this process became the owner.
    pub taken: u64,
    /// How often it stopped being the owner without having released the lease.
    pub lost: u64,
    /// Why the last request for the lease failed, if it did. A standby without a problem could take over now.
    pub problem: Option<String>,
}

/// The owner, by its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its name.
    pub instance: String,
    /// Where its page is.
    pub address: Option<String>,
    /// The program's version.
    pub version: String,
    /// When it took over, by its own clock.
    pub since: UnixNanos,
}

impl std::fmt::Debug for LeaseHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl LeaseHandle {
    pub(crate) fn new(clock: Clock) -> Self {
        let shared = Shared {
            clock,
            held_until: AtomicU64::new(0),
            snapshot: Mutex::default(),
            held: watch::Sender::new(false),
            leave: Notify::new(),
            left: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// True while this process is the owner. One look at the clock: also right in a process that has just been woken, before
    /// any of its tasks has run.
    pub fn is_held(&self) -> bool {
        (self.shared.clock)().nanos() < self.shared.held_until.load(Relaxed)
    }

    /// True while this process is the owner. Changes a moment later than [`Self::is_held`].
    pub fn held(&self) -> watch::Receiver<bool> {
        self.shared.held.subscribe()
    }

    /// Everything that is known.
    pub fn snapshot(&self) -> LeaseSnapshot {
        LeaseSnapshot { held: self.is_held(), ..self.shared.snapshot.lock().clone() }
    }

    /// Gives the lease up, and does not want it again. Call it when this process has stopped to act as the owner. Returns
    /// when the lease is released, or false after `limit`: then others have to wait until it has expired.
    pub async fn release(&self, limit: Duration) -> bool {
        let mut left = self.shared.left.subscribe();
        self.shared.leave.notify_one();
        tokio::time::timeout(limit, left.wait_for(|left| *left)).await.is_ok_and(|left| left.is_ok())
    }

    pub(crate) fn set_held_until(&self, nanos: u64) {
        self.shared.held_until.store(nanos, Relaxed);
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut LeaseSnapshot)) {
        change(&mut self.shared.snapshot.lock());
    }
}
