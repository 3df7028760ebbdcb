mod queue;
mod request;

use std::sync::Arc;
use std::time::Duration;

use quotegate_document::FieldPath;
use quotegate_pace::Rate;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::queue::{Pending, Queue};
use self::request::{Finished, Results};
use crate::error_log::ErrorLog;
use crate::fence::{Admission, ConflictLog, Fence, Next, Verdict, Writer};
use crate::rate_gate::RateGate;
use crate::{
    DocumentReader, DocumentWrite, FenceSettings, Outcome, ReadResult, RetryReason, Sink, SinkStatus, WriteResult,
};

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
///
/// With a fence, a document whose stored version is not known is read first, in requests of their own. Meanwhile the
/// others are sent.
pub struct Batcher {
    sink: Arc<dyn Sink>,
    settings: BatcherSettings,
    status: Arc<SinkStatus>,
    error_log: ErrorLog,
    gate: RateGate,
    fencing: Option<Fencing>,
    queue: Queue,
    requests: JoinSet<Finished>,
    reads_in_flight: usize,
    /// The last request that was started is a read.
    read_last: bool,
    limits: Option<watch::Receiver<Rate>>,
    closed: bool,
}

struct Fencing {
    fence: Fence,
    reader: Arc<dyn DocumentReader>,
    /// The field that the host adds to documents without a comparable time.
    order_field: Option<FieldPath>,
    log: ConflictLog,
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
            fencing: None,
            queue: Queue::default(),
            requests: JoinSet::new(),
            reads_in_flight: 0,
            read_last: false,
            limits: None,
            closed: false,
        }
    }

    /// Writes a document only if no one else has changed it since this process last read or wrote it.
    pub fn fenced(self, reader: Arc<dyn DocumentReader>, settings: FenceSettings) -> Self {
        let FenceSettings { order_field, ownership } = settings;
        let fencing = Fencing { fence: Fence::new(ownership), reader, order_field, log: ConflictLog::default() };
        Self { fencing: Some(fencing), ..self }
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
            if self.closed && self.queue.is_idle() && self.requests.is_empty() {
                return BatcherEnd { unanswered: 0 };
            }
            let wake = self.next_wake(now);
            let has_room = !self.closed && self.queue.has_room(self.batch_size());
            tokio::select! {
                biased;
                () = deadline.cancelled() => return self.give_up(),
                Some(finished) = self.requests.join_next(), if !self.requests.is_empty() => {
                    // The task catches the sink's panics, and nothing aborts it before the end.
                    if let Ok(finished) = finished {
                        self.finish(finished);
                    }
                }
                write = received.recv(), if has_room => match write {
                    Some(write) => {
                        let pending = self.queue.take_in(write, Instant::now());
                        self.admit(pending);
                    }
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

    /// Decides where a write goes: to the sink, to the reader, or, if what is stored is newer, back to its sender. Then
    /// it is the turn of the one behind it.
    fn admit(&mut self, mut next: Option<Pending>) {
        while let Some(mut pending) = next.take() {
            let admission = match &mut self.fencing {
                Some(fencing) => fencing.fence.admit(pending.id, pending.order()),
                None => Admission::Write(pending.precondition),
            };
            match admission {
                Admission::Write(precondition) => {
                    pending.precondition = precondition;
                    self.queue.push_waiting(pending);
                }
                Admission::Read => self.queue.push_unread(pending),
                Admission::Older => next = self.answer(pending, Outcome::Older),
            }
        }
    }

    fn send_ready(&mut self, now: Instant) {
        while self.requests.len() < self.max_in_flight() {
            // They take turns, so that neither holds up the other even if only one request may be in flight.
            let started = (self.read_last && self.start_write(now)) || self.start_read() || self.start_write(now);
            if !started {
                return;
            }
        }
    }

    fn max_in_flight(&self) -> usize {
        self.settings.max_in_flight.max(1)
    }

    /// A read does not wait for others: documents that come while it is in flight share the next one. Reads take at most
    /// half of the requests in flight, so that documents which need none do not wait for them.
    fn start_read(&mut self) -> bool {
        let (batch_size, unread) = (self.batch_size(), self.queue.unread());
        let is_ready = unread >= batch_size || (unread > 0 && self.reads_in_flight == 0);
        if !is_ready || self.reads_in_flight >= (self.max_in_flight() / 2).max(1) {
            return false;
        }
        let Some(Fencing { reader, order_field, .. }) = &self.fencing else { return false };
        let batch = self.queue.take_unread(batch_size);
        self.status.read_started(batch.len());
        self.requests.spawn(request::read(reader.clone(), batch, order_field.clone(), self.settings.request_timeout));
        self.reads_in_flight += 1;
        self.read_last = true;
        true
    }

    fn start_write(&mut self, now: Instant) -> bool {
        if !self.is_ready(now) {
            return false;
        }
        let open_for = self.gate.open_for(now.into_std());
        let batch = self.queue.take_batch(open_for.min(self.batch_size()));
        if batch.is_empty() {
            return false;
        }
        self.gate.pass(batch.len(), now.into_std());
        self.status.write_started(batch.len());
        self.requests.spawn(request::write(self.sink.clone(), batch, self.settings.request_timeout));
        self.read_last = false;
        true
    }

    /// True if the waiting documents should not wait for others any longer.
    fn is_ready(&self, now: Instant) -> bool {
        let Some(oldest) = self.queue.oldest() else { return false };
        self.requests.len() == self.reads_in_flight
            || self.closed
            || self.queue.waiting() >= self.batch_size()
            || now.duration_since(oldest) >= self.settings.flush_interval
    }

    /// When to wake if nothing else happens: the oldest document has waited long enough, or the gate opens. Assumes that
    /// everything that was ready at `now` has been sent.
    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        if self.requests.len() >= self.max_in_flight() {
            return None;
        }
        let oldest = self.queue.oldest()?;
        let ready_at = if self.is_ready(now) { now } else { oldest + self.settings.flush_interval };
        let opens_at = Instant::from_std(self.gate.opens_at(now.into_std()));
        Some(ready_at.max(opens_at)).filter(|at| *at > now)
    }

    fn finish(&mut self, finished: Finished) {
        let Finished { documents, results, took } = finished;
        match results {
            Results::Written(results) => {
                self.status.write_ended(took, &results);
                for (pending, result) in documents.into_iter().zip(results) {
                    self.take_written(pending, result);
                }
            }
            Results::Read(results) => {
                self.reads_in_flight -= 1;
                self.status.read_ended(took, &results);
                for (pending, result) in documents.into_iter().zip(results) {
                    self.take_read(pending, result);
                }
            }
        }
    }

    fn take_written(&mut self, mut pending: Pending, result: WriteResult) {
        let earlier = pending.conflicts.all;
        if result == WriteResult::Conflict {
            pending.conflicts.all += 1;
            self.status.count_conflict();
        }
        let next = match &mut self.fencing {
            Some(Fencing { fence, .. }) => fence.answered(pending.id, pending.order(), result, earlier),
            None => Next::Answer(result.into_outcome()),
        };
        match next {
            Next::Answer(outcome) => {
                let behind = self.answer(pending, outcome);
                self.admit(behind);
            }
            Next::Read => self.queue.push_unread(pending),
        }
    }

    fn take_read(&mut self, mut pending: Pending, result: ReadResult) {
        let Some(Fencing { fence, log, .. }) = &mut self.fencing else { return };
        let outcome = match result {
            Ok(stored) => {
                let (verdict, writer) = fence.read(pending.id, pending.order(), stored, pending.write.min_interval);
                log.log(&pending.write.target, verdict, writer);
                if writer == Some(Writer::Foreign) {
                    pending.conflicts.foreign += 1;
                    self.status.count_foreign_write();
                }
                match verdict {
                    Verdict::Write(precondition) => {
                        pending.precondition = precondition;
                        return self.queue.push_waiting(pending);
                    }
                    Verdict::Older => Outcome::Older,
                    Verdict::NotOwner => Outcome::retry(RetryReason::NotOwner),
                    Verdict::TooEarly(wait) => Outcome::TooEarly { wait },
                }
            }
            Err(outcome) => outcome,
        };
        let behind = self.answer(pending, outcome);
        self.admit(behind);
    }

    /// Answers a write. Returns the next one of the same document.
    fn answer(&mut self, pending: Pending, outcome: Outcome) -> Option<Pending> {
        let Pending { write, id, conflicts, .. } = pending;
        self.status.count(&outcome);
        self.error_log.log(&write.target, &outcome, &self.status, Instant::now());
        write.answer_after(outcome, conflicts);
        self.queue.release(id)
    }

    fn give_up(mut self) -> BatcherEnd {
        self.requests.abort_all();
        BatcherEnd { unanswered: self.queue.unanswered() }
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

#[cfg(test)]
mod tests;
