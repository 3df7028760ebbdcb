use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use quotegate_lease::{
    Assignment, Changes, Document, Expected, LeaseStore, Record, Requested, ShardStore, StoreError, StoredAssignment,
    Version, Workers,
};
use tokio::sync::watch;

use crate::memory::travel;

/// The documents of shards in memory. Requests and answers each take a random time.
#[derive(Clone)]
pub(crate) struct MemoryShardStore {
    workers: Arc<watch::Sender<(i64, Workers)>>,
    assignment: Arc<watch::Sender<Option<StoredAssignment>>>,
    /// Requests have no answer, and streams end.
    is_down: Arc<watch::Sender<bool>>,
}

#[derive(Clone)]
struct MemoryWorker {
    store: MemoryShardStore,
    session: String,
}

impl MemoryShardStore {
    pub(crate) fn new() -> Self {
        Self { workers: Arc::default(), assignment: Arc::default(), is_down: Arc::default() }
    }

    /// How many leases were written, and the assignment's revision.
    pub(crate) fn writes(&self) -> (i64, u64) {
        let revision = self.assignment.borrow().as_ref().map_or(0, |stored| stored.assignment.revision);
        (self.workers.borrow().0, revision)
    }

    /// How many leases are not forgotten.
    pub(crate) fn leases(&self) -> usize {
        listed(&self.workers.borrow().1).len()
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.send_replace(is_down);
    }

    fn answers(&self) -> Result<(), StoreError> {
        if *self.is_down.borrow() { Err(StoreError::Unanswered("the test".into())) } else { Ok(()) }
    }

    /// The state now and after each change, a moment later.
    fn changes<T: Clone + Send + Sync + 'static>(&self, of: &watch::Sender<T>) -> Changes<T> {
        let (mut receiver, down) = (of.subscribe(), self.is_down.subscribe());
        receiver.mark_changed();
        let changes = stream::unfold((receiver, down), async |(mut receiver, mut down)| {
            let is_down = tokio::select! {
                changed = receiver.changed() => changed.is_err(),
                _ = down.wait_for(|is_down| *is_down) => true,
            };
            travel().await;
            if is_down || *down.borrow() {
                return Some((Err(StoreError::Unanswered("the test".into())), (receiver, down)));
            }
            let state = receiver.borrow_and_update().clone();
            Some((Ok(state), (receiver, down)))
        });
        changes.boxed()
    }

    /// Replaces the lease of a worker.
    fn replace(&self, session: &str, record: Record, expected: Expected) -> Result<Version, StoreError> {
        let mut answer = Err(StoreError::Conflict);
        self.workers.send_if_modified(|(writes, workers)| {
            let found = workers.get(session).map_or(Expected::Absent, |found| Expected::Version(found.version));
            if found == expected {
                *writes += 1;
                let version = Version { seconds: *writes, nanos: 0 };
                workers.insert(session.to_owned(), Document { record, version });
                answer = Ok(version);
            }
            answer.is_ok()
        });
        answer
    }
}

impl LeaseStore for MemoryWorker {
    fn read(&self, _: Duration) -> BoxFuture<'_, Result<Option<Document>, StoreError>> {
        Box::pin(async {
            travel().await;
            self.store.answers()?;
            let document = self.store.workers.borrow().1.get(&self.session).cloned();
            travel().await;
            Ok(document)
        })
    }

    fn write<'a>(
        &'a self,
        record: &'a Record,
        expected: Expected,
        _: Duration,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            travel().await;
            self.store.answers()?;
            let answer = self.store.replace(&self.session, record.clone(), expected);
            travel().await;
            answer
        })
    }

    fn changes(&self) -> BoxStream<'static, Result<Option<Document>, StoreError>> {
        stream::pending().boxed()
    }
}

impl ShardStore for MemoryShardStore {
    fn worker(&self, session: &str) -> Arc<dyn LeaseStore> {
        Arc::new(MemoryWorker { store: self.clone(), session: session.to_owned() })
    }

    fn workers(&self, _: Duration) -> Requested<Workers> {
        let store = self.clone();
        Box::pin(async move {
            travel().await;
            store.answers()?;
            let workers = listed(&store.workers.borrow().1);
            travel().await;
            Ok(workers)
        })
    }

    fn worker_changes(&self) -> Changes<Workers> {
        self.changes(&self.workers).map(|found| Ok(listed(&found?.1))).boxed()
    }

    fn assignment(&self, _: Duration) -> Requested<Option<StoredAssignment>> {
        let store = self.clone();
        Box::pin(async move {
            travel().await;
            store.answers()?;
            let found = store.assignment.borrow().clone();
            travel().await;
            Ok(found)
        })
    }

    fn assignment_changes(&self) -> Changes<Option<StoredAssignment>> {
        self.changes(&self.assignment)
    }

    fn write_assignment(&self, assignment: &Assignment, expected: Expected, _: Duration) -> Requested<Version> {
        let (store, assignment) = (self.clone(), assignment.clone());
        Box::pin(async move {
            travel().await;
            store.answers()?;
            let mut answer = Err(StoreError::Conflict);
            store.assignment.send_if_modified(|stored| {
                let found = stored.as_ref().map_or(Expected::Absent, |found| Expected::Version(found.version));
                if found == expected {
                    let seconds = stored.as_ref().map_or(0, |found| found.version.seconds) + 1;
                    let version = Version { seconds, nanos: 0 };
                    *stored = Some(StoredAssignment { assignment, version });
                    answer = Ok(version);
                }
                answer.is_ok()
            });
            travel().await;
            answer
        })
    }
}

fn listed(workers: &Workers) -> Workers {
    let listed = workers.iter().filter(|(_, document)| document.record.worker.is_some());
    listed.map(|(session, document)| (session.clone(), document.clone())).collect()
}
