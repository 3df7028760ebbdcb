use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use quotegate_document::TenantId;

use super::Wanted;
use crate::inbox::Inbox;

/// A change of the routes.
#[derive(Debug)]
pub enum RouteChange {
    /// A new tenant.
    Add(TenantId, Wanted, Arc<Inbox>),
    /// The tenant wants these symbols instead. A symbol that it wants again keeps its old slot.
    Want(TenantId, Wanted),
    /// The tenant gets no more quotes.
    Remove(TenantId),
}

/// Changes for a [`Router`] that runs on another thread.
#[derive(Debug, Default)]
pub struct RouteChanges {
    /// Checked before each batch of quotes, so that the reader takes the lock only if there are changes.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<RouteChange>,
    /// The router has ended.
    ended: bool,
}

impl RouteChanges {
    /// Sends changes, which apply together.
    pub fn send(&self, changes: Vec<RouteChange>) {
        let mut waiting = self.waiting.lock();
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
        let mut waiting = self.waiting.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut waiting.changes)
    }

    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        close_added(&waiting.changes);
    }
}

/// A tenant that was not added before the router ended gets no quotes either.
fn close_added(changes: &[RouteChange]) {
    for change in changes {
        if let RouteChange::Add(_, _, inbox) = change {
            inbox.close();
        }
    }
}
