//! What a test of the sink needs to read as a story: a batcher at work, documents in, answers out.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)] // each test file uses its part of it

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quotegate_document::{Document, DocumentKey, Field, FieldPath, TenantId, Value};
use quotegate_sink::{
    Answer, Batcher, BatcherSettings, ConditionalWrite, DocumentReader, DocumentWrite, FenceSettings,
    FirestoreSettings, FirestoreSink, Outcome, Precondition, Sink, SinkSnapshot, SinkStatus, TenantDocument, WriteMode,
    WriteResult,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Generous: no test may depend on how fast the machine is.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The defaults of the host.
pub fn settings() -> BatcherSettings {
    BatcherSettings {
        batch_size: 100,
        max_in_flight: 4,
        flush_interval: Duration::from_millis(200),
        request_timeout: LIMIT,
        limit: None,
        ramp: false,
    }
}

/// A sink that writes to the server at `host`.
pub async fn firestore(host: String, project: &str, mode: WriteMode, request_timeout: Duration) -> FirestoreSink {
    let settings = FirestoreSettings {
        project_id: Some(project.to_owned()),
        database_id: "(default)".to_owned(),
        emulator_host: Some(host),
        credentials_file: None,
        request_timeout,
        mode,
    };
    FirestoreSink::connect(settings).await.unwrap()
}

pub fn document<const N: usize>(tenant: &str, id: &str, fields: [(&'static str, Value); N]) -> TenantDocument {
    let key = DocumentKey::new("live_quotes", id).unwrap();
    let fields = fields.into_iter().map(|(path, value)| Field { path: FieldPath::new(path).unwrap(), value }).collect();
    TenantDocument { tenant: TenantId::new(tenant).unwrap(), document: Document { key, fields } }
}

/// The results of writing `documents` in one request, whatever is stored.
pub async fn write(sink: &impl Sink, documents: &[TenantDocument]) -> Vec<WriteResult> {
    let writes: Vec<_> =
        documents.iter().map(|target| ConditionalWrite { target, precondition: Precondition::None }).collect();
    sink.write(&writes).await
}

/// The outcomes of the same.
pub async fn outcomes(sink: &impl Sink, documents: &[TenantDocument]) -> Vec<Outcome> {
    let outcome = |result| match result {
        WriteResult::Written(_) => Outcome::Written,
        WriteResult::Conflict => panic!("a conflict without a precondition"),
        WriteResult::Failed(outcome) => outcome,
    };
    write(sink, documents).await.into_iter().map(outcome).collect()
}

/// The time in the field `ts`, if there is one.
fn event_time(document: &Document) -> i64 {
    let time = document.fields.iter().find_map(|field| match field.value {
        Value::Timestamp(time) if field.path.as_str() == "ts" => Some(time),
        _ => None,
    });
    time.unwrap_or_default()
}

/// A running batcher.
pub struct Harness {
    writes: mpsc::Sender<DocumentWrite>,
    answers: UnboundedReceiver<Answer>,
    answer_to: UnboundedSender<Answer>,
    status: Arc<SinkStatus>,
    task: tokio::task::JoinHandle<quotegate_sink::BatcherEnd>,
    /// That of the tenant.
    pub min_interval: Duration,
    sent: Vec<TenantDocument>,
    answered: BTreeMap<u32, usize>,
}

impl Harness {
    /// Without a fence.
    pub fn open(sink: impl Sink + 'static, settings: BatcherSettings) -> Self {
        let status = Arc::new(SinkStatus::default());
        Self::start(Batcher::new(Arc::new(sink), settings, status.clone()), status)
    }

    pub fn fenced(sink: impl Sink + DocumentReader + 'static, settings: BatcherSettings, fence: FenceSettings) -> Self {
        let (sink, status) = (Arc::new(sink), Arc::new(SinkStatus::default()));
        Self::start(Batcher::new(sink.clone(), settings, status.clone()).fenced(sink, fence), status)
    }

    fn start(batcher: Batcher, status: Arc<SinkStatus>) -> Self {
        let (writes, received) = mpsc::channel(1000);
        let (answer_to, answers) = mpsc::unbounded_channel();
        let task = tokio::spawn(batcher.run(received, CancellationToken::new()));
        let (min_interval, sent, answered) = (Duration::ZERO, Vec::new(), BTreeMap::new());
        Self { writes, answers, answer_to, status, task, min_interval, sent, answered }
    }

    pub async fn send(&mut self, target: TenantDocument) {
        let ticket = u32::try_from(self.sent.len()).unwrap();
        self.sent.push(target.clone());
        let event_time = event_time(&target.document);
        let (min_interval, answer_to) = (self.min_interval, self.answer_to.clone());
        let write = DocumentWrite { target, event_time, min_interval, ticket, answer_to };
        self.writes.send(write).await.unwrap();
    }

    /// The next answer: the document's path and what became of it.
    pub async fn answer(&mut self) -> (String, Outcome) {
        let answer = timeout(LIMIT, self.answers.recv()).await.expect("an answer in time").unwrap();
        self.note(&answer)
    }

    fn note(&mut self, answer: &Answer) -> (String, Outcome) {
        let sent = &self.sent[answer.ticket as usize];
        // As text, because NaN is not equal to itself.
        let (came, went) = (format!("{:?}", answer.document), format!("{:?}", sent.document));
        assert_eq!(came, went, "the answer comes with the document that was sent");
        *self.answered.entry(answer.ticket).or_default() += 1;
        (sent.to_string(), answer.outcome.clone())
    }

    /// Sends `documents` and gives their outcomes, in the order of their paths.
    pub async fn round(&mut self, documents: &[TenantDocument]) -> BTreeMap<String, Outcome> {
        for document in documents {
            self.send(document.clone()).await;
        }
        let mut outcomes = BTreeMap::new();
        for _ in documents {
            let (path, outcome) = self.answer().await;
            assert_eq!(outcomes.insert(path.clone(), outcome), None, "{path} has one outcome");
        }
        outcomes
    }

    /// As a tenant does it: whatever may be tried again goes again, until nothing is left. The outcomes of each round.
    pub async fn until_settled(&mut self, documents: &[TenantDocument]) -> Vec<BTreeMap<String, Outcome>> {
        let mut rounds = Vec::new();
        let mut left = documents.to_vec();
        while !left.is_empty() {
            assert!(rounds.len() < 20, "it never ends: {rounds:#?}");
            let outcomes = self.round(&left).await;
            left.retain(|document| matches!(outcomes[&document.to_string()], Outcome::Retry { .. }));
            rounds.push(outcomes);
        }
        rounds
    }

    pub fn status(&self) -> SinkSnapshot {
        self.status.snapshot()
    }

    /// Closes the way in, and checks that every document that was ever sent got exactly one answer.
    pub async fn close(mut self) -> SinkSnapshot {
        let (writes, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.writes, writes));
        let (answer_to, _) = mpsc::unbounded_channel();
        drop(std::mem::replace(&mut self.answer_to, answer_to));
        while let Some(answer) = timeout(LIMIT, self.answers.recv()).await.expect("the batcher ends") {
            self.note(&answer);
        }
        let once: Vec<_> = (0..self.sent.len()).map(|ticket| (u32::try_from(ticket).unwrap(), 1)).collect();
        assert_eq!(self.answered.into_iter().collect::<Vec<_>>(), once);
        assert_eq!(self.task.await.unwrap().unanswered, 0);
        self.status.snapshot()
    }
}
