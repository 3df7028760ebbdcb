use super::*;
use crate::{Answer, ConditionalWrite, TenantDocument, WriteFuture};
use proptest::prelude::*;
use quotegate_document::{Document, DocumentKey, TenantId};
use std::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Remembers every batch and answers as its script says.
#[derive(Default)]
struct ScriptedSink {
    batches: Mutex<Vec<(Instant, Vec<String>)>>,
    /// Paths in requests without an answer.
    open: Mutex<Vec<String>>,
    script: Option<Script>,
}

/// By the number of the batch: how long it takes and what becomes of each document.
type Script = Box<dyn Fn(usize) -> Act + Send + Sync>;

enum Act {
    Answer(Duration, Outcome),
    Panic,
    Hang,
}

impl Sink for ScriptedSink {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        let paths: Vec<_> = writes.iter().map(|write| write.target.to_string()).collect();
        let number = {
            let mut batches = self.batches.lock().unwrap();
            batches.push((Instant::now(), paths.clone()));
            batches.len() - 1
        };
        Box::pin(async move {
            {
                let mut open = self.open.lock().unwrap();
                for path in &paths {
                    assert!(!open.contains(path), "{path} is in flight twice");
                    open.push(path.clone());
                }
            }
            let act = self.script.as_ref().map_or(Act::Answer(Duration::ZERO, Outcome::Written), |act| act(number));
            let outcome = match act {
                Act::Answer(delay, outcome) => {
                    tokio::time::sleep(delay).await;
                    outcome
                }
                Act::Panic => {
                    self.close(&paths);
                    panic!("a sink with a fault")
                }
                Act::Hang => {
                    // The batcher gives up on it; nothing else will.
                    self.close(&paths);
                    std::future::pending().await
                }
            };
            self.close(&paths);
            let result = match outcome {
                Outcome::Written => WriteResult::Written(None),
                outcome => WriteResult::Failed(outcome),
            };
            vec![result; writes.len()]
        })
    }
}

impl ScriptedSink {
    fn close(&self, paths: &[String]) {
        self.open.lock().unwrap().retain(|open| !paths.contains(open));
    }

    fn batches(&self) -> Vec<Vec<String>> {
        self.batches.lock().unwrap().iter().map(|(_, paths)| paths.clone()).collect()
    }
}

fn settings() -> BatcherSettings {
    BatcherSettings {
        batch_size: 3,
        max_in_flight: 2,
        flush_interval: Duration::from_millis(200),
        request_timeout: Duration::from_secs(10),
        limit: None,
        ramp: false,
    }
}

/// A running batcher, the way in and the answers.
struct Harness {
    sink: Arc<ScriptedSink>,
    writes: mpsc::Sender<DocumentWrite>,
    answers: UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    deadline: CancellationToken,
    task: tokio::task::JoinHandle<BatcherEnd>,
    sent: u32,
}

impl Harness {
    fn open(settings: BatcherSettings, script: Option<Script>) -> Self {
        let sink = Arc::new(ScriptedSink { script, ..ScriptedSink::default() });
        let (writes, received) = mpsc::channel(100);
        let (answer_to, answers) = unbounded_channel();
        let deadline = CancellationToken::new();
        let batcher = Batcher::new(sink.clone(), settings, Arc::new(SinkStatus::default()));
        let task = tokio::spawn(batcher.run(received, deadline.clone()));
        Self { sink, writes, answers, answer_to, deadline, task, sent: 0 }
    }

    async fn send(&mut self, id: &str) {
        let document = Document { key: DocumentKey::new("live_quotes", id).unwrap(), fields: Vec::new() };
        let target = TenantDocument { tenant: TenantId::new("acme").unwrap(), document };
        let write = DocumentWrite {
            target,
            event_time: 0,
            min_interval: Duration::ZERO,
            ticket: self.sent,
            answer_to: self.answer_to.clone(),
        };
        self.sent += 1;
        self.writes.send(write).await.unwrap();
    }

    async fn finish(self) -> (Vec<Answer>, BatcherEnd, Arc<ScriptedSink>) {
        let Self { sink, writes, mut answers, answer_to, task, .. } = self;
        drop((writes, answer_to));
        let end = task.await.unwrap();
        let mut all = Vec::new();
        while let Some(answer) = answers.recv().await {
            all.push(answer);
        }
        (all, end, sink)
    }
}

fn slow(_: usize) -> Act {
    Act::Answer(Duration::from_secs(1), Outcome::Written)
}

