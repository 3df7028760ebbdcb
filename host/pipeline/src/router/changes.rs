use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quotegate_document::TenantId;

use super::Wanted;
use crate::inbox::Inbox;

/// What is to be different from now on.
#[derive(Debug)]
pub enum RouteChange {
    /// This tenant gets quotes too.
    Add(TenantId, Wanted, Arc<Inbox>),
    /// This tenant wants these symbols instead. A symbol that it comes back to has the slot that it had.
    Want(TenantId, Wanted),
    /// This tenant gets nothing more.
    Remove(TenantId),
}

/// The way to a [`Router`] that is at work on another thread.
#[derive(Debug, Default)]
pub struct RouteChanges {
    /// Looked at before each batch of quotes: the reader takes the lock only if there is something.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<RouteChange>,
    /// There is no router any more.
    ended: bool,
}

impl RouteChanges {
    /// Hands over changes, which count together.
    pub fn send(&self, changes: Vec<RouteChange>) {
        let mut waiting = self.lock();
        if waiting.ended {
            return close_added(&changes);
        }
        waiting.changes.extend(changes);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Vec<RouteChange> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut waiting = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut waiting.changes)
    }

    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        close_added(&waiting.changes);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant whose router ended before it could be added gets no quotes either.
fn close_added(changes: &[RouteChange]) {
    for change in changes {
        if let RouteChange::Add(_, _, inbox) = change {
            inbox.close();
        }
    }
}
