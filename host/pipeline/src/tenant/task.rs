use std::cell::RefCell;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_plugin::PluginChain;
use quotegate_sink::{Answer, DocumentWrite, Outcome, TenantDocument};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::Sleep;

use super::live_quotes::ChangeTracker;
use super::write_order::Outgoing;
use super::{TenantCore, TenantIo, TenantSpec, TenantUpdate, Unflushed};
use crate::budget::{TenantBudget, now};
use crate::clock::unix_now;
use crate::inbox::Batch;
use crate::latency::{Latencies, Latency};
use crate::pause::Pause;

thread_local! {
    /// One for all tenants of a thread and not one for each: it stays in the processor's caches, and each tenant has only the
    /// memory of the quotes that wait for it.
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// The task of a running tenant: it carries quotes, tokens, documents and outcomes to and from the `TenantCore`.
pub struct TenantTask {
    core: TenantCore,
    io: TenantIo,
    budget: TenantBudget,
    changes: ChangeTracker,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// Cloned into every write. Unbounded, because the number of writes in flight is bounded already.
    answer_to: mpsc::UnboundedSender<Answer>,
    /// The channel to the sink is full.
    sink_full: bool,
    /// Room in it that this tenant has waited for. It is used at once or given back.
    permit: Option<OwnedPermit<DocumentWrite>>,
    /// Why nothing may be written, as of `pause_version`.
    paused: Option<Pause>,
    pause_version: u64,
    /// The tenant ends by this time, even if the host keeps running.
    leave_by: Option<Instant>,
    /// When the plugins' numbers may be published next.
    publish_plugins_at: Instant,
    /// While quotes keep coming: when to take those that did not wake the task.
    looks_at: Option<Instant>,
    /// Kept from wait to wait, because most set it to the same time or a later one, which costs next to nothing.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TenantTask {
    /// The plugins' numbers are collected at most this often.
    const PUBLISH_PLUGINS_EVERY: Duration = Duration::from_millis(250);
    /// Quotes that cannot be written yet wait at most this long until the task takes them, so that its numbers are fresh. Each
    /// look costs as much as dozens of quotes.
    const LOOK_EVERY: Duration = Duration::from_secs(2);
    /// The times at which tenants look are multiples of this, so that one wake-up of a thread serves many of them.
    const LOOKS_APART: Duration = Duration::from_millis(10);

    /// A tenant without quotes. With a chain, it must run on a thread that plugins may block.
    pub fn new(spec: TenantSpec, chain: Option<PluginChain>, io: TenantIo) -> Self {
        let budget = io.budget.tenant(&spec.id, spec.rate, io.wake.clone());
        let (answer_to, answers) = mpsc::unbounded_channel();
        let mut task = Self {
            core: TenantCore::new(spec, chain, Rng::new()),
            io,
            budget,
            changes: ChangeTracker::default(),
            answers,
            answer_to,
            sink_full: false,
            permit: None,
            paused: None,
            pause_version: 0,
            leave_by: None,
            publish_plugins_at: now(),
            looks_at: None,
            timer: None,
        };
        // Before anyone reads the status.
        task.check_pause();
        task
    }

    /// Writes nothing before `at`. For a tenant that was removed and added again, and may have written a moment ago.
    pub fn hold_until(mut self, at: Instant) -> Self {
        self.core.hold_until(at);
        self
    }

    /// Runs until the inbox is closed and everything is written, or until the deadline.
    pub fn run(self) -> impl Future<Output = Unflushed> + Send {
        // On the heap, because every future around this one is as large again.
        let mut task = Box::new(self);
        async move {
            let unflushed = task.run_until_settled().await;
            task.publish(true);
            task.io.status.set_ended();
            unflushed
        }
    }

    async fn run_until_settled(&mut self) -> Unflushed {
        loop {
            self.check_pause();
            self.take_updates();
            self.take_quotes();
            self.take_answers();
            self.write_allowed();
            self.publish(false);
            let finished = self.io.inbox.is_finished();
            if finished && self.core.is_settled() {
                return self.core.unflushed();
            }
            let host_deadline = *self.io.deadline.borrow_and_update();
            let deadline = [host_deadline, self.leave_by].into_iter().flatten().min();
            let gives_up = self.paused.is_some() && self.core.unanswered() == 0 && finished;
            if deadline.is_some_and(|deadline| deadline <= now() || gives_up) {
                return self.core.unflushed();
            }
            let rests = self.io.inbox.rest(self.looks_at, self.core.changes(now()));
            self.core.clear_changes();
            if rests {
                self.wait(deadline, host_deadline.is_none()).await;
            } else {
                // Otherwise, its turn would never end while quotes come faster than its plugins are.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn wait(&mut self, deadline: Option<Instant>, host_runs: bool) {
        let next_due = self.core.next_due_at().filter(|_| !self.sink_full && self.paused.is_none());
        let publish_at = self.core.plugins_changed().then_some(self.publish_plugins_at);
        let next = [next_due, publish_at, deadline, self.looks_at].into_iter().flatten().min();
        let (mut answered, mut room, mut requested) = (None, None, false);
        tokio::select! {
            () = self.io.wake.notified() => {}
            answer = self.answers.recv() => answered = answer,
            reserved = self.io.writes.clone().reserve_owned(), if self.sink_full => room = Some(reserved.ok()),
            () = self.io.status.live_quotes().requested() => requested = true,
            () = timer_at(&mut self.timer, next) => {}
            _ = self.io.deadline.changed(), if host_runs => {}
        }
        if let Some(permit) = room {
            (self.sink_full, self.permit) = (false, permit);
        }
        if requested {
            self.take_quotes();
            let (latest, symbols) = self.core.latest();
            self.changes.publish(self.io.status.live_quotes(), latest, symbols, now());
        }
        if let Some(answer) = answered {
            self.take_answer(answer);
        }
    }

    fn check_pause(&mut self) {
        let version = self.io.pause.version();
        if version != self.pause_version {
            self.pause_version = version;
            self.paused = self.io.pause.get();
            self.io.status.set_paused(self.paused.clone());
        }
    }

    fn take_updates(&mut self) {
        while let Ok(update) = self.io.updates.try_recv() {
            let TenantUpdate { spec, chain, leave_by, applied } = *update;
            if spec.rate != self.core.spec().rate {
                self.budget.set_rate(spec.rate);
            }
            if chain.is_some() {
                self.publish_plugins_at = now();
            }
            self.core.update(spec, chain, now());
            self.io.inbox.forget_writable_from();
            self.leave_by = leave_by.or(self.leave_by);
            // The sender may have stopped waiting.
            let _ = applied.send(());
        }
    }

    fn take_quotes(&mut self) {
        let now = now();
        let any = BATCH.with_borrow_mut(|batch| {
            let any = self.io.inbox.take(batch);
            if any {
                self.core.take_batch(batch, now, None);
                self.changes.record(&batch.quotes.symbol, now);
            }
            any
        });
        if !any {
            self.looks_at = self.looks_at.filter(|at| *at > now);
            return;
        }
        self.looks_at = Some(Self::next_look(now));
        if let Some((symbol, received_time)) = self.core.last_quote() {
            self.io.status.set_last_quote(symbol, received_time);
        }
    }

    fn next_look(now: Instant) -> Instant {
        static FIRST: LazyLock<Instant> = LazyLock::new(crate::budget::now);
        let since = now.saturating_duration_since(*FIRST).as_nanos() % Self::LOOKS_APART.as_nanos();
        now + Self::LOOK_EVERY - Duration::from_nanos(since as u64)
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take_answer(answer);
        }
    }

    fn take_answer(&mut self, Answer { ticket: slot, document, outcome, conflicts }: Answer) {
        self.io.status.add_outcome(&document.key, &outcome);
        if outcome == Outcome::Written {
            self.record_latency(slot, |latencies| &latencies.to_commit);
        }
        self.core.count_conflicts(conflicts);
        self.core.answer(slot, document, &outcome, now());
    }

    fn write_allowed(&mut self) {
        if self.paused.is_some() {
            self.budget.want(0);
            self.keep_tokens(0);
        } else {
            self.budget.want(if self.sink_full { 0 } else { self.core.wants(now()) });
            self.write_with_tokens();
        }
        // Without a token, other tenants can use the room.
        self.permit = None;
    }

    fn write_with_tokens(&mut self) {
        while self.budget.held() > 0 {
            let permit = self.permit.take().or_else(|| self.io.writes.clone().try_reserve_owned().ok());
            let Some(permit) = permit else {
                self.sink_full = true;
                // Room that others wait for goes from one to the next. It would never meet a token if nobody had one yet.
                return self.keep_tokens(1);
            };
            self.budget.take();
            let Some(Outgoing { slot, document, event_time }) = self.core.next_write(now(), self.budget.held()) else {
                self.budget.refund();
                continue;
            };
            let spec = self.core.spec();
            permit.send(DocumentWrite {
                target: TenantDocument { tenant: spec.id.clone(), document },
                event_time,
                min_interval: spec.per_symbol_min_interval,
                ticket: slot,
                answer_to: self.answer_to.clone(),
            });
            self.record_latency(slot, |latencies| &latencies.to_sink);
        }
    }

    /// Other tokens go to tenants that may write.
    fn keep_tokens(&self, most: usize) {
        while self.budget.held() > most && self.budget.take() {
            self.budget.refund();
        }
    }

    /// Records the time since the arrival of the quote that `slot` has in flight.
    fn record_latency(&self, slot: u32, of: fn(&Latencies) -> &Latency) {
        if let (Some(latencies), Some(received)) = (&self.io.latencies, self.core.received_time(slot)) {
            of(latencies).record(received, unix_now());
        }
    }

    fn publish(&mut self, at_once: bool) {
        let now = now();
        self.io.status.set_counters(&self.core.counters(now));
        if self.core.plugins_changed() && (at_once || self.publish_plugins_at <= now) {
            self.publish_plugins_at = now + Self::PUBLISH_PLUGINS_EVERY;
            self.core.mark_plugins_read();
            let plugins = self.core.plugins().map_or_else(Vec::new, PluginChain::snapshot);
            self.io.status.set_plugins(plugins, self.core.stopped());
        }
    }
}

/// Sleeps until `at`, or forever if it is `None`.
async fn timer_at(timer: &mut Option<Pin<Box<Sleep>>>, at: Option<Instant>) {
    let Some(at) = at.map(tokio::time::Instant::from_std) else { return std::future::pending().await };
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
    // A timer that has fired must be set again even to the same time.
    if timer.deadline() != at || timer.is_elapsed() {
        timer.as_mut().reset(at);
    }
    timer.await;
}
