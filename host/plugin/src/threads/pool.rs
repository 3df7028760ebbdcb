use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_task::{Builder, Runnable, Task};
use parking_lot::{Condvar, Mutex};
use quotegate_pace::{FairQueue, MemberId, TurnLength};
use tokio::runtime::Handle;

use super::os_thread::{OsThread, lower_priority};
use super::{PluginThreads, Weight};
use crate::call_clock::thread_time;

/// The threads, and the tasks that want to run on them.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    /// Idle threads wait here for a task.
    work: Condvar,
    /// Likewise those that run only long turns.
    long_work: Condvar,
    /// The monitor waits here.
    monitor: Condvar,
    /// So many turns of each length run at once, apart from those over their slice. The operating system shares the
    /// processors among them, so a short turn never waits for long ones.
    processors: usize,
    wake_delay: Duration,
    tokio: Handle,
}

#[derive(Debug, Default)]
struct State {
    queue: FairQueue<Work>,
    /// The turns that run; free places are used again.
    turns: Vec<Option<Turn>>,
    /// Turns within their slice.
    short: usize,
    /// Likewise, of tasks whose last turn was long.
    long: usize,
    /// Threads without a turn.
    idle: usize,
    /// Idle threads that have been woken and have not looked yet.
    woken: usize,
    /// Threads without a turn that run only long ones.
    idle_long: usize,
    monitor_sleeps: bool,
    stopping: bool,
    threads: Vec<JoinHandle<()>>,
    /// For their names.
    started: usize,
}

#[derive(Debug)]
struct Turn {
    id: MemberId,
    length: TurnLength,
    since: Instant,
    thread: Arc<OsThread>,
    /// What the thread had used before; only of long turns.
    used_before: Duration,
    over_slice: bool,
}

impl Turn {
    fn is_over_slice(&self, now: Instant) -> bool {
        let (took, slice) = (now.duration_since(self.since), slice(self.length));
        let is_slow = || {
            let used = self.thread.used().map(|used| used.saturating_sub(self.used_before));
            took < LONGEST_WAIT * slice && used.is_some_and(|used| used < slice)
        };
        took >= slice && (self.length == TurnLength::Short || !is_slow())
    }
}

/// One turn of a task.
#[derive(Debug)]
struct Work {
    runnable: Runnable,
    weight: Weight,
}

/// Removes a task from the queue once its future is dropped, whether it has ended or was cancelled.
struct Membership {
    pool: Arc<Pool>,
    id: MemberId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let work = self.pool.state.lock().queue.remove(self.id);
        // Without the lock, because this may drop more.
        drop(work);
    }
}

/// A turn that takes longer than this no longer counts, so another one can start. Short turns in wall time, long ones in
/// processor time: if they are slow because others use the processors, starting more of them makes that worse.
fn slice(length: TurnLength) -> Duration {
    match length {
        TurnLength::Short => Duration::from_millis(10),
        // Several calls of a plugin at their default limit: starting more of these only makes all of them slower.
        TurnLength::Long => Duration::from_millis(250),
    }
}

/// A long turn no longer counts after this many times its slice, in wall time.
const LONGEST_WAIT: u32 = 10;

/// The monitor keeps looking for this long after the last turn, and a thread for long turns is kept: waking or starting one
/// costs more.
const LINGER: Duration = Duration::from_millis(100);

/// While turns are short and no task waits, the monitor's looks are up to this many times the wake delay apart.
const LONGEST_PAUSE: u32 = 4;

impl Pool {
    pub(super) fn new(processors: usize, wake_delay: Duration, tokio: Handle) -> Self {
        let [work, long_work, monitor] = [(); 3].map(|()| Condvar::new());
        Self { state: Mutex::default(), work, long_work, monitor, processors, wake_delay, tokio }
    }

