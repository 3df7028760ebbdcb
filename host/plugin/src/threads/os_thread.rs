use std::path::PathBuf;
use std::time::Duration;

/// A thread, as the operating system knows it.
#[derive(Debug, Clone)]
pub(super) struct OsThread {
    /// Its folder below `/proc`, on Linux.
    folder: Option<PathBuf>,
}

impl OsThread {
    pub(super) fn current() -> Self {
        let folder = std::fs::read_link("/proc/thread-self").ok();
        Self { folder: folder.map(|folder| PathBuf::from("/proc").join(folder)) }
    }

    /// The CPU time of the thread so far. `None` if the operating system does not say, or the thread has ended.
    pub(super) fn used(&self) -> Option<Duration> {
        // The first number is nanoseconds, see Documentation/scheduler/sched-stats.rst of Linux.
        let text = std::fs::read_to_string(self.folder.as_ref()?.join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

/// Lets all other threads go before this one, for the rest of its life: going back takes a privilege.
pub(super) fn lower_priority() {
    // A tenth of the usual share, if others want the processor. Elsewhere than on Linux, this would be the whole process.
    #[cfg(target_os = "linux")]
    {
        let usual = rustix::process::getpriority_process(None);
        if let Err(error) = usual.and_then(|usual| rustix::process::setpriority_process(None, usual + 10)) {
            tracing::debug!(%error, "could not lower the priority of a thread");
        }
    }
}
