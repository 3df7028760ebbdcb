use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use quotegate_document::{Document, FieldPath, Value};
use quotegate_pace::Backoff;
use tokio::time::{sleep, timeout};

use crate::fence::{Admission, ConflictLog, DocumentId, DocumentIds, Fence, Next, Order, Verdict};
use crate::version::micros;
use crate::{
    ConditionalWrite, DocumentRead, DocumentReader, Outcome, Ownership, Precondition, ReadResult, RetryReason, Sink,
    TenantDocument, WriteResult,
};

/// After this many attempts, the next round has newer documents.
const ATTEMPTS: usize = 3;
/// The host's time in a heartbeat, different in each.
static UPDATED_AT: FieldPath = FieldPath::literal("updated_at");

/// Writes documents immediately, without the batches and their limits: heartbeats must arrive even when quotes do not.
#[derive(Clone)]
pub struct Heartbeats {
    sink: Arc<dyn Sink>,
    chunk: usize,
    request_timeout: Duration,
    fencing: Option<Arc<Fencing>>,
}

struct Fencing {
    reader: Arc<dyn DocumentReader>,
    ids: DocumentIds,
    fence: Mutex<(Fence, ConflictLog)>,
}

/// The result of one round of heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Documents written.
    pub written: u64,
    /// Documents that could not be written.
    pub failed: u64,
    /// Why the first of them failed.
    pub error: Option<String>,
}

impl Heartbeats {
    /// Sends requests of at most `chunk` documents, each with `request_timeout`.
    pub fn new(sink: Arc<dyn Sink>, chunk: usize, request_timeout: Duration) -> Self {
        Self { sink, chunk: chunk.max(1), request_timeout, fencing: None }
    }

    /// Does not write over the heartbeat of another host that has written since this one did, unless this host owns the
    /// lease. So a host that stops, or that was frozen, does not hide the one that took over.
    pub fn fenced(self, reader: Arc<dyn DocumentReader>, ownership: Option<Ownership>) -> Self {
        let fence = Mutex::new((Fence::new(ownership), ConflictLog::default()));
        let fencing = Fencing { reader, ids: DocumentIds::default(), fence };
        Self { fencing: Some(Arc::new(fencing)), ..self }
    }

    /// Writes all documents, one request after the other. Those that may succeed later are tried twice more.
    pub async fn write(&self, documents: Vec<TenantDocument>) -> Round {
        let mut round = Round::default();
        for chunk in documents.chunks(self.chunk) {
            self.write_chunk(chunk.to_vec(), &mut round).await;
        }
        round
    }

    async fn write_chunk(&self, mut documents: Vec<TenantDocument>, round: &mut Round) {
        let mut rng = Rng::new();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2)).ok();
        for left in (0..ATTEMPTS).rev() {
            let outcomes = self.attempt(&documents).await;
            let mut again = Vec::new();
            for (document, outcome) in documents.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Written => round.written += 1,
                    Outcome::Retry { .. } if left > 0 => again.push(document),
                    Outcome::Older => round.fail(Some("another host writes it".to_owned())),
                    failed => round.fail(failed.problem()),
                }
            }
            if again.is_empty() {
                return;
            }
            documents = again;
            if let Some(backoff) = &mut backoff {
                sleep(backoff.next_delay(&mut rng)).await;
            }
        }
    }

    /// One outcome per document, in order. A conflict is a retry: the next attempt reads the document first.
    async fn attempt(&self, documents: &[TenantDocument]) -> Vec<Outcome> {
        let late = || Outcome::retry(RetryReason::DeadlineExceeded);
        let verdicts = match &self.fencing {
            Some(fencing) => fencing.preconditions(documents, self.request_timeout).await,
            None => vec![Ok(Precondition::None); documents.len()],
        };
        let writes: Vec<_> = documents.iter().zip(&verdicts).filter_map(conditional_write).collect();
        let unanswered = self.fencing.as_deref().map(|fencing| Unanswered { fencing, writes: &writes });
        let results = if writes.is_empty() {
            Vec::new()
        } else {
            let failed = || vec![WriteResult::Failed(late()); writes.len()];
            timeout(self.request_timeout, self.sink.write(&writes)).await.unwrap_or_else(|_| failed())
        };
        std::mem::forget(unanswered);
        let mut results = results.into_iter();
        let outcome = |(document, verdict): (&TenantDocument, Result<Precondition, Outcome>)| {
            let outcome_of = |result: WriteResult| match &self.fencing {
                Some(fencing) => fencing.outcome(document, result),
                None => result.into_outcome(),
            };
            verdict.err().unwrap_or_else(|| results.next().map_or_else(late, outcome_of))
        };
        documents.iter().zip(verdicts).map(outcome).collect()
    }
}

