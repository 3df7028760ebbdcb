use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::follower::Follower;
use super::status::{Problems, Shared};
use super::{
    Assignment, Change, ChangeWrite, Coordinator, InstanceRole, ShardStore, ShardsHandle, StoredAssignment, Worker,
    Workers,
};
use crate::driver::{MAX_SLEEP, send, unix_now};
use crate::{Answer, BootTime, Clock, Holder, LeaseHandle, StoreError, Timing, Version};

/// How an instance takes part.
#[derive(Clone)]
pub struct ShardSettings {
    /// The process.
    pub holder: Holder,
    /// What it does.
    pub role: InstanceRole,
    /// How many shards there are.
    pub shards: u16,
    /// How long the coordinator waits for a silent worker.
    pub ttl: Duration,
    /// The clock.
    pub clock: Clock,
}

/// A task that takes part in sharing the tenants out: as a worker, as the coordinator, or both.
pub struct Shards {
    handle: ShardsHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Shards {
    /// Starts the task. With the feed's lease, this process is the coordinator while it holds the lease.
    pub fn start(settings: ShardSettings, store: Arc<dyn ShardStore>, coordinator: Option<LeaseHandle>) -> Self {
        let ShardSettings { holder, role, shards, ttl, clock } = settings;
        let timing = Timing::new(ttl);
        let worker =
            (role != InstanceRole::Reader).then(|| Worker::new(holder.clone(), role, shards, timing, Rng::new()));
        let workers = coordinator.is_some().then(|| follow_workers(&store, timing));
        let lease = coordinator.clone();
        let coordinator = coordinator.map(|lease| (Coordinator::new(holder, shards, timing), lease));
        let handle = ShardsHandle::new(clock, shards, worker, coordinator);
        let driver = Driver {
            shared: handle.shared.clone(),
            assignment: follow_assignment(&store, timing),
            store,
            lease,
            workers,
            asked: None,
            changing: None,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                stop.run_until_cancelled(driver.run()).await;
            }
        });
        Self { handle, stop, task }
    }

    /// For those who ask.
    pub fn handle(&self) -> ShardsHandle {
        self.handle.clone()
    }

    /// Ends the task. A worker that has not left keeps its shards until its lease expires.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

fn follow_workers(store: &Arc<dyn ShardStore>, timing: Timing) -> Follower<Workers> {
    let (listening, reading) = (store.clone(), store.clone());
    Follower::new(timing.renew_every(), move || listening.worker_changes(), move || reading.workers(timing.held_for()))
}

fn follow_assignment(store: &Arc<dyn ShardStore>, timing: Timing) -> Follower<Option<StoredAssignment>> {
    let (listening, reading) = (store.clone(), store.clone());
    Follower::new(
        timing.renew_every(),
        move || listening.assignment_changes(),
        move || reading.assignment(timing.held_for()),
    )
}

