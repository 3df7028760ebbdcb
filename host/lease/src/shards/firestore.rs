//! The documents of shards in Firestore.

use std::sync::Arc;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::StreamExt;
use proto::structured_query::FieldReference;
use proto::structured_query::field_filter::Operator;
use proto::structured_query::filter::FilterType;
use quotegate_sink::FirestoreSettings;

use super::store::{Changes, Requested};
use super::{Assignment, Part, ShardStore, StoredAssignment, Workers};
use crate::firestore::{
    COUNT, Database, Fields, SHARDS, all_of, decode, integer, malformed, optional_text, text, values, version_of,
};
use crate::{Expected, FirestoreLeaseStore, LeaseStore, StoreError, Version};

const COLLECTION: &str = "leases";

/// The documents of shards in a Firestore database.
#[derive(Clone)]
pub struct FirestoreShardStore {
    database: Database,
    assignment: String,
    workers: String,
}

impl FirestoreShardStore {
    /// The document `ops/ingest_shards_{feed}`, and the workers' leases below `ops/ingest_workers_{feed}`. Nothing is sent yet.
    pub fn new(settings: &FirestoreSettings, feed: &str) -> Self {
        Self {
            database: Database::new(settings),
            assignment: format!("ops/ingest_shards_{feed}"),
            workers: format!("ops/ingest_workers_{feed}"),
        }
    }

    fn worker_path(&self, session: &str) -> String {
        format!("{}/{COLLECTION}/{session}", self.workers)
    }
}

impl ShardStore for FirestoreShardStore {
    fn worker(&self, session: &str) -> Arc<dyn LeaseStore> {
        Arc::new(FirestoreLeaseStore::at(self.database.clone(), self.worker_path(session)))
    }

    fn workers(&self, limit: Duration) -> Requested<Workers> {
        let store = self.clone();
        Box::pin(async move {
            let documents = store.database.list(&store.workers, workers(), limit).await?;
            documents.iter().map(|document| store.decode_worker(document)).collect()
        })
    }

    fn worker_changes(&self) -> Changes<Workers> {
        let store = self.clone();
        let changes = self.database.query_changes(&self.workers, workers());
        changes
            .map(move |documents| documents?.values().map(|document| store.decode_worker(document)).collect())
            .boxed()
    }

    fn assignment(&self, limit: Duration) -> Requested<Option<StoredAssignment>> {
        let store = self.clone();
        Box::pin(async move {
            let document = store.database.get(&store.assignment, limit).await?;
            document.map(|document| decode_assignment(&document, &store.assignment)).transpose()
        })
    }

    fn assignment_changes(&self) -> Changes<Option<StoredAssignment>> {
        let path = self.assignment.clone();
        let changes = self.database.document_changes(&self.assignment);
        changes.map(move |found| found?.map(|document| decode_assignment(&document, &path)).transpose()).boxed()
    }

    fn write_assignment(&self, assignment: &Assignment, expected: Expected, limit: Duration) -> Requested<Version> {
        let (database, path, fields) = (self.database.clone(), self.assignment.clone(), encode(assignment));
        Box::pin(async move { database.put(&path, fields, expected, limit).await })
    }
}

impl FirestoreShardStore {
    fn decode_worker(&self, document: &proto::Document) -> Result<(String, crate::Document), StoreError> {
        let session = document.name.rsplit('/').next().unwrap_or_default();
        Ok((session.to_owned(), decode(document, &self.worker_path(session))?))
    }
}

/// Those with a number of shards: leases that are forgotten have none.
fn workers() -> proto::StructuredQuery {
    let filter = proto::structured_query::FieldFilter {
        field: Some(FieldReference { field_path: "shards".to_owned() }),
        op: Operator::GreaterThan as i32,
        value: Some(integer(0)),
    };
    let filter = proto::structured_query::Filter { filter_type: Some(FilterType::FieldFilter(filter)) };
    proto::StructuredQuery { r#where: Some(filter), ..all_of(COLLECTION) }
}

fn encode(assignment: &Assignment) -> Fields {
    let count = |count: u64| integer(i64::try_from(count).unwrap_or(i64::MAX));
    let part = |part: &Part| {
        values::map(Fields::from([
            ("instance".to_owned(), text(&part.instance)),
            ("address".to_owned(), optional_text(part.address.as_deref())),
            ("owned".to_owned(), values::integers(&part.owned)),
            ("gives_up".to_owned(), values::integers(&part.gives_up)),
            ("since".to_owned(), count(part.since)),
        ]))
    };
    let parts = assignment.parts.iter().map(|(session, of)| (session.clone(), part(of))).collect();
    Fields::from([
        ("revision".to_owned(), count(assignment.revision)),
        ("shards".to_owned(), integer(assignment.shards.into())),
        ("coordinator".to_owned(), text(&assignment.coordinator)),
        ("workers".to_owned(), values::map(parts)),
    ])
}

fn decode_assignment(document: &proto::Document, path: &str) -> Result<StoredAssignment, StoreError> {
    let fields = &document.fields;
    let count =
        |fields: &Fields, field| values::as_count(fields.get(field)).ok_or_else(|| malformed(path, field, COUNT));
    let shards =
        |fields: &Fields, field| values::as_integers(fields.get(field)).ok_or_else(|| malformed(path, field, SHARDS));
    let part = |(session, part)| {
        let fields = values::as_map(Some(part)).ok_or_else(|| malformed(path, "workers", "a map of maps"))?;
        let word = |field| values::as_text(fields.get(field)).map(str::to_owned);
        let part = Part {
            instance: word("instance").unwrap_or_default(),
            address: word("address"),
            owned: shards(fields, "owned")?,
            gives_up: shards(fields, "gives_up")?,
            since: count(fields, "since")?,
        };
        Ok((String::clone(session), part))
    };
    let parts = values::as_map(fields.get("workers")).ok_or_else(|| malformed(path, "workers", "a map of maps"))?;
    let assignment = Assignment {
        revision: count(fields, "revision")?,
        shards: u16::try_from(count(fields, "shards")?).map_err(|_| malformed(path, "shards", "less than 65536"))?,
        coordinator: values::as_text(fields.get("coordinator")).unwrap_or_default().to_owned(),
        parts: parts.iter().map(part).collect::<Result<_, _>>()?,
    };
    Ok(StoredAssignment { assignment, version: version_of(document, path)? })
}