#[tokio::test(start_paused = true)]
async fn a_document_leaves_at_once_when_nothing_is_in_flight() {
    let mut harness = Harness::open(settings(), None);
    let began = Instant::now();
    harness.send("A").await;
    harness.answers.recv().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn documents_share_a_request_while_another_is_in_flight() {
    let mut harness = Harness::open(settings(), Some(Box::new(slow)));
    harness.send("A").await;
    tokio::task::yield_now().await;
    let began = Instant::now();
    for id in ["B", "C"] {
        harness.send(id).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let batches = harness.sink.batches.lock().unwrap().clone();
    assert_eq!(batches[1].1.len(), 2);
    let waited = batches[1].0 - began;
    assert!(waited >= Duration::from_millis(200) && waited <= Duration::from_millis(202), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait_and_the_number_in_flight_is_bounded() {
    let mut harness = Harness::open(settings(), Some(Box::new(slow)));
    for id in 0..20 {
        harness.send(&format!("D{id}")).await;
    }
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(harness.sink.batches().len(), 2);
    let (answers, end, sink) = harness.finish().await;
    assert_eq!((answers.len(), end.unanswered), (20, 0));
    assert!(sink.batches().iter().all(|batch| batch.len() <= 3));
}

#[tokio::test(start_paused = true)]
async fn the_same_document_is_never_in_flight_twice_and_keeps_its_order() {
    let mut harness = Harness::open(settings(), Some(Box::new(slow)));
    for _ in 0..3 {
        harness.send("A").await;
    }
    let (answers, _, sink) = harness.finish().await;
    assert_eq!(answers.iter().map(|answer| answer.ticket).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(sink.batches().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_or_hangs_still_gives_an_answer() {
    let script: Script = Box::new(|number| if number == 0 { Act::Panic } else { Act::Hang });
    let mut harness = Harness::open(settings(), Some(script));
    harness.send("A").await;
    let answer = harness.answers.recv().await.unwrap();
    assert_eq!(answer.outcome, Outcome::retry(RetryReason::Internal));
    harness.send("B").await;
    let began = Instant::now();
    let answer = harness.answers.recv().await.unwrap();
    assert_eq!(answer.outcome, Outcome::retry(RetryReason::DeadlineExceeded));
    assert!(began.elapsed() >= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_it_ends_and_counts_what_has_no_answer() {
    let mut harness = Harness::open(settings(), Some(Box::new(|_| Act::Hang)));
    for id in ["A", "B", "C", "D"] {
        harness.send(id).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    harness.deadline.cancel();
    let (answers, end, _) = harness.finish().await;
    assert_eq!((answers.len(), end.unanswered), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn no_window_of_requests_holds_more_documents_than_allowed() {
    let limit = Some(Rate::new(10.0, 4).unwrap());
    let mut harness = Harness::open(BatcherSettings { limit, ..settings() }, None);
    for id in 0..30 {
        harness.send(&format!("D{id}")).await;
    }
    let (answers, _, sink) = harness.finish().await;
    assert_eq!(answers.len(), 30);
    let batches = sink.batches.lock().unwrap();
    for (first, from) in batches.iter().enumerate() {
        let mut sum = 0;
        for to in &batches[first..] {
            sum += to.1.len();
            let allowed = 4.0 + 10.0 * (to.0 - from.0).as_secs_f64();
            assert!(sum as f64 <= allowed + 1e-6, "{sum} documents where {allowed} are allowed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the sink does, every document gets exactly one answer, and none is in flight twice (the sink checks).
    #[test]
    fn every_document_gets_exactly_one_answer(
        sends in prop::collection::vec((0_u8..12, 0_u64..100), 1..120),
        acts in prop::collection::vec((0_u8..10, 0_u64..3000), 1..20),
        batch_size in 1_usize..8,
        max_in_flight in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let script: Script = Box::new(move |number| match acts[number % acts.len()] {
                (0, _) => Act::Panic,
                (1, _) => Act::Hang,
                (2..=4, delay) => Act::Answer(Duration::from_millis(delay), Outcome::retry(RetryReason::Aborted)),
                (_, delay) => Act::Answer(Duration::from_millis(delay), Outcome::Written),
            });
            let mut harness = Harness::open(BatcherSettings { batch_size, max_in_flight, ..settings() }, Some(script));
            for (id, pause) in &sends {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                harness.send(&format!("D{id}")).await;
            }
            let (answers, end, sink) = harness.finish().await;
            let mut tickets: Vec<_> = answers.iter().map(|answer| answer.ticket as usize).collect();
            tickets.sort_unstable();
            assert_eq!(tickets, (0..sends.len()).collect::<Vec<_>>());
            assert_eq!(end.unanswered, 0);
            assert!(sink.batches().iter().all(|batch| batch.len() <= batch_size));
        });
    }
}

/// What the soak met on a busy machine: the gate was shut when the batcher asked whether anything may leave, and open,
/// a moment later, when it asked when to look again; so it never looked again.
#[tokio::test(start_paused = true)]
async fn what_waits_is_wakes_again_whenever_the_gate_opens() {
    let limit = Some(Rate::new(1000.0, 1).unwrap());
    let harness = Harness::open(settings(), None);
    let began = Instant::now();
    for nanos in (0..3_000_000).step_by(997) {
        let mut batcher = Batcher::new(
            harness.sink.clone(),
            BatcherSettings { limit, ..settings() },
            Arc::new(SinkStatus::default()),
        );
        let now = began + Duration::from_nanos(nanos);
        batcher.gate.pass(1, began.into_std());
        for id in ["A", "B", "C"] {
            let document = Document { key: DocumentKey::new("live_quotes", id).unwrap(), fields: Vec::new() };
            let target = TenantDocument { tenant: TenantId::new("acme").unwrap(), document };
            let write = DocumentWrite {
                target,
                event_time: 0,
                min_interval: Duration::ZERO,
                ticket: 0,
                answer_to: harness.answer_to.clone(),
            };
            let pending = batcher.queue.take_in(write, began);
            batcher.admit(pending);
        }
        batcher.send_ready(now);
        let wakes_again = batcher.next_wake(now).is_some_and(|at| at > now);
        assert!(wakes_again || !batcher.requests.is_empty(), "after {nanos} ns nobody looks again");
    }
}
