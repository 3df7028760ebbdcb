use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use quotegate_lease::{BootTime, Clock, Document, Expected, LeaseStore, Record, StoreError, Version};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A document in memory. Requests and answers each take a random time.
#[derive(Clone)]
pub(crate) struct MemoryStore {
    document: Arc<watch::Sender<Option<Document>>>,
}

/// Tokio's clock, which tests pause.
pub(crate) fn tokio_clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || BootTime::new(start.elapsed() + Duration::from_secs(1)))
}

impl MemoryStore {
    pub(crate) fn new() -> Self {
        Self { document: Arc::new(watch::Sender::new(None)) }
    }

    pub(crate) fn document(&self) -> Option<Document> {
        self.document.borrow().clone()
    }
}

pub(crate) async fn travel() {
    sleep(Duration::from_micros(fastrand::u64(0..30_000))).await;
}

impl LeaseStore for MemoryStore {
    fn read(&self, _: Duration) -> BoxFuture<'_, Result<Option<Document>, StoreError>> {
        Box::pin(async {
            travel().await;
            let document = self.document();
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
            let mut answer = Err(StoreError::Conflict);
            self.document.send_if_modified(|document| {
                let found = document.as_ref().map_or(Expected::Absent, |found| Expected::Version(found.version));
                if found == expected {
                    let seconds = document.as_ref().map_or(0, |found| found.version.seconds) + 1;
                    let version = Version { seconds, nanos: 0 };
                    *document = Some(Document { record: record.clone(), version });
                    answer = Ok(version);
                }
                answer.is_ok()
            });
            travel().await;
            answer
        })
    }

    fn changes(&self) -> BoxStream<'static, Result<Option<Document>, StoreError>> {
        let mut receiver = self.document.subscribe();
        receiver.mark_changed();
        let changes = stream::unfold(receiver, async |mut receiver| {
            receiver.changed().await.ok()?;
            travel().await;
            let document = receiver.borrow_and_update().clone();
            Some((Ok(document), receiver))
        });
        changes.boxed()
    }
}
