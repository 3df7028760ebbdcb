use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Written only by the reloader.
#[derive(Debug, Default)]
pub(crate) struct ReloadStatus {
    applied: AtomicU64,
    refused: AtomicU64,
    last_refused: AtomicBool,
}

impl ReloadStatus {
    pub(crate) fn count_applied(&self) {
        self.applied.fetch_add(1, Relaxed);
        self.last_refused.store(false, Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
        self.last_refused.store(true, Relaxed);
    }

    pub(super) fn snapshot(&self) -> ReloadSnapshot {
        ReloadSnapshot {
            applied: self.applied.load(Relaxed),
            refused: self.refused.load(Relaxed),
            last_refused: self.last_refused.load(Relaxed),
        }
    }
}

/// What became of the settings that changed while the host ran.
#[derive(Debug, Clone, Copy)]
pub struct ReloadSnapshot {
    /// Reloads in effect.
    pub applied: u64,
    /// Reloads that changed nothing, because something was wrong.
    pub refused: u64,
    /// The last one was refused, so the host runs with other settings than its files have.
    pub last_refused: bool,
}
