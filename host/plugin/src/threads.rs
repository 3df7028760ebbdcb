mod os_thread;
mod pool;

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use async_task::Task;
use quotegate_pace::DEFAULT_WEIGHT;
use tokio::runtime::Handle;

use pool::Pool;

/// The threads on which tenants run, and with them their plugins.
///
/// A guest in an endless loop blocks its thread until the time limit stops it, so it must not run on a thread that the
/// feed or the sink needs. There were three options:
///
/// - Sending each batch to a pool and awaiting the result costs two context switches, some 10 µs: over 100 ns per quote in
///   batches of 64, ten times the cost of the filter.
/// - Fibers that yield at epoch ticks would run loops on the workers that read the feed, a millisecond at a time, and a
///   dropped future must then never touch its store again.
/// - Running the tenant's whole task on this pool makes calls to plugins ordinary calls.
///
/// As many tasks run at once as there are processors. Whenever a processor is free, the task that has used the least
/// processor time for its weight is next, see [`quotegate_pace::FairQueue`]. Tasks whose turns are long have that many
/// threads of their own, with a lower priority, so they never hold up those with short turns, nor the feed and the sink.
/// Neither does a turn that takes longer than a slice: another thread takes over, and one is started if there is none.
///
/// The pool is not a second tokio runtime, because a blocked tokio worker holds on to the task that it woke last, and
/// possibly to the timer, and because it runs tasks in the order in which they were woken. Timers and sockets stay with the
/// main runtime.
#[derive(Debug)]
pub struct PluginThreads {
    pool: Arc<Pool>,
}

/// A task's share of processor time while others want it too, relative to [`DEFAULT_WEIGHT`].
#[derive(Debug, Clone)]
pub struct Weight(Arc<AtomicU32>);

impl Weight {
    /// A weight that can be changed while its task runs.
    pub fn new(weight: u32) -> Self {
        Self(Arc::new(AtomicU32::new(weight)))
    }

    /// Changes it from the next turn on.
    pub fn set(&self, weight: u32) {
        self.0.store(weight, Relaxed);
    }

    fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::new(DEFAULT_WEIGHT)
    }
}

impl PluginThreads {
    /// How long a task that is ready waits for a thread that already runs, before another one is woken for it.
    pub const WAKE_DELAY: Duration = Duration::from_millis(2);

    /// One per processor.
    pub fn default_count() -> NonZeroUsize {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// Starts threads that run `count` tasks at once. The tasks may use the timers, channels and sockets of `tokio`.
    pub fn start(count: NonZeroUsize, tokio: &Handle) -> std::io::Result<Self> {
        Self::start_with(count, Self::WAKE_DELAY, tokio)
    }

    /// Like [`Self::start`], with another delay than [`Self::WAKE_DELAY`].
    pub fn start_with(count: NonZeroUsize, wake_delay: Duration, tokio: &Handle) -> std::io::Result<Self> {
        let running = Self { pool: Arc::new(Pool::new(count.get(), wake_delay, tokio.clone())) };
        running.pool.start()?;
        Ok(running)
    }

    /// Runs a task. Dropping the handle cancels the task at its next await, never during a call to a guest.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.spawn_with(Weight::default(), task)
    }

    /// Runs a task with its own weight.
    pub fn spawn_with<T: Send + 'static>(
        &self,
        weight: Weight,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.pool.spawn(weight, task)
    }
}

impl Drop for PluginThreads {
    /// Waits for running calls, which end at their time limits at the latest, and drops unfinished tasks. Stop the calls
    /// first ([`crate::PluginEngine::stop_calls`]) if it must not wait.
    fn drop(&mut self) {
        self.pool.stop();
    }
}
