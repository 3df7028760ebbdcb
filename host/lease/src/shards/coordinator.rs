//! The coordinator's part, as a state machine without IO.
//!
//! It acts only while its process owns the feed's lease, so that several do not work against each other. Safety does not
//! need that: each write names the version that it replaces, and what it was decided on stays true until that version
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assignment::{Assignment, Observed, StoredAssignment};
use crate::{BootTime, Document, Expected, Holder, InstanceRole, Record, StoreError, Timing, Version, WorkerState};

/// The leases of all workers, by session: all documents with a [`WorkerState`].
pub type Workers = BTreeMap<String, Document>;

/// A lease that was released or taken is forgotten after this time. No request of its worker is on its way any longer. It
/// is not deleted, because a host may lack the permission to delete documents.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// A write to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number, for the answer.
    pub id: u64,
    /// How long to wait for the answer.
    pub limit: Duration,
    /// The write.
    pub write: ChangeWrite,
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeWrite {
    /// Replace the lease of a worker that does not renew it.
    Lease {
        /// The worker.
        session: String,
        /// A lease without an owner: the worker's shards are free. Or one that no longer is a worker's.
        record: Record,
        /// What it replaces.
        expected: Expected,
    },
    /// Replace the assignment.
    Assign(Assignment, Expected),
}

/// One process that can be the coordinator. Until it is, it only observes.
#[derive(Debug)]
pub struct Coordinator {
    me: Holder,
    shards: u16,
    timing: Timing,
    /// `None` until they have been read.
    workers: Option<BTreeMap<String, Seen>>,
    assignment: Assignment,
    /// What the next assignment replaces. `None` until it has been read.
    stored: Option<Expected>,
    in_flight: Option<Change>,
    last_id: u64,
    retry_at: BootTime,
    must_read_workers: bool,
    must_read_assignment: bool,
    /// Changes may have been missed.
    was_deaf: bool,
}

#[derive(Debug)]
struct Seen {
    /// `None`: it has a part of the assignment, and no document.
    document: Option<Document>,
    /// When this version was first seen.
    at: BootTime,
}

impl Seen {
    fn record(&self) -> Option<&Record> {
        self.document.as_ref().map(|document| &document.record)
    }

    fn version(&self) -> Option<Version> {
        self.document.as_ref().map(|document| document.version)
    }

    /// When the worker counts as silent, or when its lease can be forgotten.
    fn acts_at(&self, timing: Timing) -> BootTime {
        let wait = match self.record() {
            Some(record) if record.owner.is_none() => FORGET_AFTER,
            Some(record) => record.ttl.min(Timing::MAX_TTL),
            None => timing.ttl(),
        };
        self.at + wait
    }
}

impl Coordinator {
    /// Knows nothing yet.
    pub fn new(me: Holder, shards: u16, timing: Timing) -> Self {
        Self {
            me,
            shards,
            timing,
            workers: None,
            assignment: Assignment { shards, ..Assignment::default() },
            stored: None,
            in_flight: None,
            last_id: 0,
            retry_at: BootTime::default(),
            must_read_workers: false,
            must_read_assignment: false,
            was_deaf: false,
        }
    }

    /// The newest assignment seen.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The newest lease of each worker.
    pub fn workers(&self) -> impl Iterator<Item = (&str, &Record)> {
        let workers = self.workers.iter().flatten();
        workers.filter_map(|(session, seen)| Some((session.as_str(), seen.record()?)))
    }

    /// What it knows of the workers has proved old. It does nothing until they are read.
    pub fn must_read_workers(&self) -> bool {
        self.must_read_workers
    }

    /// What it knows of the assignment has proved old, or may be. It does nothing until it is read.
    pub fn must_read_assignment(&self) -> bool {
        self.must_read_assignment
    }

    /// Reading or listening has failed. A worker that seems silent may just not have been heard.
    pub fn miss_workers(&mut self) {
        self.was_deaf = true;
    }

    /// All workers were read, or heard of.
    pub fn observe_workers(&mut self, mut workers: Workers, now: BootTime) {
        self.must_read_workers = false;
        let was_deaf = std::mem::take(&mut self.was_deaf);
        let seen = self.workers.get_or_insert_default();
        for (session, seen) in seen.iter_mut() {
            let document = workers.remove(session);
            let is_older = document.as_ref().is_some_and(|document| Some(document.version) < seen.version());
            if was_deaf || (!is_older && document.as_ref().map(|document| document.version) != seen.version()) {
                seen.at = now;
            }
            if !is_older {
                seen.document = document;
            }
        }
        seen.extend(workers.into_iter().map(|(session, new)| (session, Seen { document: Some(new), at: now })));
        self.add_missing(now);
    }

