//! The lease in Firestore: a transaction is not needed, because one write can name the version that it replaces.

mod database;
pub(crate) mod values;

pub(crate) use database::{Database, answer_within};
pub(crate) use values::{Fields, integer, optional_text, text, timestamp};

use std::time::Duration;

use firestore::gcloud_sdk::RequestTimeouts;
use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use proto::listen_response::ResponseType;
use proto::precondition::ConditionType;
use proto::target_change::TargetChangeType;
use quotegate_sink::FirestoreSettings;
use tonic::{Code, Status};

use crate::store::Found;
use crate::{Document, Expected, LeaseStore, Record, StoreError, Version};

/// The lease's document in a Firestore database.
pub struct FirestoreLeaseStore {
    database: Database,
    path: String,
}

impl FirestoreLeaseStore {
    /// The document `ops/ingest_lease_{feed}`. Nothing is sent yet. The lease has connections of its own, on which its
    /// requests do not wait behind batches of documents.
    pub fn new(settings: &FirestoreSettings, feed: &str) -> Self {
        Self { database: Database::new(settings), path: format!("ops/ingest_lease_{feed}") }
    }

    async fn read(&self, limit: Duration) -> Found {
        let connection = self.database.connection().await?;
        let name = format!("{}/{}", connection.documents_path(), self.path);
        let request = proto::GetDocumentRequest { name, ..Default::default() };
        let mut client = connection.client.get();
        match answer_within(limit, client.get_document(request)).await {
            Ok(document) => decode(&document, &self.path).map(Some),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.database.failed(&status).await),
        }
    }

    async fn write(&self, record: &Record, expected: Expected, limit: Duration) -> Result<Version, StoreError> {
        let connection = self.database.connection().await?;
        let name = format!("{}/{}", connection.documents_path(), self.path);
        let document = proto::Document { name, fields: encode(record), ..Default::default() };
        let condition = match expected {
            Expected::Absent => ConditionType::Exists(false),
            Expected::Version(version) => ConditionType::UpdateTime(timestamp(version)),
        };
        let write = proto::Write {
            operation: Some(proto::write::Operation::Update(document)),
            current_document: Some(proto::Precondition { condition_type: Some(condition) }),
            ..Default::default()
        };
        let database = connection.database.clone();
        let request = proto::CommitRequest { database, writes: vec![write], ..Default::default() };
        let mut client = connection.client.get();
        match answer_within(limit, client.commit(request)).await {
            Ok(answer) => {
                let result = answer.write_results.first().and_then(|result| result.update_time);
                let time = result.or(answer.commit_time);
                time.map(version).ok_or_else(|| StoreError::Unanswered("the answer has no update time".to_owned()))
            }
            Err(status) if is_conflict(&status) => Err(StoreError::Conflict),
            Err(status) => Err(self.database.failed(&status).await),
        }
    }
}

impl LeaseStore for FirestoreLeaseStore {
    fn read(&self, limit: Duration) -> BoxFuture<'_, Found> {
        Box::pin(self.read(limit))
    }

    fn write<'a>(
        &'a self,
        record: &'a Record,
        expected: Expected,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(self.write(record, expected, limit))
    }

    fn changes(&self) -> BoxStream<'static, Found> {
        let opened = open(self.database.clone(), self.path.clone());
        let changes = stream::once(opened).flat_map(|opened| match opened {
            Ok(changes) => changes,
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        });
        changes.boxed()
    }
}

/// Opens Firestore's own stream of changes. Not the listener of the firestore crate, which wants a place to store its
/// position, and reconnects by its own rules: here the whole document is one small message, and the protocol notices a
/// stream that has fallen silent.
async fn open(database: Database, path: String) -> Result<BoxStream<'static, Found>, StoreError> {
    const TARGET: i32 = 1;
    let connection = database.connection().await?;
    let name = format!("{}/{path}", connection.documents_path());
    let target = proto::Target {
        target_id: TARGET,
        target_type: Some(proto::target::TargetType::Documents(proto::target::DocumentsTarget {
            documents: vec![name],
        })),
        ..Default::default()
    };
    let request = proto::ListenRequest {
        database: connection.database.clone(),
        target_change: Some(proto::listen_request::TargetChange::AddTarget(target)),
        ..Default::default()
    };
    // The stream ends when its requests do.
    let requests = stream::once(std::future::ready(request)).chain(stream::pending());
    let mut request = tonic::Request::new(requests);
    request.extensions_mut().insert(RequestTimeouts::new());
    let mut client = connection.client.get();
    let answers = client.listen(request).await;
    let answers = match answers {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Err(database.failed(&status).await),
    };
    Ok(answers.filter_map(move |answer| std::future::ready(change(answer, &path))).boxed())
}

