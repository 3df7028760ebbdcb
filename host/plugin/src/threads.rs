use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_executor::{Executor, Task};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Threads of their own for the tasks of tenants with plugins.
///
/// A guest in an endless loop holds its thread until the time limit stops it, so it must not be a thread that the feed,
/// the sink or tenants without plugins need. Three ways were weighed:
///
/// - Sending each batch to a pool and awaiting the answer costs two thread changes, some 10 µs: over 100 ns a quote
///   in batches of 64, ten times the filter itself.
/// - Fibers that yield at epoch ticks run loops on the very workers that read the feed, a millisecond at a time, and
///   make a dropped future something that must never touch its store again.
/// - So the whole task of the tenant runs here, and its calls are plain calls. Threads are several times the cores: the
///   operating system shares the cores among them, loops included, and a neighbour always finds a thread.
///
/// It is not a second tokio runtime, because a blocked tokio worker keeps the task that it woke last, and may hold the
/// timer, until it comes back. Here each task that is ready is in a queue that all threads take from, while timers and
/// sockets stay with the runtime that made this value.
#[derive(Debug)]
pub struct PluginThreads {
    executor: Arc<Executor<'static>>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl PluginThreads {
    /// So many loops at once leave the neighbours a thread; as each looping plugin is in quarantine after three calls, more
    /// than this at the same moment is a coincidence.
    pub fn default_count() -> NonZeroUsize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores.saturating_mul(4).max(8)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Starts the threads. Tasks on them may use tokio's timers, channels and sockets, which `tokio` serves.
    pub fn start(count: NonZeroUsize, tokio: &Handle) -> std::io::Result<Self> {
        let (executor, stop) = (Arc::new(Executor::new()), CancellationToken::new());
        let mut running = Self { executor, stop, threads: Vec::with_capacity(count.get()) };
        for number in 0..count.get() {
            let (executor, stop, tokio) = (running.executor.clone(), running.stop.clone(), tokio.clone());
            let work = move || {
                let _timers = tokio.enter();
                futures_lite::future::block_on(executor.run(stop.cancelled()));
            };
            running.threads.push(std::thread::Builder::new().name(format!("plugin-{number}")).spawn(work)?);
        }
        Ok(running)
    }

    /// Runs a task here. Dropping the handle cancels the task at its next await, never within a call of a guest.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.executor.spawn(task)
    }
}

impl Drop for PluginThreads {
    /// Waits for calls under way, which their time limits end. Tasks that are not finished are dropped.
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(event_type = "plugin_thread_panicked", "a task on a plugin thread panicked");
            }
        }
    }
}
