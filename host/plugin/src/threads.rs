use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_executor::{Executor, Task};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A thread pool for the tasks of tenants with plugins.
///
/// A guest in an endless loop blocks its thread until the time limit stops it, so it must not run on a thread that the
/// feed, the sink or tenants without plugins need. There were three options:
///
/// - Sending each batch to a pool and awaiting the result costs two context switches, some 10 µs: over 100 ns per quote in
///   batches of 64, ten times the cost of the filter.
/// - Fibers that yield at epoch ticks would run loops on the workers that read the feed, a millisecond at a time, and a
///   dropped future must then never touch its store again.
/// - Running the tenant's whole task on this pool makes calls to plugins ordinary calls. There are several threads per
///   core, so the operating system shares the cores even with endless loops, and other tenants find a free thread.
///
/// The pool is not a second tokio runtime, because a blocked tokio worker holds on to the task that it woke last, and
/// possibly to the timer. Here all threads take tasks from one queue, while timers and sockets stay with the main runtime.
#[derive(Debug)]
pub struct PluginThreads {
    executor: Arc<Executor<'static>>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl PluginThreads {
    /// Four per core, at least 8. With fewer endless loops than threads at once, other tenants still find a thread; each
    /// looping plugin is quarantined after three calls.
    pub fn default_count() -> NonZeroUsize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores.saturating_mul(4).max(8)).unwrap_or(NonZeroUsize::MIN)
    }

    /// Starts the threads. Their tasks may use the timers, channels and sockets of `tokio`.
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

    /// Runs a task on the pool. Dropping the handle cancels the task at its next await, never during a call to a guest.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.executor.spawn(task)
    }
}

impl Drop for PluginThreads {
    /// Waits for running calls, which end at their time limits at the latest, and drops unfinished tasks.
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(event_type = "plugin_thread_panicked", "a task on a plugin thread panicked");
            }
        }
    }
}
