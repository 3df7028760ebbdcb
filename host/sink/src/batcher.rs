use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use quotegate_document::{DocumentKey, TenantId, Value};
use quotegate_pace::Rate;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::error_log::ErrorLog;
use crate::rate_gate::RateGate;
use crate::{DocumentWrite, Outcome, RetryReason, Sink, SinkStatus, TenantDocument};

/// Firestore refuses requests over 10 MiB. The margin is for what [`size_of_document`] does not count.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most writes that Firestore accepts in one request.
const MAX_BATCH: usize = 500;

/// How batches are made.
#[derive(Debug, Clone)]
pub struct BatcherSettings {
    /// The most documents per request, at most 500.
    pub batch_size: usize,
    /// The most requests in flight.
    pub max_in_flight: usize,
    /// The longest that a document may wait for others to share its request.
    pub flush_interval: Duration,
    /// How long to wait for the answer to a request.
    pub request_timeout: Duration,
    /// The rate of documents over all tenants.
    pub limit: Option<Rate>,
    /// Start with 500 documents per second and add 50% every five minutes.
    pub ramp: bool,
}

/// Batches the documents of all tenants and limits the requests in flight.
///
/// If no request is in flight, a document is sent immediately. Otherwise it waits for others to share its request, until
/// the batch is full or `flush_interval` has passed. A document is never twice in one batch or in two requests at once
/// (invariant 3). Every document gets exactly one answer, whatever the sink does, unless the deadline comes first.
pub struct Batcher {
    sink: Arc<dyn Sink>,
    settings: BatcherSettings,
    status: Arc<SinkStatus>,
    error_log: ErrorLog,
    gate: RateGate,
    waiting: VecDeque<Waiting>,
    in_flight: HashSet<(TenantId, DocumentKey)>,
    requests: JoinSet<Finished>,
    limits: Option<watch::Receiver<Rate>>,
    closed: bool,
}

struct Waiting {
    write: DocumentWrite,
    since: Instant,
}

struct Finished {
    writes: Vec<DocumentWrite>,
    outcomes: Vec<Outcome>,
    took: Duration,
}

/// How the batcher ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatcherEnd {
    /// Documents that got no answer because the deadline came first.
    pub unanswered: usize,
}

impl Batcher {
    /// An empty batcher.
    pub fn new(sink: Arc<dyn Sink>, settings: BatcherSettings, status: Arc<SinkStatus>) -> Self {
        let gate = RateGate::new(settings.limit, settings.ramp, Instant::now().into_std());
        Self {
            sink,
            settings,
            status,
            error_log: ErrorLog::default(),
            gate,
            waiting: VecDeque::new(),
            in_flight: HashSet::new(),
            requests: JoinSet::new(),
            limits: None,
            closed: false,
        }
    }