struct Driver {
    shared: Arc<Shared>,
    store: Arc<dyn ShardStore>,
    lease: Option<LeaseHandle>,
    assignment: Follower<Option<StoredAssignment>>,
    workers: Option<Follower<Workers>>,
    /// About this worker's lease.
    asked: Option<(u64, BoxFuture<'static, Answer>)>,
    /// As the coordinator.
    changing: Option<(Change, BoxFuture<'static, Result<Version, StoreError>>)>,
}

/// What the driver waits for.
enum Event {
    Answered(u64, Answer),
    Changed(Result<Version, StoreError>),
    Assignment(Result<Option<StoredAssignment>, StoreError>),
    Workers(Result<Workers, StoreError>),
    Time,
}

impl Driver {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let mut owns_feed = self.lease.as_ref().map(LeaseHandle::held);
        loop {
            let now = (shared.clock)();
            self.send(now);
            let wake = shared.change(|state| {
                let coordinator = state.coordinator.as_ref().filter(|_| state.coordinates());
                let coordinator = coordinator.and_then(Coordinator::wake_at);
                state.worker.as_ref().and_then(Worker::wake_at).into_iter().chain(coordinator).min()
            });
            let wake = wake.map_or(MAX_SLEEP, |at| at.since(now).min(MAX_SLEEP));
            let (asked, changing) = (&mut self.asked, &mut self.changing);
            let event = tokio::select! {
                Some((id, answer)) = OptionFuture::from(asked.as_mut().map(async |(id, answer)| (*id, answer.await))) => {
                    Event::Answered(id, answer)
                }
                Some(answer) = OptionFuture::from(changing.as_mut().map(|(_, answer)| answer)) => Event::Changed(answer),
                found = self.assignment.next() => Event::Assignment(found),
                Some(found) = OptionFuture::from(self.workers.as_mut().map(Follower::next)) => Event::Workers(found),
                Some(_) = OptionFuture::from(owns_feed.as_mut().map(|held| held.changed().map(|changed| changed.is_ok()))) => {
                    Event::Time
                }
                () = shared.wake.notified() => Event::Time,
                () = sleep(wake) => Event::Time,
            };
            self.handle(event);
        }
    }

    /// Sends what there is to send. Published before it is sent, because a worker that releases its lease has stopped by then.
    fn send(&mut self, now: BootTime) {
        let (action, change) = self.shared.change(|state| {
            let is_coordinator = state.coordinates();
            let worker = state.worker.as_mut();
            let action = worker.and_then(|worker| Some((worker.next(now, unix_now())?, worker.session().to_owned())));
            let change = state.coordinator.as_mut().filter(|_| is_coordinator).and_then(|machine| machine.next(now));
            (action, change)
        });
        if let Some((action, session)) = action {
            self.asked = Some((action.id, send(self.store.worker(&session), action)));
        }
        if let Some(change) = change {
            self.changing = Some((change.clone(), request(&*self.store, change)));
        }
    }

    fn handle(&mut self, event: Event) {
        let now = (self.shared.clock)();
        match event {
            Event::Answered(id, answer) => {
                self.asked = None;
                let error = match &answer {
                    Answer::Read(Err(error)) | Answer::Written(Err(error)) => Some(error.clone()),
                    Answer::Read(Ok(_)) | Answer::Written(Ok(_)) => None,
                };
                self.note(error.as_ref(), |problems| &mut problems.lease);
                let is_lost = self.shared.change(|state| {
                    let Some(worker) = &mut state.worker else { return false };
                    let lost = worker.lost();
                    worker.answered(id, answer, now);
                    worker.lost() > lost
                });
                if is_lost {
                    warn!(event_type = "worker_lost", "this host was silent for too long, and has lost its shards");
                }
            }
            Event::Changed(answer) => self.changed(answer, now),
            Event::Assignment(found) => {
                self.note(found.as_ref().err(), |problems| &mut problems.assignment);
                if let Ok(found) = found {
                    self.observe(found, now);
                }
            }
            Event::Workers(found) => {
                self.note(found.as_ref().err(), |problems| &mut problems.workers);
                self.shared.change(|state| match (&mut state.coordinator, found) {
                    (Some(coordinator), Ok(workers)) => coordinator.observe_workers(workers, now),
                    (Some(coordinator), Err(_)) => coordinator.miss_workers(),
                    (None, _) => {}
                });
            }
            Event::Time => {}
        }
    }

    fn changed(&mut self, answer: Result<Version, StoreError>, now: BootTime) {
        let Some((change, _)) = self.changing.take() else { return };
        let is_done = answer.is_ok();
        let (workers, assignment) = self.shared.change(|state| {
            let Some(coordinator) = &mut state.coordinator else { return (false, false) };
            if is_done {
                log(&change.write, coordinator.assignment());
            }
            coordinator.answered(change.id, answer, now);
            (coordinator.must_read_workers(), coordinator.must_read_assignment())
        });
        if assignment {
            self.assignment.refresh();
        }
        if let Some(follower) = self.workers.as_mut().filter(|_| workers) {
            follower.refresh();
        }
    }

    fn observe(&self, found: Option<StoredAssignment>, now: BootTime) {
        self.shared.change(|state| {
            if let Some(StoredAssignment { assignment, .. }) = &found {
                if let Some(worker) = &mut state.worker {
                    worker.observe(assignment);
                }
                if assignment.revision > state.assignment.revision {
                    state.assignment = assignment.clone();
                }
            }
            if let Some(coordinator) = &mut state.coordinator {
                coordinator.observe_assignment(found, now);
            }
        });
    }

    /// Logs when requests begin to fail, and when they work again. A conflict is not a failure.
    fn note(&self, error: Option<&StoreError>, of: impl FnOnce(&mut Problems) -> &mut Option<String>) {
        let problem = error.filter(|error| **error != StoreError::Conflict).map(ToString::to_string);
        let before = self.shared.change(|state| std::mem::replace(of(&mut state.problems), problem.clone()));
        match (before, problem) {
            (None, Some(problem)) => warn!(event_type = "shards_problem", "{problem}"),
            (Some(_), None) => info!(event_type = "shards_read", "requests for shards are answered"),
            _ => {}
        }
    }
}

fn log(write: &ChangeWrite, assignment: &Assignment) {
    match write {
        ChangeWrite::Lease { session, record, .. } if record.worker.is_some() => {
            let worker = assignment.parts.get(session).map_or(session, |part| &part.instance);
            warn!(event_type = "worker_silent", worker, "a worker is silent; its shards go to the others");
        }
        ChangeWrite::Assign(next, _) => {
            let (revision, workers) = (next.revision, next.parts.len());
            info!(event_type = "shards_shared_out", revision, workers, "this host has assigned the shards anew");
        }
        ChangeWrite::Lease { .. } => {}
    }
}

fn request(store: &dyn ShardStore, change: Change) -> BoxFuture<'static, Result<Version, StoreError>> {
    let Change { limit, write, .. } = change;
    match write {
        ChangeWrite::Lease { session, record, expected } => {
            let lease = store.worker(&session);
            Box::pin(async move { lease.write(&record, expected, limit).await })
        }
        ChangeWrite::Assign(assignment, expected) => store.write_assignment(&assignment, expected, limit),
    }
}
