use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tracing::info;

use super::{Assignment, Coordinator, Worker};
use crate::{BootTime, Clock, LeaseHandle};

/// What other parts of the program know of the shards. Cheap to clone and to ask.
///
/// Whoever runs the tenants takes one value of [`Self::assigned`] after the other. For each: lower or raise the write
/// budget to the share of the new shards; end the tenants of other shards, and start those of new ones; then
/// [`Self::confirm`] what is running, also if nothing had to be done.
#[derive(Clone)]
pub struct ShardsHandle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// The clock's nanoseconds; 0 while this process may not write.
    held_until: AtomicU64,
    assigned: watch::Sender<Arc<BTreeSet<u16>>>,
    /// The assignment's revision.
    revision: watch::Sender<u64>,
    left: watch::Sender<bool>,
    /// The driver has something to do.
    pub(crate) wake: Notify,
    state: Mutex<State>,
}

/// Everything that is known. Changed only by [`Shared::change`].
pub(crate) struct State {
    /// If this process is one.
    pub(crate) worker: Option<Worker>,
    /// If this process can be the coordinator.
    pub(crate) coordinator: Option<Coordinator>,
    /// Whether this process is the coordinator.
    pub(crate) lease: Option<LeaseHandle>,
    /// The newest one seen.
    pub(crate) assignment: Assignment,
    pub(crate) problems: Problems,
    shards: u16,
    counts: Counts,
}

/// Why something does not work.
#[derive(Default)]
pub(crate) struct Problems {
    pub(crate) lease: Option<String>,
    pub(crate) assignment: Option<String>,
    pub(crate) workers: Option<String>,
}

#[derive(Default)]
struct Counts {
    gained: u64,
    given_up: u64,
    lost: u64,
}

/// The shards at one moment, as far as this process knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsSnapshot {
    /// How many shards there are.
    pub shards: u16,
    /// Goes up with each change of the assignment.
    pub revision: u64,
    /// This process may write: it is a worker, and its lease is held.
    pub held: bool,
    /// The shards that are assigned to this process.
    pub assigned: BTreeSet<u16>,
    /// The shards that this process holds: assigned ones, and those whose tenants have not ended yet.
    pub holds: BTreeSet<u16>,
    /// The name of the instance that assigned the shards last.
    pub coordinator: Option<String>,
    /// This process assigns the shards.
    pub coordinates: bool,
    /// The workers that have shards, and as far as this process knows, those that have none.
    pub workers: Vec<WorkerSnapshot>,
    /// Shards that no worker has.
    pub unassigned: u16,
    /// How often this process got a shard.
    pub gained: u64,
    /// How often it gave a shard up, or lost it.
    pub given_up: u64,
    /// How often it lost its lease, and all its shards with it.
    pub lost: u64,
    /// Why the shards cannot be read, assigned or held, if so.
    pub problem: Option<String>,
}

/// A worker and its shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// Its name.
    pub instance: String,
    /// Distinguishes workers of one name.
    pub session: String,
    /// Where its page is.
    pub address: Option<String>,
    /// Its shards.
    pub shards: BTreeSet<u16>,
    /// Shards that it has to give up, and has not given up yet.
    pub gives_up: BTreeSet<u16>,
    /// It is this process.
    pub is_self: bool,
}

