//! Pauses one tenant's writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Why a tenant must not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// An operator has paused it. The text says how.
    Operator(Arc<str>),
    /// Its documents are another host's work.
    NotOwner,
}

impl Pause {
    /// How an operator has paused the tenant, if one has.
    pub fn by_operator(&self) -> Option<&Arc<str>> {
        match self {
            Self::Operator(how) => Some(how),
            Self::NotOwner => None,
        }
    }
}

/// Whether one tenant is paused, and why. Set by the host, read by the tenant's task.
#[derive(Debug)]
pub struct PauseFlag {
    /// Goes up with every change, so that readers can detect one without the lock.
    version: AtomicU64,
    pause: Mutex<Option<Pause>>,
    wake: Arc<Notify>,
}

impl PauseFlag {
    /// A flag that is not set. Changes notify `wake`.
    pub fn new(wake: Arc<Notify>) -> Self {
        Self { version: AtomicU64::new(0), pause: Mutex::new(None), wake }
    }

    /// Why the tenant must not write; `None` if it may.
    pub fn get(&self) -> Option<Pause> {
        self.pause.lock().clone()
    }

    /// Changes whenever the pause does.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Sets or clears the pause. True if that changes anything.
    pub fn set(&self, pause: Option<Pause>) -> bool {
        let mut held = self.pause.lock();
        let changed = *held != pause;
        if changed {
            *held = pause;
            self.version.fetch_add(1, Ordering::Release);
            self.wake.notify_one();
        }
        changed
    }
}