    pub(super) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let pool = self.clone();
        let monitor = std::thread::Builder::new().name("plugin-monitor".into()).spawn(move || pool.watch())?;
        let mut state = self.state.lock();
        state.threads.push(monitor);
        (0..2 * self.processors).try_for_each(|_| self.start_thread(&mut state))
    }

    /// Ends all threads once their turns have ended, and drops the tasks that wait to run.
    pub(super) fn stop(&self) {
        let threads = {
            let mut state = self.state.lock();
            state.stopping = true;
            std::mem::take(&mut state.threads)
        };
        self.work.notify_all();
        self.long_work.notify_all();
        self.monitor.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(event_type = "plugin_thread_panicked", "a task on a plugin thread panicked");
            }
        }
        // Dropping a task may wake another.
        loop {
            let waiting = self.state.lock().queue.drain();
            if waiting.is_empty() {
                break;
            }
        }
    }

    pub(super) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        weight: Weight,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let id = self.state.lock().queue.add();
        let (pool, membership) = (self.clone(), Membership { pool: self.clone(), id });
        let future = async move {
            let _membership = membership;
            task.await
        };
        let schedule = move |runnable| pool.push(id, Work { runnable, weight: weight.clone() });
        let (runnable, task) = Builder::new().propagate_panic(true).spawn(|()| future, schedule);
        runnable.schedule();
        task
    }

    /// A task wants to run. Wakes a thread only if none runs: one that does takes the task next, and until then more work
    /// comes together. If it does not come to that, the monitor wakes another, so it is woken if no thread is.
    fn push(&self, id: MemberId, work: Work) {
        let mut state = self.state.lock();
        state.queue.wake(id, work);
        let most = if self.wake_delay.is_zero() { self.processors } else { 1 };
        let can_start = |length| state.can_start_turn(length, self.processors);
        let wakes_long = state.idle_long > 0 && can_start(TurnLength::Long);
        let wakes_thread = state.idle > state.woken
            && state.short + state.woken < most
            && (can_start(TurnLength::Short) || (!wakes_long && can_start(TurnLength::Long)));
        state.woken += usize::from(wakes_thread);
        let wakes_monitor = !wakes_thread && std::mem::take(&mut state.monitor_sleeps);
        drop(state);
        if wakes_long {
            self.long_work.notify_one();
        }
        if wakes_thread {
            self.work.notify_one();
        }
        if wakes_monitor {
            self.monitor.notify_one();
        }
    }

    /// A thread's life. Once it has run a long turn, it has a lower priority and runs no short ones.
    fn work(self: &Arc<Self>) {
        let _timers = self.tokio.enter();
        let (thread, mut for_short) = (Arc::new(OsThread::current()), true);
        let mut cpu = CpuTime::now();
        let mut state = self.state.lock();
        while !state.stopping {
            let Some((place, length, work)) = state.start(self.processors, &thread, for_short) else {
                if !for_short {
                    state.idle_long += 1;
                    let result = self.long_work.wait_for(&mut state, LINGER);
                    state.idle_long -= 1;
                    if result.timed_out() {
                        return;
                    }
                    continue;
                }
                if state.idle >= 2 * self.processors {
                    // It took over from a turn that has ended.
                    return;
                }
                state.idle += 1;
                self.work.wait(&mut state);
                state.idle -= 1;
                state.woken = state.woken.saturating_sub(1);
                continue;
            };
            if length == TurnLength::Long && for_short {
                for_short = false;
                // Before its priority is lowered, which a new thread would inherit.
                if state.idle == 0 {
                    self.start_thread_or_warn(&mut state);
                }
                lower_priority();
            }
            drop(state);
            let Work { runnable, weight } = work;
            let turn = cpu.begin();
            runnable.run();
            let used = cpu.end(turn);
            state = self.state.lock();
            state.finish(place, used, weight.get());
        }
    }

    /// The monitor's life: sees to it that no task waits while it could run.
    fn watch(self: &Arc<Self>) {
        let interval = if self.wake_delay.is_zero() { PluginThreads::WAKE_DELAY } else { self.wake_delay };
        let mut looked = Instant::now();
        let (mut pause, mut quiet_since) = (interval, looked);
        let mut state = self.state.lock();
        while !state.stopping {
            if looked.duration_since(quiet_since) >= LINGER {
                state.monitor_sleeps = true;
                self.monitor.wait(&mut state);
                (looked, quiet_since) = (Instant::now(), Instant::now());
                pause = interval;
            }
            self.monitor.wait_for(&mut state, pause);
            let now = Instant::now();
            let is_needed = state.can_start(usize::MAX) || state.has_turn_since(looked);
            pause = if is_needed { interval } else { (2 * pause).min(LONGEST_PAUSE * interval) };
            looked = now;
            if is_needed || state.turns.iter().any(Option::is_some) {
                quiet_since = now;
            }
            state.mark_over_slice(now);
            if state.woken > 0 || !state.can_start(self.processors) || state.stopping {
                continue;
            }
            if state.idle > state.woken {
                state.woken += 1;
                self.work.notify_one();
            } else {
                self.start_thread_or_warn(&mut state);
            }
        }
    }

    fn start_thread_or_warn(self: &Arc<Self>, state: &mut State) {
        if let Err(error) = self.start_thread(state) {
            tracing::warn!(event_type = "plugin_threads", %error, "could not start a thread to take over from a slow plugin");
        }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        state.threads.retain(|thread| !thread.is_finished());
        let pool = self.clone();
        let name = format!("plugin-{}", state.started);
        state.threads.push(std::thread::Builder::new().name(name).spawn(move || pool.work())?);
        state.started += 1;
        Ok(())
    }
}

