//! Who has which shard, and who gets which one next. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Record, Version, WorkerState};

/// The contents of the assignment's document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Goes up with each change.
    pub revision: u64,
    /// How many shards there are.
    pub shards: u16,
    /// The name of the instance that wrote it.
    pub coordinator: String,
    /// The workers that have shards, by session. A shard is in one part at most.
    pub parts: BTreeMap<String, Part>,
}

/// One worker's part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// The worker's name, for people.
    pub instance: String,
    /// Where its page is.
    pub address: Option<String>,
    /// The shards that it has.
    pub owned: BTreeSet<u16>,
    /// The shards that it has to give up. Nobody else gets them before it has.
    pub gives_up: BTreeSet<u16>,
    /// The revision in which shards were last added to `gives_up`.
    pub since: u64,
}

/// The assignment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAssignment {
    /// Its contents.
    pub assignment: Assignment,
    /// Its version.
    pub version: Version,
}

/// What the coordinator knows of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// Its lease. `None`: it has no document, which does not say that it has stopped.
    pub(crate) record: Option<&'a Record>,
    /// Its lease was renewed in time.
    pub(crate) is_alive: bool,
}

impl Part {
    /// The shards that this worker has given up, by its own words. It has known since then that they are not its own, and
    /// does not hold them.
    pub(crate) fn given_up(&self, worker: &WorkerState) -> BTreeSet<u16> {
        if worker.revision < self.since {
            return BTreeSet::new();
        }
        self.gives_up.difference(&worker.held).copied().collect()
    }

    fn withdraw(&mut self, count: usize) {
        for _ in 0..count {
            self.gives_up.extend(self.owned.pop_last());
        }
    }
}

impl<'a> Observed<'a> {
    /// The worker has released its lease, or the coordinator has taken it: it will never write again.
    fn is_gone(self) -> bool {
        self.record.is_some_and(|record| record.owner.is_none())
    }

    fn worker(self) -> Option<&'a WorkerState> {
        self.record.filter(|record| record.owner.is_some())?.worker.as_ref()
    }

    /// It learns what it has to give up.
    fn listens(self) -> bool {
        self.is_alive && self.worker().is_some()
    }

    /// The worker can have some of this many shards.
    fn takes_part(self, shards: u16) -> bool {
        self.is_alive && self.worker().is_some_and(|worker| worker.shards == shards && !worker.is_leaving)
    }
}

impl Assignment {
    /// The shards that no worker has.
    pub fn unassigned(&self) -> BTreeSet<u16> {
        let taken: BTreeSet<u16> =
            self.parts.values().flat_map(|part| part.owned.union(&part.gives_up)).copied().collect();
        (0..self.shards).filter(|shard| !taken.contains(shard)).collect()
    }

    /// The assignment that replaces this one, if any. Each worker that takes part gets as many shards as the others,
    /// give or take one, and no more shards move than that needs. `workers` are all that have a lease or a part.
    pub(crate) fn next(&self, shards: u16, coordinator: &str, workers: &BTreeMap<&str, Observed<'_>>) -> Option<Self> {
        let mut next = self.clone();
        next.free(workers);
        if next.shards == shards {
            next.balance(workers);
        } else if next.parts.is_empty() {
            next.shards = shards;
            next.balance(workers);
        } else {
            // Shards of another number are others. Nobody gets one before all of the old ones are given up.
            next.parts.values_mut().for_each(|part| part.withdraw(part.owned.len()));
        }
        next.parts.retain(|_, part| !part.owned.is_empty() || !part.gives_up.is_empty());
        // Workers ignore what is older than what they know. They know a higher revision if somebody deleted the document.
        let known = workers.values().filter_map(|worker| Some(worker.worker()?.revision)).max().unwrap_or(0);
        if next == *self && known <= self.revision {
            return None;
        }
        next.revision = self.revision.max(known) + 1;
        next.coordinator = coordinator.to_owned();
        for (session, part) in &mut next.parts {
            let before = self.parts.get(session).map(|part| &part.gives_up);
            if before.is_none_or(|before| !part.gives_up.is_subset(before)) {
                part.since = next.revision;
            }
        }
        Some(next)
    }

    /// Removes the shards that their workers have given up, and those of workers that are gone.
    fn free(&mut self, workers: &BTreeMap<&str, Observed<'_>>) {
        for (session, part) in &mut self.parts {
            let Some(worker) = workers.get(session.as_str()) else { continue };
            if worker.is_gone() {
                part.owned.clear();
                part.gives_up.clear();
            } else if let Some(worker) = worker.worker() {
                let given_up = part.given_up(worker);
                part.gives_up.retain(|shard| !given_up.contains(shard));
            }
        }
    }

    fn balance(&mut self, workers: &BTreeMap<&str, Observed<'_>>) {
        let targets = self.targets(workers);
        for (session, part) in &mut self.parts {
            let target = match targets.get(session.as_str()) {
                Some(target) => *target,
                None if workers.get(session.as_str()).is_some_and(|worker| worker.listens()) => 0,
                // Its shards wait until it is gone.
                None => continue,
            };
            part.withdraw(part.owned.len().saturating_sub(target));
        }
        let has = |parts: &BTreeMap<String, Part>, session: &str| parts.get(session).map_or(0, |part| part.owned.len());
        for shard in self.unassigned() {
            // Otherwise impossible, but if somebody deletes the document, what the workers hold is all that is known.
            if workers.values().filter_map(|worker| worker.worker()).any(|worker| worker.held.contains(&shard)) {
                continue;
            }
            let missing = |(session, target): &(&&str, &usize)| target.saturating_sub(has(&self.parts, session));
            let neediest = targets.iter().filter(|target| missing(target) > 0).max_by_key(missing);
            let Some((session, record)) = neediest.and_then(|(session, _)| Some((*session, workers[session].record?)))
            else {
                return;
            };
            let part = self.parts.entry(session.to_owned()).or_default();
            part.instance = record.owner.clone().unwrap_or_default();
            part.address.clone_from(&record.address);
            part.owned.insert(shard);
        }
    }

    /// How many shards each worker should have. Those that have the most have the one more.
    fn targets<'a>(&self, workers: &BTreeMap<&'a str, Observed<'_>>) -> BTreeMap<&'a str, usize> {
        let part = workers.iter().filter(|(_, worker)| worker.takes_part(self.shards)).map(|(session, _)| *session);
        let mut sessions: Vec<&str> = part.collect();
        sessions.sort_by_key(|session| Reverse(self.parts.get(*session).map_or(0, |part| part.owned.len())));
        let (shards, count) = (usize::from(self.shards), sessions.len().max(1));
        let target = |at| shards / count + usize::from(at < shards % count);
        sessions.into_iter().enumerate().map(|(at, session)| (session, target(at))).collect()
    }
}

#[cfg(test)]
mod tests;
