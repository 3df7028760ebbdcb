use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// The interval of epoch ticks while a call runs.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// The longest pause between two ticks while calls are so short that no tick meets one. A call may get this much more time
/// than its limit.
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

/// Advances the engine's epoch while there are calls. A thread and not a task, because a task could wait behind the guests
/// that it must stop. Dropping it ends and joins the thread.
#[derive(Debug)]
pub(crate) struct Ticker {
    calls: Arc<Calls>,
    thread: Option<JoinHandle<()>>,
}

/// What callers tell the ticker.
#[derive(Debug, Default)]
struct Calls {
    running: AtomicU64,
    /// Counts all calls.
    begun: AtomicU64,
    /// The ticker waits for a call.
    asleep: AtomicBool,
    stopping: AtomicBool,
}

/// A call that runs. The epoch advances until it is dropped.
#[derive(Debug)]
pub(crate) struct RunningCall(Arc<Calls>);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let calls = Arc::new(Calls::default());
        let (engine, seen) = (engine.weak(), calls.clone());
        let thread = std::thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
            let mut pause = TICK;
            while !seen.stopping.load(SeqCst) {
                let begun = seen.begun.load(SeqCst);
                std::thread::park_timeout(pause);
                let Some(engine) = engine.upgrade() else { break };
                engine.increment_epoch();
                if seen.running.load(SeqCst) > 0 {
                    pause = TICK;
                } else if seen.begun.load(SeqCst) == begun {
                    seen.sleep();
                    pause = TICK;
                } else {
                    // Waking the thread costs more than a few ticks, so it goes on while calls follow one another.
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        })?;
        Ok(Self { calls, thread: Some(thread) })
    }

    /// A call begins.
    pub(crate) fn call(&self) -> RunningCall {
        self.calls.running.fetch_add(1, SeqCst);
        self.calls.begun.fetch_add(1, SeqCst);
        if self.calls.asleep.load(SeqCst) {
            self.wake();
        }
        RunningCall(self.calls.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Calls {
    /// Waits until a call runs.
    fn sleep(&self) {
        self.asleep.store(true, SeqCst);
        while self.running.load(SeqCst) == 0 && !self.stopping.load(SeqCst) {
            std::thread::park();
        }
        self.asleep.store(false, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.calls.stopping.store(true, SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ignored = thread.join();
        }
    }
}

/// Ticks that cover at least `limit`. One more than it takes, because the first may come immediately.
pub(crate) fn ticks(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_cover_the_limit() {
        assert_eq!(ticks(Duration::from_millis(50)), 51);
        assert_eq!(ticks(Duration::from_micros(1)), 2);
        assert_eq!(ticks(Duration::ZERO), 1);
    }

    #[test]
    fn the_ticker_sleeps_between_calls_and_wakes_for_each() {
        let engine = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        let wait_until = |condition: &dyn Fn() -> bool| {
            let began = std::time::Instant::now();
            while !condition() {
                assert!(began.elapsed() < Duration::from_secs(60));
                std::thread::sleep(TICK);
            }
        };
        for _ in 0..3 {
            wait_until(&|| ticker.calls.asleep.load(SeqCst));
            let call = ticker.call();
            wait_until(&|| !ticker.calls.asleep.load(SeqCst));
            std::thread::sleep(20 * TICK);
            assert!(!ticker.calls.asleep.load(SeqCst), "however long the call is");
            drop(call);
        }
    }
}
