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
}

#[derive(Clone)]
struct MemoryWorker {
    store: MemoryShardStore,
    session: String,
}

impl MemoryShardStore {
    pub(crate) fn new() -> Self {
        Self { workers: Arc::default(), assignment: Arc::default() }
    }

    /// Replaces the lease of a worker, or removes it.
    fn replace(&self, session: &str, record: Option<Record>, expected: Expected) -> Result<Version, StoreError> {
        let mut answer = Err(StoreError::Conflict);
        self.workers.send_if_modified(|(writes, workers)| {
            let found = workers.get(session).map_or(Expected::Absent, |found| Expected::Version(found.version));
            if found == expected {
                *writes += 1;
                let version = Version { seconds: *writes, nanos: 0 };
                match record {
                    Some(record) => workers.insert(session.to_owned(), Document { record, version }),
                    None => workers.remove(session),
                };
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
            let answer = self.store.replace(&self.session, Some(record.clone()), expected);
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
            let workers = store.workers.borrow().1.clone();
            travel().await;
            Ok(workers)
        })
    }

    fn worker_changes(&self) -> Changes<Workers> {
        changes(&self.workers).map(|(_, workers)| Ok(workers)).boxed()
    }

    fn remove_worker(&self, session: &str, version: Version, _: Duration) -> Requested<()> {
        let (store, session) = (self.clone(), session.to_owned());
        Box::pin(async move {
            travel().await;
            store.replace(&session, None, Expected::Version(version)).map(|_| ())
        })
    }

    fn assignment(&self, _: Duration) -> Requested<Option<StoredAssignment>> {
        let store = self.clone();
        Box::pin(async move {
            travel().await;
            let found = store.assignment.borrow().clone();
            travel().await;
            Ok(found)
        })
    }

    fn assignment_changes(&self) -> Changes<Option<StoredAssignment>> {
        changes(&self.assignment).map(Ok).boxed()
    }

    fn write_assignment(&self, assignment: &Assignment, expected: Expected, _: Duration) -> Requested<Version> {
        let (store, assignment) = (self.clone(), assignment.clone());
        Box::pin(async move {
            travel().await;
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

/// The state now and after each change, a moment later.
fn changes<T: Clone + Send + Sync + 'static>(of: &watch::Sender<T>) -> BoxStream<'static, T> {
    let mut receiver = of.subscribe();
    receiver.mark_changed();
    let changes = stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok()?;
        travel().await;
        let state = receiver.borrow_and_update().clone();
        Some((state, receiver))
    });
    changes.boxed()
}