    /// Follows changes of the limit.
    pub fn limited_by(self, limits: watch::Receiver<Rate>) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// Runs until all senders are gone and all documents answered, or until `deadline`.
    pub async fn run(mut self, mut received: mpsc::Receiver<DocumentWrite>, deadline: CancellationToken) -> BatcherEnd {
        loop {
            // The same time for both: otherwise a document that became ready in between would neither be sent nor set
            // the timer.
            let now = Instant::now();
            self.send_ready(now);
            if self.closed && self.waiting.is_empty() && self.requests.is_empty() {
                return BatcherEnd { unanswered: 0 };
            }
            let wake = self.next_wake(now);
            let has_room = !self.closed && self.waiting.len() < self.batch_size();
            tokio::select! {
                biased;
                () = deadline.cancelled() => return self.give_up(),
                Some(finished) = self.requests.join_next(), if !self.requests.is_empty() => {
                    // The task catches the sink's panics, and nothing aborts it before the end.
                    if let Ok(finished) = finished {
                        self.answer(finished);
                    }
                }
                write = received.recv(), if has_room => match write {
                    Some(write) => self.waiting.push_back(Waiting { write, since: Instant::now() }),
                    None => self.closed = true,
                },
                limit = next_limit(&mut self.limits) => self.gate.set_limit(limit, Instant::now().into_std()),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    fn batch_size(&self) -> usize {
        self.settings.batch_size.clamp(1, MAX_BATCH)
    }

    fn send_ready(&mut self, now: Instant) {
        while self.requests.len() < self.settings.max_in_flight.max(1) && self.is_ready(now) {
            let open_for = self.gate.open_for(now.into_std());
            let batch = self.take_batch(open_for);
            if batch.is_empty() {
                return;
            }
            self.gate.pass(batch.len(), now.into_std());
            self.start(batch);
        }
    }

    /// True if the waiting documents should not wait for others any longer.
    fn is_ready(&self, now: Instant) -> bool {
        let Some(oldest) = self.waiting.front() else { return false };
        self.requests.is_empty()
            || self.closed
            || self.waiting.len() >= self.batch_size()
            || now.duration_since(oldest.since) >= self.settings.flush_interval
    }

    /// When to wake if nothing else happens: the oldest document has waited long enough, or the gate opens. Assumes that
    /// everything that was ready at `now` has been sent.
    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        if self.requests.len() >= self.settings.max_in_flight.max(1) {
            return None;
        }
        let oldest = self.waiting.front()?.since;
        let ready_at = if self.is_ready(now) { now } else { oldest + self.settings.flush_interval };
        let opens_at = Instant::from_std(self.gate.opens_at(now.into_std()));
        // Documents that are ready but still here wait for a request with the same document, whose answer wakes us.
        Some(ready_at.max(opens_at)).filter(|at| *at > now)
    }

    fn take_batch(&mut self, most: usize) -> Vec<DocumentWrite> {
        let most = most.min(self.batch_size());
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut skipped = VecDeque::new();
        while batch.len() < most {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let target = &waiting.write.target;
            let path = (target.tenant.clone(), target.document.key.clone());
            let size = size_of_document(target);
            // A later document must not overtake an earlier one with the same path.
            let same_path = |earlier: &Waiting| {
                let earlier = &earlier.write.target;
                earlier.document.key == target.document.key && earlier.tenant == target.tenant
            };
            if self.in_flight.contains(&path) || skipped.iter().any(same_path) {
                skipped.push_back(waiting);
                continue;
            }
            if !batch.is_empty() && bytes + size > MAX_BATCH_BYTES {
                skipped.push_back(waiting);
                break;
            }
            bytes += size;
            self.in_flight.insert(path);
            batch.push(waiting.write);
        }
        skipped.append(&mut self.waiting);
        self.waiting = skipped;
        batch
    }

    fn start(&mut self, writes: Vec<DocumentWrite>) {
        self.status.request_started(writes.len());
        let sink = self.sink.clone();
        // The sink has a timeout of its own; this one is for a sink that hangs anyway.
        let limit = self.settings.request_timeout + Duration::from_secs(1);
        self.requests.spawn(async move {
            let began = Instant::now();
            let targets: Vec<TenantDocument> = writes.iter().map(|write| write.target.clone()).collect();
            let attempt = AssertUnwindSafe(async { sink.write(&targets).await }).catch_unwind();
            let mut outcomes = match timeout(limit, attempt).await {
                Ok(Ok(outcomes)) => outcomes,
                Ok(Err(_panic)) => vec![Outcome::retry(RetryReason::Internal); writes.len()],
                Err(_elapsed) => vec![Outcome::retry(RetryReason::DeadlineExceeded); writes.len()],
            };
            outcomes.resize(writes.len(), Outcome::retry(RetryReason::Internal));
            Finished { writes, outcomes, took: began.elapsed() }
        });
    }

    fn answer(&mut self, finished: Finished) {
        self.status.request_ended(finished.took, &finished.outcomes);
        self.error_log.log(&finished.writes, &finished.outcomes, &self.status, Instant::now());
        for (write, outcome) in finished.writes.into_iter().zip(finished.outcomes) {
            self.in_flight.remove(&(write.target.tenant.clone(), write.target.document.key.clone()));
            write.answer(outcome);
        }
    }

    fn give_up(mut self) -> BatcherEnd {
        self.requests.abort_all();
        BatcherEnd { unanswered: self.waiting.len() + self.in_flight.len() }
    }
}

/// The next limit. Never returns if the limit cannot change.
async fn next_limit(limits: &mut Option<watch::Receiver<Rate>>) -> Rate {
    if let Some(limits) = limits
        && limits.changed().await.is_ok()
    {
        return *limits.borrow_and_update();
    }
    std::future::pending().await
}

/// Approximately the document's size in a request; [`MAX_BATCH_BYTES`] leaves a margin.
fn size_of_document(target: &TenantDocument) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Doubles(list) => 12 * list.len(),
        Value::Texts(list) => list.iter().map(|text| text.len() + 8).sum(),
        _ => 16,
    };
    let fields = target.document.fields.iter().map(|field| 2 * field.path.as_str().len() + value(&field.value) + 16);
    200 + fields.sum::<usize>()
}

#[cfg(test)]
mod tests;