impl State {
    /// Takes the task that runs next, if a processor is free for it and it may run on this thread. Returns the turn's place.
    fn start(
        &mut self,
        processors: usize,
        thread: &Arc<OsThread>,
        for_short: bool,
    ) -> Option<(usize, TurnLength, Work)> {
        let (short, long) = (for_short && self.short < processors, self.long < processors);
        let (id, length, work) = self.queue.start(|length| if length == TurnLength::Short { short } else { long })?;
        *self.count(length) += 1;
        let place = self.turns.iter().position(Option::is_none).unwrap_or(self.turns.len());
        if place == self.turns.len() {
            self.turns.push(None);
        }
        let used_before = if length == TurnLength::Long { thread_time() } else { Duration::ZERO };
        self.turns[place] =
            Some(Turn { id, length, since: Instant::now(), thread: thread.clone(), used_before, over_slice: false });
        Some((place, length, work))
    }

    fn can_start(&self, processors: usize) -> bool {
        self.can_start_turn(TurnLength::Short, processors) || self.can_start_turn(TurnLength::Long, processors)
    }

    fn can_start_turn(&self, length: TurnLength, processors: usize) -> bool {
        let running = if length == TurnLength::Short { self.short } else { self.long };
        running < processors && self.queue.has_ready(length)
    }

    /// Whether a turn runs that had begun by then.
    fn has_turn_since(&self, then: Instant) -> bool {
        self.turns.iter().flatten().any(|turn| turn.since <= then)
    }

    /// The turn has ended, and used so much processor time.
    fn finish(&mut self, place: usize, used: Duration, weight: u32) {
        let Some(turn) = self.turns[place].take() else { return };
        if !turn.over_slice {
            *self.count(turn.length) -= 1;
        }
        self.queue.finish(turn.id, used, weight);
    }

    fn mark_over_slice(&mut self, now: Instant) {
        for place in 0..self.turns.len() {
            let Some(turn) = &mut self.turns[place] else { continue };
            if !turn.over_slice && turn.is_over_slice(now) {
                turn.over_slice = true;
                let (id, length) = (turn.id, turn.length);
                *self.count(length) -= 1;
                self.queue.leave_behind(id);
            }
        }
    }

    fn count(&mut self, length: TurnLength) -> &mut usize {
        match length {
            TurnLength::Short => &mut self.short,
            TurnLength::Long => &mut self.long,
        }
    }
}

/// Measures the processor time of a thread's turns. Short ones count in wall time, which costs nothing to read.
#[derive(Debug)]
struct CpuTime {
    /// When the thread's CPU time was read, and what it was.
    read_at: Instant,
    read: Duration,
}

impl CpuTime {
    /// It is read before a turn if the last time was longer ago, so what earlier turns used is hardly counted.
    const READ_EVERY: Duration = Duration::from_millis(1);

    fn now() -> Self {
        Self { read_at: Instant::now(), read: thread_time() }
    }

    /// Begins a turn. Returns the time.
    fn begin(&mut self) -> Instant {
        let now = Instant::now();
        if now.duration_since(self.read_at) >= Self::READ_EVERY {
            *self = Self { read_at: now, read: thread_time() };
        }
        now
    }

    /// What the turn used that began at that time and has just ended. It may have waited for a processor.
    fn end(&self, began: Instant) -> Duration {
        let wall = began.elapsed();
        if wall < Self::READ_EVERY { wall } else { thread_time().saturating_sub(self.read).min(wall) }
    }
}

#[cfg(test)]
mod tests;
