//! The tenant's task and the batcher, writing to a database that applies requests after they were given up.

use super::*;
use parking_lot::Mutex;
use quotegate_sink::{
    Batcher, BatcherSettings, ConditionalWrite, DocumentRead, DocumentReader, FenceSettings, Precondition, ReadFuture,
    RetryReason, Sink, SinkStatus, StoredDocument, Version, WriteFuture, WriteResult,
};

const SYMBOLS: u32 = 20;
/// Of 20 symbols, at most 40 writes per second.
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(500);
const RUN: Duration = Duration::from_secs(30);

/// One request in twenty gets no answer within [`TIMEOUT`] and is applied 1 to 4 s after it was sent.
struct LateDatabase {
    rng: Mutex<fastrand::Rng>,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    /// Version and exchange time of each document.
    documents: HashMap<String, (i64, i64)>,
    version: i64,
    backwards: u64,
    late: u64,
}

impl Stored {
    fn apply(&mut self, writes: &[(String, Precondition, i64)]) -> Vec<WriteResult> {
        let mut apply = |(path, precondition, time): &(String, Precondition, i64)| {
            let before = self.documents.get(path).copied();
            let holds = match precondition {
                Precondition::None => true,
                Precondition::Absent => before.is_none(),
                Precondition::Version(Version(version)) => before.is_some_and(|(stored, _)| stored == *version),
            };
            if !holds {
                return WriteResult::Conflict;
            }
            self.backwards += u64::from(before.is_some_and(|(_, stored)| stored > *time));
            self.version += 1;
            self.documents.insert(path.clone(), (self.version, *time));
            WriteResult::Written(Some(Version(self.version)))
        };
        writes.iter().map(&mut apply).collect()
    }
}

impl Sink for LateDatabase {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        let request = |write: &ConditionalWrite<'_>| {
            (write.target.to_string(), write.precondition, event_time(&write.target.document))
        };
        let requests: Vec<_> = writes.iter().map(request).collect();
        let (stored, mut rng) = (self.stored.clone(), self.rng.lock());
        let (late, delay) = (rng.u8(0..20) == 0, Duration::from_millis(rng.u64(5..30)));
        let applied_after = Duration::from_millis(rng.u64(1000..4000));
        Box::pin(async move {
            if !late {
                tokio::time::sleep(delay).await;
                return stored.lock().apply(&requests);
            }
            let failed = vec![WriteResult::Failed(Outcome::retry(RetryReason::DeadlineExceeded)); requests.len()];
            stored.lock().late += 1;
            tokio::spawn(async move {
                tokio::time::sleep(applied_after).await;
                stored.lock().apply(&requests);
            });
            tokio::time::sleep(TIMEOUT).await;
            failed
        })
    }
}

impl DocumentReader for LateDatabase {
    fn read<'a>(&'a self, reads: &'a [DocumentRead<'a>]) -> ReadFuture<'a> {
        let delay = Duration::from_millis(self.rng.lock().u64(5..30));
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            let stored = self.stored.lock();
            let read = |read: &DocumentRead<'_>| {
                assert_eq!(read.order_field.unwrap().as_str(), "ts");
                let found = stored.documents.get(&read.target.to_string());
                let version = found.map(|(version, _)| Version(*version));
                Ok(StoredDocument { version, order: found.map(|(_, time)| time.div_euclid(1000)), age: None })
            };
            reads.iter().map(read).collect()
        })
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Losses {
    /// Writes that moved a document back in time.
    backwards: u64,
    /// Documents that are not those of the newest quote in the end.
    last_words: usize,
}

/// 30 s of quotes.
fn run(seed: u64, fence: bool) -> Losses {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stored = Arc::new(Mutex::new(Stored::default()));
        let database = Arc::new(LateDatabase { rng: Mutex::new(rng.fork()), stored: stored.clone() });
        let settings = BatcherSettings {
            batch_size: 100,
            max_in_flight: 4,
            flush_interval: Duration::from_millis(200),
            request_timeout: 10 * SECOND,
            limit: None,
            ramp: false,
        };
        let mut batcher = Batcher::new(database.clone(), settings, Arc::new(SinkStatus::default()));
        if fence {
            batcher = batcher.fenced(database, FenceSettings::default());
        }
        let mut harness = Harness::open_onto(None, INTERVAL, Rate::new(40.0, 40).unwrap(), |received| {
            tokio::spawn(async {
                assert_eq!(batcher.run(received, CancellationToken::new()).await.unanswered, 0);
                Vec::new()
            })
        });
        let (began, mut time, mut newest) = (now(), 0, HashMap::new());
        while now() - began < RUN {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Exchanges repeat times within a burst.
            time += 1000 * rng.i64(0..3);
            let symbol = rng.u32(0..SYMBOLS);
            harness.quote(symbol, time);
            newest.insert(format!("tenants/acme/live_quotes/S{symbol}"), time);
        }
        let (unflushed, _, status) = harness.close(600 * SECOND).await;
        assert_eq!(unflushed, Unflushed::default());
        let counters = status.snapshot().counters;
        assert_eq!(counters.attempted, counters.written + counters.retried + counters.writes_older);
        tokio::time::sleep(10 * SECOND).await;
        let stored = stored.lock();
        assert!(stored.late > 5, "{} late requests", stored.late);
        assert!(fence || counters.conflicts == 0);
        let is_lost = |(path, time): &(&String, &i64)| stored.documents[*path].1 != **time;
        Losses { backwards: stored.backwards, last_words: newest.iter().filter(is_lost).count() }
    })
}

/// Invariants 2 and 3.
#[test]
fn a_fenced_document_never_goes_backwards_and_keeps_the_last_word() {
    for seed in 1..=5 {
        assert_eq!(run(seed, true), Losses::default(), "seed {seed}");
    }
}

/// The same test can fail.
#[test]
fn without_the_fence_late_requests_put_older_quotes_over_newer_ones() {
    for seed in 1..=5 {
        assert!(run(seed, false).backwards > 0, "seed {seed}");
    }
}