/// What an answer says about the document, if anything.
fn change(answer: Result<proto::ListenResponse, Status>, path: &str) -> Option<Found> {
    match answer {
        Err(status) => Some(Err(unanswered(&status))),
        Ok(answer) => match answer.response_type? {
            ResponseType::DocumentChange(change) => Some(decode(&change.document?, path).map(Some)),
            ResponseType::DocumentDelete(_) | ResponseType::DocumentRemove(_) => Some(Ok(None)),
            ResponseType::TargetChange(change) if change.target_change_type() == TargetChangeType::Remove => {
                let cause = change.cause.map_or_else(|| "no reason".to_owned(), |cause| cause.message);
                Some(Err(StoreError::Unanswered(format!("listening was ended: {cause}"))))
            }
            ResponseType::TargetChange(_) | ResponseType::Filter(_) => None,
        },
    }
}

/// The document is another one. ABORTED is not a conflict: it can also mean that two requests were in each other's way.
fn is_conflict(status: &Status) -> bool {
    matches!(status.code(), Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound)
}

pub(crate) fn unanswered(status: &Status) -> StoreError {
    StoreError::Unanswered(format!("{:?}: {}", status.code(), status.message()))
}

fn version(time: firestore::gcloud_sdk::prost_types::Timestamp) -> Version {
    Version { seconds: time.seconds, nanos: time.nanos }
}

fn encode(record: &Record) -> Fields {
    let ttl = i64::try_from(record.ttl.as_millis()).unwrap_or(i64::MAX);
    let count = |count: u64| integer(i64::try_from(count).unwrap_or(i64::MAX));
    Fields::from([
        ("owner".to_owned(), optional_text(record.owner.as_deref())),
        ("session".to_owned(), text(&record.session)),
        ("epoch".to_owned(), count(record.epoch)),
        ("renewals".to_owned(), count(record.renewals)),
        ("ttl_ms".to_owned(), integer(ttl)),
        ("address".to_owned(), optional_text(record.address.as_deref())),
        ("version".to_owned(), text(&record.version)),
        ("since".to_owned(), values::time(record.since)),
    ])
}

fn decode(document: &proto::Document, path: &str) -> Result<Document, StoreError> {
    let malformed = |field, expects| StoreError::Malformed { document: path.to_owned(), field, expects };
    let fields = &document.fields;
    let count = |field| {
        let count = values::as_integer(fields.get(field)).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| malformed(field, "an integer that is not negative"))
    };
    let word = |field| values::as_text(fields.get(field)).map(str::to_owned);
    let record = Record {
        owner: word("owner"),
        session: word("session").ok_or_else(|| malformed("session", "a string"))?,
        epoch: count("epoch")?,
        renewals: count("renewals")?,
        ttl: Duration::from_millis(count("ttl_ms")?),
        address: word("address"),
        version: word("version").unwrap_or_default(),
        since: values::as_time(fields.get("since")).unwrap_or_default(),
    };
    let time = document.update_time.ok_or_else(|| malformed("update_time", "set by Firestore"))?;
    Ok(Document { record, version: version(time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written_and_a_wrong_field_is_named() {
        let record = Record {
            owner: Some("host-a".into()),
            session: "1f".into(),
            epoch: 7,
            renewals: 3,
            ttl: Duration::from_secs(3),
            address: None,
            version: "0.1.0".into(),
            since: 1_700_000_000_123_456_000,
        };
        let time = timestamp(Version { seconds: 5, nanos: 6 });
        let mut stored =
            proto::Document { fields: encode(&record), update_time: Some(time), ..proto::Document::default() };
        let read = decode(&stored, "ops/ingest_lease_iex").unwrap();
        assert_eq!((read.record, read.version), (record, Version { seconds: 5, nanos: 6 }));

        stored.fields.insert("epoch".into(), text("seven"));
        let error = decode(&stored, "ops/ingest_lease_iex").unwrap_err().to_string();
        assert!(error.starts_with("ops/ingest_lease_iex: epoch must be an integer"), "{error}");
    }
}