fn conditional_write<'a>(
    (target, verdict): (&'a TenantDocument, &Result<Precondition, Outcome>),
) -> Option<ConditionalWrite<'a>> {
    let precondition = *verdict.as_ref().ok()?;
    Some(ConditionalWrite { target, precondition })
}

impl Fencing {
    /// For each document, the precondition of its write, or why it is not written. Reads those whose stored version is
    /// not known.
    async fn preconditions(&self, documents: &[TenantDocument], limit: Duration) -> Vec<Result<Precondition, Outcome>> {
        let admit = |document| self.fence.lock().0.admit(self.ids.id(document), order(&document.document));
        let admissions: Vec<Admission> = documents.iter().map(admit).collect();
        let unread = documents.iter().zip(&admissions).filter(|(_, admission)| **admission == Admission::Read);
        let reads: Vec<_> = unread.map(|(target, _)| DocumentRead { target, order_field: Some(&UPDATED_AT) }).collect();
        let late = || Err(Outcome::retry(RetryReason::DeadlineExceeded));
        let results = if reads.is_empty() {
            Vec::new()
        } else {
            timeout(limit, self.reader.read(&reads)).await.unwrap_or_else(|_| vec![late(); reads.len()])
        };
        let mut results = results.into_iter();
        let verdict = |(document, admission)| match admission {
            Admission::Write(precondition) => Ok(precondition),
            Admission::Older => Err(Outcome::Older),
            Admission::Read => self.read(document, results.next().unwrap_or_else(late)),
        };
        documents.iter().zip(admissions).map(verdict).collect()
    }

    fn read(&self, document: &TenantDocument, result: ReadResult) -> Result<Precondition, Outcome> {
        let stored = result?;
        let (fence, log) = &mut *self.fence.lock();
        let (verdict, writer) = fence.read(self.ids.id(document), order(&document.document), stored, Duration::ZERO);
        log.log(document, verdict, writer);
        match verdict {
            Verdict::Write(precondition) => Ok(precondition),
            Verdict::Older => Err(Outcome::Older),
            Verdict::NotOwner => Err(Outcome::retry(RetryReason::NotOwner)),
            Verdict::TooEarly(wait) => Err(Outcome::TooEarly { wait }),
        }
    }

    fn outcome(&self, document: &TenantDocument, result: WriteResult) -> Outcome {
        let id: DocumentId = self.ids.id(document);
        match self.fence.lock().0.answered(id, order(&document.document), result, 0) {
            Next::Answer(outcome) => outcome,
            Next::Read => Outcome::retry(RetryReason::Conflict),
        }
    }
}

/// A request on its way. If it is dropped before it is answered, as when the host stops, it may still be applied. It must
/// then not look like the write of another host. Forgotten once there is an answer.
struct Unanswered<'a> {
    fencing: &'a Fencing,
    writes: &'a [ConditionalWrite<'a>],
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        for write in self.writes {
            let lost = WriteResult::Failed(Outcome::retry(RetryReason::DeadlineExceeded));
            self.fencing.outcome(write.target, lost);
        }
    }
}

fn order(document: &Document) -> Order {
    let time = document.fields.iter().find_map(|field| match field.value {
        Value::Timestamp(time) if field.path == UPDATED_AT => Some(time),
        _ => None,
    });
    Order::OwnClock(micros(time.unwrap_or_default()))
}

impl Round {
    fn fail(&mut self, error: Option<String>) {
        self.failed += 1;
        self.error = self.error.take().or(error);
    }
}
