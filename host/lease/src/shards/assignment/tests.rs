use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::InstanceRole;

/// Workers that do at once what the assignment says, unless a test says otherwise.
#[derive(Default)]
struct Workers {
    assignment: Assignment,
    leases: BTreeMap<String, Record>,
    joined: usize,
}

impl Workers {
    fn new(shards: u16) -> Self {
        Self { assignment: Assignment { shards, ..Assignment::default() }, ..Self::default() }
    }

    fn join(&mut self, shards: u16) -> String {
        self.joined += 1;
        let session = format!("{:02}", self.joined);
        let record = Record {
            owner: Some(format!("host-{session}")),
            session: session.clone(),
            epoch: 1,
            renewals: 0,
            ttl: Duration::from_secs(3),
            address: None,
            version: "1".into(),
            since: 0,
            worker: Some(WorkerState::new(InstanceRole::Worker, shards)),
        };
        self.leases.insert(session.clone(), record);
        session
    }

    fn worker(&mut self, session: &str) -> &mut WorkerState {
        self.leases.get_mut(session).unwrap().worker.as_mut().unwrap()
    }

    /// True if the assignment has changed.
    fn assign(&mut self, shards: u16) -> bool {
        let observed = |record| Observed { record: Some(record), is_alive: true };
        let workers = self.leases.iter().map(|(session, record)| (session.as_str(), observed(record))).collect();
        let next = self.assignment.next(shards, "host", &workers);
        let is_new = next.is_some();
        self.assignment = next.unwrap_or_else(|| self.assignment.clone());
        is_new
    }

    fn obey(&mut self) {
        for (session, record) in &mut self.leases {
            let Some(worker) = &mut record.worker else { continue };
            worker.revision = self.assignment.revision;
            worker.held = self.assignment.parts.get(session).map(|part| part.owned.clone()).unwrap_or_default();
        }
    }

    fn settle(&mut self, shards: u16) {
        while self.assign(shards) {
            self.obey();
        }
    }

    fn owned(&self, session: &str) -> BTreeSet<u16> {
        self.assignment.parts.get(session).map(|part| part.owned.clone()).unwrap_or_default()
    }

    fn owners(&self) -> BTreeMap<u16, String> {
        let parts = self.assignment.parts.iter();
        parts.flat_map(|(session, part)| part.owned.iter().map(|shard| (*shard, session.clone()))).collect()
    }

    fn check_even(&self) {
        let counts: Vec<usize> = self.leases.keys().map(|session| self.owned(session).len()).collect();
        assert_eq!(counts.iter().sum::<usize>(), usize::from(self.assignment.shards));
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }
}

proptest! {
    #[test]
    fn joining_and_leaving_move_no_more_shards_than_one_part(
        shards in 1_u16..200,
        changes in prop::collection::vec((any::<bool>(), any::<usize>()), 1..30),
    ) {
        let mut workers = Workers::new(shards);
        workers.join(shards);
        workers.settle(shards);
        for (joins, at) in changes {
            let before = workers.owners();
            let part = if joins || workers.leases.len() == 1 {
                let session = workers.join(shards);
                workers.settle(shards);
                workers.owned(&session)
            } else {
                let session = workers.leases.keys().nth(at % workers.leases.len()).unwrap().clone();
                let part = workers.owned(&session);
                workers.leases.get_mut(&session).unwrap().owner = None;
                workers.settle(shards);
                workers.leases.remove(&session);
                part
            };
            workers.check_even();
            let after = workers.owners();
            let moved: BTreeSet<u16> = (0..shards).filter(|shard| before[shard] != after[shard]).collect();
            prop_assert_eq!(moved, part);
        }
    }
}

#[test]
fn a_shard_is_free_when_its_worker_knows_that_it_is_withdrawn_and_does_not_hold_it() {
    let mut workers = Workers::new(4);
    let old = workers.join(4);
    workers.settle(4);
    let new = workers.join(4);
    assert!(workers.assign(4));
    assert_eq!((workers.owned(&old), workers.owned(&new)), ([0, 1].into(), [].into()));
    let revision = workers.assignment.revision;

    // It does not hold them because it has not heard that it had them.
    *workers.worker(&old) = WorkerState { revision: revision - 1, held: [].into(), ..workers.worker(&old).clone() };
    assert!(!workers.assign(4));
    // It knows, and their tenants have not ended.
    *workers.worker(&old) = WorkerState { revision, held: [0, 1, 2, 3].into(), ..workers.worker(&old).clone() };
    assert!(!workers.assign(4));
    workers.worker(&old).held.remove(&3);
    assert!(workers.assign(4));
    assert_eq!((workers.owned(&old), workers.owned(&new)), ([0, 1].into(), [3].into()));
    assert_eq!(workers.assignment.parts[&old].gives_up, [2].into());
}

#[test]
fn a_leaving_worker_gives_up_one_shard_after_the_other() {
    let mut workers = Workers::new(4);
    let [leaving, staying] = [(); 2].map(|()| workers.join(4));
    workers.settle(4);
    workers.worker(&leaving).is_leaving = true;
    assert!(workers.assign(4));
    assert_eq!(workers.assignment.parts[&leaving].gives_up.len(), 2);
    let revision = workers.assignment.revision;
    workers.worker(&leaving).revision = revision;
    workers.worker(&leaving).held.pop_first();
    assert!(workers.assign(4));
    assert_eq!(workers.owned(&staying).len(), 3);
}

#[test]
fn another_number_of_shards_begins_when_all_old_ones_are_given_up() {
    let mut workers = Workers::new(4);
    let [old, new] = [4, 8].map(|shards| workers.join(shards));
    workers.settle(4);
    assert_eq!(workers.owned(&old).len(), 4);
    assert!(workers.assign(8));
    assert_eq!((workers.assignment.shards, workers.owned(&old).len(), workers.owned(&new).len()), (4, 0, 0));
    assert!(!workers.assign(8));
    workers.obey();
    workers.settle(8);
    assert_eq!((workers.assignment.shards, workers.owned(&old).len(), workers.owned(&new).len()), (8, 0, 8));
}

#[test]
fn without_the_document_nobody_gets_what_a_worker_holds() {
    let mut workers = Workers::new(4);
    let [first, second] = [(); 2].map(|()| workers.join(4));
    workers.settle(4);
    let (known, held) = (workers.assignment.revision, workers.owned(&first));
    workers.assignment = Assignment { shards: 4, ..Assignment::default() };
    workers.leases.remove(&second);
    assert!(workers.assign(4) && workers.assignment.revision > known);
    assert!(workers.owned(&first).is_disjoint(&held), "the worker has to hear that it no longer has them");
    workers.obey();
    workers.settle(4);
    workers.check_even();
}
