//! What holds one tenant back from writing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// What holds one tenant back. Set from outside, heeded by the tenant's task.
#[derive(Debug)]
pub struct Brake {
    /// Goes up with every change, so that nobody has to lock to see that there was none.
    version: AtomicU64,
    reason: Mutex<Option<Arc<str>>>,
    doorbell: Arc<Notify>,
}

impl Brake {
    /// One that holds nobody back. Changes ring `doorbell`.
    pub fn new(doorbell: Arc<Notify>) -> Self {
        Self { version: AtomicU64::new(0), reason: Mutex::new(None), doorbell }
    }

    /// Why the tenant must not write; `None` if it may.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Differs from the last time if the reason does.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Sets or takes away the reason. True if that changes anything.
    pub fn set(&self, reason: Option<Arc<str>>) -> bool {
        let mut held = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *held != reason;
        if changed {
            *held = reason;
            self.version.fetch_add(1, Ordering::Release);
            self.doorbell.notify_one();
        }
        changed
    }
}
