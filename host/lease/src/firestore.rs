//! The lease in Firestore: a transaction is not needed, because one write can name the version that it replaces.

mod database;
mod listen;
pub(crate) mod values;

pub(crate) use database::{Database, all_of};
pub(crate) use values::{Fields, integer, optional_text, text};

use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use quotegate_sink::FirestoreSettings;

use crate::store::Found;
use crate::{Document, Expected, InstanceRole, LeaseStore, Record, StoreError, Version, WorkerState};

pub(crate) const COUNT: &str = "an integer that is not negative";
pub(crate) const SHARDS: &str = "a list of shards' numbers";

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

    pub(crate) fn at(database: Database, path: String) -> Self {
        Self { database, path }
    }
}

impl LeaseStore for FirestoreLeaseStore {
    fn read(&self, limit: Duration) -> BoxFuture<'_, Found> {
        Box::pin(async move {
            let document = self.database.get(&self.path, limit).await?;
            document.map(|document| decode(&document, &self.path)).transpose()
        })
    }

    fn write<'a>(
        &'a self,
        record: &'a Record,
        expected: Expected,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(self.database.put(&self.path, encode(record), expected, limit))
    }

    fn changes(&self) -> BoxStream<'static, Found> {
        let path = self.path.clone();
        self.database
            .document_changes(&self.path)
            .map(move |found| found?.map(|document| decode(&document, &path)).transpose())
            .boxed()
    }
}

fn encode(record: &Record) -> Fields {
    let ttl = i64::try_from(record.ttl.as_millis()).unwrap_or(i64::MAX);
    let count = |count: u64| integer(i64::try_from(count).unwrap_or(i64::MAX));
    let mut fields = Fields::from([
        ("owner".to_owned(), optional_text(record.owner.as_deref())),
        ("session".to_owned(), text(&record.session)),
        ("epoch".to_owned(), count(record.epoch)),
        ("renewals".to_owned(), count(record.renewals)),
        ("ttl_ms".to_owned(), integer(ttl)),
        ("address".to_owned(), optional_text(record.address.as_deref())),
        ("version".to_owned(), text(&record.version)),
        ("since".to_owned(), values::time(record.since)),
    ]);
    if let Some(worker) = &record.worker {
        fields.extend([
            ("role".to_owned(), text(worker.role.as_str())),
            ("shards".to_owned(), integer(worker.shards.into())),
            ("revision".to_owned(), count(worker.revision)),
            ("held".to_owned(), values::integers(&worker.held)),
            ("leaving".to_owned(), values::boolean(worker.is_leaving)),
        ]);
    }
    fields
}

pub(crate) fn decode(document: &proto::Document, path: &str) -> Result<Document, StoreError> {
    let fields = &document.fields;
    let count = |field| values::as_count(fields.get(field)).ok_or_else(|| malformed(path, field, COUNT));
    let word = |field| values::as_text(fields.get(field)).map(str::to_owned);
    let record = Record {
        owner: word("owner"),
        session: word("session").ok_or_else(|| malformed(path, "session", "a string"))?,
        epoch: count("epoch")?,
        renewals: count("renewals")?,
        ttl: Duration::from_millis(count("ttl_ms")?),
        address: word("address"),
        version: word("version").unwrap_or_default(),
        since: values::as_time(fields.get("since")).unwrap_or_default(),
        worker: decode_worker(fields, path)?,
    };
    Ok(Document { record, version: version_of(document, path)? })
}

/// `None` if it is not the lease of a worker.
fn decode_worker(fields: &Fields, path: &str) -> Result<Option<WorkerState>, StoreError> {
    let Some(role) = values::as_text(fields.get("role")) else { return Ok(None) };
    let count = |field| values::as_count(fields.get(field)).ok_or_else(|| malformed(path, field, COUNT));
    let role = InstanceRole::from_str(role).ok_or_else(|| malformed(path, "role", "all, reader or worker"))?;
    Ok(Some(WorkerState {
        role,
        shards: u16::try_from(count("shards")?).map_err(|_| malformed(path, "shards", "less than 65536"))?,
        revision: count("revision")?,
        held: values::as_integers(fields.get("held")).ok_or_else(|| malformed(path, "held", SHARDS))?,
        is_leaving: values::as_boolean(fields.get("leaving")).unwrap_or_default(),
    }))
}

pub(crate) fn malformed(path: &str, field: &'static str, expects: &'static str) -> StoreError {
    StoreError::Malformed { document: path.to_owned(), field, expects }
}

pub(crate) fn version_of(document: &proto::Document, path: &str) -> Result<Version, StoreError> {
    let time = document.update_time.ok_or_else(|| malformed(path, "update_time", "set by Firestore"))?;
    Ok(Version { seconds: time.seconds, nanos: time.nanos })
}

#[cfg(test)]
mod tests {
    use super::values::timestamp;
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
            worker: None,
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