    /// The assignment was read or heard of; `None` if it does not exist.
    pub fn observe_assignment(&mut self, found: Option<StoredAssignment>, now: BootTime) {
        self.must_read_assignment = false;
        match found {
            // Somebody has deleted it, or it never was. What is known is written again.
            None => self.stored = Some(Expected::Absent),
            Some(found) => {
                let is_older = matches!(self.stored, Some(Expected::Version(stored)) if found.version < stored);
                if !is_older {
                    self.stored = Some(Expected::Version(found.version));
                    self.assignment = found.assignment;
                }
            }
        }
        self.add_missing(now);
    }

    /// The next write, if there is one to send now. Only for the owner of the feed.
    pub fn next(&mut self, now: BootTime) -> Option<Change> {
        let is_blocked = self.in_flight.is_some() || self.must_read_workers || self.must_read_assignment;
        if is_blocked || now < self.retry_at {
            return None;
        }
        let write = self.write(now)?;
        self.last_id += 1;
        let change = Change { id: self.last_id, limit: self.timing.held_for(), write };
        self.in_flight = Some(change.clone());
        Some(change)
    }

    /// When to call [`Self::next`] again, if nothing happens before.
    pub fn wake_at(&self) -> Option<BootTime> {
        let waits = self.in_flight.is_some() || self.must_read_workers || self.must_read_assignment;
        if waits || self.stored.is_none() {
            return None;
        }
        let workers = self.workers.iter().flatten();
        workers.map(|(_, seen)| seen.acts_at(self.timing).max(self.retry_at)).min()
    }

    /// The answer to the write `id`.
    pub fn answered(&mut self, id: u64, answer: Result<Version, StoreError>, now: BootTime) {
        let Some(Change { write, .. }) = self.in_flight.take_if(|change| change.id == id) else { return };
        match answer {
            Ok(version) => self.written(write, version, now),
            Err(error) => {
                self.must_read_assignment |= matches!(write, ChangeWrite::Assign(..));
                self.must_read_workers |= !matches!(write, ChangeWrite::Assign(..));
                if error != StoreError::Conflict {
                    self.retry_at = now + self.timing.retry_after();
                }
            }
        }
    }

    fn written(&mut self, write: ChangeWrite, version: Version, now: BootTime) {
        match write {
            ChangeWrite::Lease { session, record, .. } if record.worker.is_some() => {
                let seen = Seen { document: Some(Document { record, version }), at: now };
                self.workers.get_or_insert_default().insert(session, seen);
            }
            ChangeWrite::Lease { session, .. } => {
                self.workers.get_or_insert_default().remove(&session);
            }
            ChangeWrite::Assign(assignment, _) => {
                self.assignment = assignment;
                self.stored = Some(Expected::Version(version));
                self.add_missing(now);
            }
        }
    }

    fn write(&self, now: BootTime) -> Option<ChangeWrite> {
        let (workers, expected) = (self.workers.as_ref()?, self.stored?);
        let due = |seen: &Seen| now >= seen.acts_at(self.timing);
        let is_gone = |seen: &Seen| seen.record().is_some_and(|record| record.owner.is_none());
        if let Some((session, seen)) = workers.iter().find(|(_, seen)| due(seen) && !is_gone(seen)) {
            let worker = seen.record().and_then(|record| record.worker.clone());
            let worker = worker.unwrap_or(WorkerState::new(InstanceRole::Worker, self.shards));
            return Some(self.replace(session, seen, Some(WorkerState { held: BTreeSet::new(), ..worker })));
        }
        let observed = workers
            .iter()
            .map(|(session, seen)| (session.as_str(), Observed { record: seen.record(), is_alive: !due(seen) }));
        let views = observed.collect();
        if let Some(next) = self.assignment.next(self.shards, &self.me.instance, &views) {
            return Some(ChangeWrite::Assign(next, expected));
        }
        let (session, seen) = workers.iter().find(|(_, seen)| due(seen) && is_gone(seen))?;
        Some(self.replace(session, seen, None))
    }

    /// A lease that its worker cannot renew. If the worker has renewed it in the meantime, the write fails.
    fn replace(&self, session: &str, seen: &Seen, worker: Option<WorkerState>) -> ChangeWrite {
        let before = seen.record();
        let record = Record {
            owner: None,
            // Nobody's, although this process may be that worker itself.
            session: String::new(),
            epoch: before.map_or(0, |record| record.epoch) + 1,
            renewals: 0,
            ttl: self.timing.ttl(),
            address: before.and_then(|record| record.address.clone()),
            version: before.map(|record| record.version.clone()).unwrap_or_default(),
            since: before.map_or(0, |record| record.since),
            worker,
        };
        let expected = seen.version().map_or(Expected::Absent, Expected::Version);
        ChangeWrite::Lease { session: session.to_owned(), record, expected }
    }

    /// Workers that have a part and no document: they count as silent after a while, and forgotten ones are dropped.
    fn add_missing(&mut self, now: BootTime) {
        let Some(workers) = &mut self.workers else { return };
        workers.retain(|session, seen| seen.document.is_some() || self.assignment.parts.contains_key(session));
        for session in self.assignment.parts.keys() {
            workers.entry(session.clone()).or_insert(Seen { document: None, at: now });
        }
    }
}
