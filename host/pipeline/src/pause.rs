//! Pauses one tenant's writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Whether one tenant is paused, and why. Set by the host, read by the tenant's task.
#[derive(Debug)]
pub struct PauseFlag {
    /// Goes up with every change, so that readers can detect one without the lock.
    version: AtomicU64,
    reason: Mutex<Option<Arc<str>>>,
    wake: Arc<Notify>,
}

impl PauseFlag {
    /// A flag that is not set. Changes notify `wake`.
    pub fn new(wake: Arc<Notify>) -> Self {
        Self { version: AtomicU64::new(0), reason: Mutex::new(None), wake }
    }

    /// Why the tenant must not write; `None` if it may.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.reason.lock().clone()
    }

    /// Changes whenever the reason does.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Sets or clears the reason. True if that changes anything.
    pub fn set(&self, reason: Option<Arc<str>>) -> bool {
        let mut held = self.reason.lock();
        let changed = *held != reason;
        if changed {
            *held = reason;
            self.version.fetch_add(1, Ordering::Release);
            self.wake.notify_one();
        }
        changed
    }
}