impl std::fmt::Debug for ShardsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl ShardsHandle {
    pub(crate) fn new(
        clock: Clock,
        shards: u16,
        worker: Option<Worker>,
        coordinator: Option<(Coordinator, LeaseHandle)>,
    ) -> Self {
        let (coordinator, lease) = coordinator.unzip();
        let not_yet = || Some("the assignment of shards has not been read yet".to_owned());
        let shared = Shared {
            clock,
            held_until: AtomicU64::new(0),
            assigned: watch::Sender::default(),
            revision: watch::Sender::default(),
            left: watch::Sender::new(worker.is_none()),
            wake: Notify::new(),
            state: Mutex::new(State {
                worker,
                coordinator,
                lease,
                assignment: Assignment { shards, ..Assignment::default() },
                problems: Problems { assignment: not_yet(), ..Problems::default() },
                shards,
                counts: Counts::default(),
            }),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The shards that are assigned to this process. Empty when its lease is lost.
    pub fn assigned(&self) -> watch::Receiver<Arc<BTreeSet<u16>>> {
        self.shared.assigned.subscribe()
    }

    /// Says for which shards tenants are running. All others have ended, and their part of the budget is no longer used.
    pub fn confirm(&self, running: BTreeSet<u16>) {
        self.shared.change(|state| state.worker.as_mut().map(|worker| worker.confirm(running)));
        self.shared.wake.notify_one();
    }

    /// True while this process may write for the shards that it holds. One look at the clock: also right in a process that
    /// has just been woken, before any of its tasks has run.
    pub fn may_write(&self) -> bool {
        (self.shared.clock)().nanos() < self.shared.held_until.load(Relaxed)
    }

    /// Gives all shards up, and does not want any again: [`Self::assigned`] becomes empty, and when it is confirmed that
    /// nothing is running, the others get the shards at once. Returns when that is done, or false after `limit`: then they
    /// wait until the lease has expired.
    ///
    /// Call it before the feed's lease is released: then this process, if it is the coordinator, still assigns its own shards.
    pub async fn leave(&self, limit: Duration) -> bool {
        let session = self.shared.change(|state| {
            let worker = state.worker.as_mut()?;
            worker.leave();
            Some(worker.session().to_owned())
        });
        let Some(session) = session else { return true };
        self.shared.wake.notify_one();
        let (mut left, mut revision) = (self.shared.left.subscribe(), self.shared.revision.subscribe());
        let done = async {
            let _ = left.wait_for(|left| *left).await;
            while self.shared.change(|state| state.coordinates() && state.assignment.parts.contains_key(&session)) {
                let _ = revision.changed().await;
            }
        };
        tokio::time::timeout(limit, done).await.is_ok()
    }

    /// Everything that is known.
    pub fn snapshot(&self) -> ShardsSnapshot {
        ShardsSnapshot { held: self.may_write(), ..self.shared.state.lock().snapshot() }
    }
}

impl Shared {
    /// Changes the state, and tells others of it before anyone else can change it: what is confirmed is always compared with
    /// what could be known.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let State { worker, assignment, counts, .. } = &mut *state;
        if let Some(worker) = worker {
            self.held_until.store(worker.may_write_until().map_or(0, BootTime::nanos), Relaxed);
            self.assigned.send_if_modified(|assigned| {
                let is_new = **assigned != *worker.assigned();
                if is_new {
                    counts.add(assigned, worker.assigned());
                    *assigned = Arc::new(worker.assigned().clone());
                }
                is_new
            });
            self.left.send_if_modified(|left| std::mem::replace(left, worker.has_left()) != worker.has_left());
            counts.lost = worker.lost();
        }
        self.revision
            .send_if_modified(|revision| std::mem::replace(revision, assignment.revision) != assignment.revision);
        result
    }
}

impl Counts {
    fn add(&mut self, before: &BTreeSet<u16>, after: &BTreeSet<u16>) {
        let (gained, given_up) = (after.difference(before).count(), before.difference(after).count());
        self.gained += gained as u64;
        self.given_up += given_up as u64;
        info!(
            event_type = "shards_assigned",
            shards = after.len(),
            gained,
            given_up,
            "this host's shards have changed"
        );
    }
}

impl State {
    pub(crate) fn coordinates(&self) -> bool {
        self.lease.as_ref().is_some_and(LeaseHandle::is_held)
    }

    fn snapshot(&self) -> ShardsSnapshot {
        let (assignment, worker) = (&self.assignment, self.worker.as_ref());
        let own = worker.map(Worker::session);
        let mut workers: BTreeMap<&str, WorkerSnapshot> = BTreeMap::new();
        for (session, part) in &assignment.parts {
            workers.insert(
                session,
                WorkerSnapshot {
                    instance: part.instance.clone(),
                    session: session.clone(),
                    address: part.address.clone(),
                    shards: part.owned.clone(),
                    gives_up: part.gives_up.clone(),
                    is_self: own == Some(session),
                },
            );
        }
        for (session, record) in self.coordinator.iter().flat_map(Coordinator::workers) {
            let Some(instance) = &record.owner else { continue };
            workers.entry(session).or_insert_with(|| WorkerSnapshot {
                instance: instance.clone(),
                session: session.to_owned(),
                address: record.address.clone(),
                shards: BTreeSet::new(),
                gives_up: BTreeSet::new(),
                is_self: own == Some(session),
            });
        }
        ShardsSnapshot {
            shards: self.shards,
            revision: assignment.revision,
            held: false,
            assigned: worker.map(|worker| worker.assigned().clone()).unwrap_or_default(),
            holds: worker.map(|worker| worker.held().clone()).unwrap_or_default(),
            coordinator: Some(assignment.coordinator.clone()).filter(|name| !name.is_empty()),
            coordinates: self.coordinates(),
            workers: workers.into_values().collect(),
            unassigned: u16::try_from(assignment.unassigned().len()).unwrap_or(u16::MAX),
            gained: self.counts.gained,
            given_up: self.counts.given_up,
            lost: self.counts.lost,
            problem: self.problem(),
        }
    }

    fn problem(&self) -> Option<String> {
        let other = self.worker.as_ref().and_then(Worker::other_number).map(|other| {
            format!(
                "relay.shards is {} here and {other} in the assignment; all hosts need the same number",
                self.shards
            )
        });
        let Problems { lease, assignment, workers } = &self.problems;
        let stored = [lease, assignment, workers].into_iter().find_map(Option::as_ref);
        other.or_else(|| stored.cloned())
    }
}
