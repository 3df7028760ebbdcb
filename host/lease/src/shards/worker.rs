//! A worker's part, as a state machine without IO: its lease, and the shards that it has.

use std::collections::BTreeSet;

use fastrand::Rng;
use quotegate_document::UnixNanos;

use super::assignment::{Assignment, Part};
use crate::{Action, Answer, BootTime, Holder, InstanceRole, Protocol, Timing, WorkerState};

/// One process that works.
#[derive(Debug)]
pub struct Worker {
    me: Holder,
    role: InstanceRole,
    shards: u16,
    timing: Timing,
    sessions: Rng,
    protocol: Protocol,
    /// The document has named this session. If it no longer does, somebody else has taken the lease.
    was_named: bool,
    is_lost: bool,
    lost: u64,
    is_leaving: bool,
    /// The newest assignment seen, this worker's part of it, and its number of shards.
    revision: u64,
    part: Part,
    assigned_of: u16,
    assigned: BTreeSet<u16>,
    /// What was confirmed, and what has been assigned since: the process runs tenants of no other shard.
    held: BTreeSet<u16>,
}

impl Worker {
    /// A worker without a lease. Each of its leases has a document of its own, named by a random session.
    pub fn new(me: Holder, role: InstanceRole, shards: u16, timing: Timing, sessions: Rng) -> Self {
        let protocol = Protocol::of_new_document(me.clone(), timing, None);
        Self {
            me,
            role,
            shards,
            timing,
            sessions,
            protocol,
            was_named: false,
            is_lost: false,
            lost: 0,
            is_leaving: false,
            revision: 0,
            part: Part::default(),
            assigned_of: shards,
            assigned: BTreeSet::new(),
            held: BTreeSet::new(),
        }
    }

    /// The name of the lease's document. A worker that loses its lease begins again, as another one: the assignment that it
    /// knew is no longer true.
    pub fn session(&self) -> &str {
        &self.me.session
    }

    /// The shards whose tenants should run.
    pub fn assigned(&self) -> &BTreeSet<u16> {
        &self.assigned
    }

    /// The shards whose tenants may be running.
    pub fn held(&self) -> &BTreeSet<u16> {
        &self.held
    }

    /// Until when this process may write for the shards that it holds. Later it may not, whether or not anyone tells it.
    pub fn may_write_until(&self) -> Option<BootTime> {
        if self.is_lost { None } else { self.protocol.held_until().map(|(until, _)| until) }
    }

    /// After [`Self::leave`]: others have the shards, or get them when the lease has expired.
    pub fn has_left(&self) -> bool {
        self.is_leaving && self.held.is_empty() && (self.is_lost || self.protocol.has_left())
    }

    /// The number of shards in the assignment, if it is not the one in this worker's settings.
    pub fn other_number(&self) -> Option<u16> {
        Some(self.assigned_of).filter(|shards| *shards != self.shards)
    }

    /// How often the lease was lost, and all shards with it.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The assignment was read or heard of.
    pub fn observe(&mut self, assignment: &Assignment) {
        if assignment.revision <= self.revision {
            return;
        }
        self.revision = assignment.revision;
        self.assigned_of = assignment.shards;
        self.part = assignment.parts.get(&self.me.session).cloned().unwrap_or_default();
        self.assign();
    }

    /// The tenants of all other shards have ended.
    pub fn confirm(&mut self, running: BTreeSet<u16>) {
        self.held = running;
        self.held.extend(&self.assigned);
    }

    /// From now on the process wants no shards. When none is left, it releases the lease.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.assign();
    }

    /// The next request for the lease's document, if there is one to send now. `wall` is only for people.
    pub fn next(&mut self, now: BootTime, wall: UnixNanos) -> Option<Action> {
        if self.is_lost {
            // Until all has ended that the old lease allowed, there must be no new one: it would allow it again.
            if self.is_leaving || !self.held.is_empty() {
                return None;
            }
            self.begin_again();
        }
        if self.is_leaving && self.held.is_empty() {
            self.protocol.leave();
        }
        let state = self.state();
        if self.has_news(&state) {
            self.protocol.renew_now();
        }
        self.protocol.set_worker(state);
        self.protocol.next(now, wall)
    }

    /// When to call [`Self::next`] again, if nothing happens before.
    pub fn wake_at(&self) -> Option<BootTime> {
        if self.is_lost { None } else { self.protocol.wake_at() }
    }

    /// The answer to the request `id`.
    pub fn answered(&mut self, id: u64, answer: Answer, now: BootTime) {
        self.protocol.answered(id, answer, now);
        let document = self.protocol.seen().flatten();
        let is_named = document.is_some_and(|document| document.record.session == self.me.session);
        let is_lost = if document.is_some() { !is_named } else { self.was_named };
        self.was_named |= is_named;
        if is_lost && !self.is_lost {
            self.is_lost = true;
            self.lost += 1;
            self.assign();
        }
    }

    fn assign(&mut self) {
        let takes_part = !self.is_leaving && !self.is_lost && self.other_number().is_none();
        self.assigned = if takes_part { self.part.owned.clone() } else { BTreeSet::new() };
        self.held.extend(&self.assigned);
    }

    fn state(&self) -> WorkerState {
        WorkerState {
            role: self.role,
            shards: self.shards,
            revision: self.revision,
            held: self.held.clone(),
            is_leaving: self.is_leaving,
        }
    }

    /// The coordinator waits for what this says.
    fn has_news(&self, state: &WorkerState) -> bool {
        let stored = self.protocol.seen().flatten().and_then(|document| document.record.worker.as_ref());
        stored.is_some_and(|stored| {
            self.part.given_up(state) != self.part.given_up(stored) || state.is_leaving != stored.is_leaving
        })
    }

    fn begin_again(&mut self) {
        self.me.session = format!("{:016x}", self.sessions.u64(..));
        self.protocol = Protocol::of_new_document(self.me.clone(), self.timing, Some(&self.protocol));
        self.part = Part::default();
        (self.was_named, self.is_lost) = (false, false);
    }
}
