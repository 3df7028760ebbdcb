//! Reads what is stored before the first write of a document, and after a conflict.

use std::collections::HashMap;
use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::prost_types::Timestamp;
use proto::batch_get_documents_response::Result as Found;
use proto::value::ValueType;
use proto::{BatchGetDocumentsRequest, DocumentMask};
use quotegate_document::FieldPath;
use tokio::time::{Instant, timeout_at};

use super::{FirestoreSink, encode};
use crate::{
    DocumentRead, DocumentReader, Outcome, ReadFuture, ReadResult, RefusedCode, RetryReason, StoredDocument, Version,
};

impl FirestoreSink {
    /// Usually one request. As with writes, a request that Firestore cannot parse is split until only the bad document
    /// is left without an answer.
    async fn read_batch(&self, reads: &[DocumentRead<'_>]) -> Vec<ReadResult> {
        let deadline = Instant::now() + self.settings.request_timeout;
        let mut results = Vec::with_capacity(reads.len());
        let mut left = vec![reads];
        while let Some(part) = left.pop() {
            let late = Err(Outcome::retry(RetryReason::DeadlineExceeded));
            match timeout_at(deadline, self.read_request(part)).await.unwrap_or(late) {
                Ok(stored) => results.extend(stored.into_iter().map(Ok)),
                Err(Outcome::Refused { code: RefusedCode::InvalidArgument, .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    left.extend([second, first]);
                }
                Err(outcome) => results.extend(std::iter::repeat_n(Err(outcome), part.len())),
            }
        }
        results
    }

    async fn read_request(&self, reads: &[DocumentRead<'_>]) -> Result<Vec<StoredDocument>, Outcome> {
        let connection = self.connection().await.map_err(|error| Outcome::unreachable(&error.cause()))?;
        let parent = connection.documents_path();
        let names: Vec<String> = reads.iter().map(|read| format!("{parent}/{}", read.target)).collect();
        let request = BatchGetDocumentsRequest {
            database: connection.database.clone(),
            documents: names.clone(),
            mask: Some(mask(reads)),
            ..BatchGetDocumentsRequest::default()
        };
        let failed = |status| self.failed(&status);
        let mut answers = connection.client.get().batch_get_documents(request).await.map_err(failed)?.into_inner();
        // The answers come in any order.
        let mut positions: HashMap<&str, usize> =
            names.iter().enumerate().map(|(position, name)| (name.as_str(), position)).collect();
        let mut stored = vec![StoredDocument { version: None, order: None, age: None }; reads.len()];
        while let Some(answer) = answers.message().await.map_err(failed)? {
            match answer.result {
                Some(Found::Found(document)) => {
                    let Some(position) = positions.remove(document.name.as_str()) else { continue };
                    let version = document.update_time.and_then(encode::version);
                    let Some(version) = version else { return Err(Outcome::retry(RetryReason::Internal)) };
                    let order = reads[position].order_field.and_then(|path| time_at(path, &document.fields));
                    let age = answer.read_time.and_then(encode::version).map(|read| age(version, read));
                    stored[position] = StoredDocument { version: Some(version), order, age };
                }
                Some(Found::Missing(name)) => {
                    positions.remove(name.as_str());
                }
                None => {}
            }
        }
        if positions.is_empty() { Ok(stored) } else { Err(Outcome::retry(RetryReason::Internal)) }
    }
}

impl DocumentReader for FirestoreSink {
    fn read<'a>(&'a self, reads: &'a [DocumentRead<'a>]) -> ReadFuture<'a> {
        Box::pin(self.read_batch(reads))
    }
}

/// The order fields of all documents. Without any, the name of a field that may be there, because no mask at all would
/// read whole documents.
fn mask(reads: &[DocumentRead<'_>]) -> DocumentMask {
    let mut field_paths: Vec<String> =
        reads.iter().filter_map(|read| read.order_field).map(|path| path.as_str().to_owned()).collect();
    field_paths.sort_unstable();
    field_paths.dedup();
    if field_paths.is_empty() {
        field_paths.push("ts".to_owned());
    }
    DocumentMask { field_paths }
}

/// The age of a version when it was read.
fn age(Version(version): Version, Version(read): Version) -> Duration {
    Duration::from_nanos(u64::try_from(read - version).unwrap_or(0))
}

/// The time in a field, in microseconds.
fn time_at(path: &FieldPath, fields: &HashMap<String, proto::Value>) -> Option<i64> {
    let mut fields = fields;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        match fields.get(name)?.value_type.as_ref()? {
            ValueType::TimestampValue(time) if names.peek().is_none() => return micros(*time),
            ValueType::MapValue(map) => fields = &map.fields,
            _ => return None,
        }
    }
    None
}

fn micros(time: Timestamp) -> Option<i64> {
    time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::MapValue;

    #[test]
    fn a_time_is_read_in_microseconds_at_any_depth() {
        let value = |value| proto::Value { value_type: Some(value) };
        let time = value(ValueType::TimestampValue(Timestamp { seconds: 2, nanos: 345_678_999 }));
        let inner = MapValue { fields: HashMap::from([("time".to_owned(), time.clone())]) };
        let fields = HashMap::from([
            ("ts".to_owned(), time),
            ("a".to_owned(), value(ValueType::MapValue(inner))),
            ("text".to_owned(), value(ValueType::StringValue("2".to_owned()))),
        ]);
        let at = |path: &'static str| time_at(&FieldPath::literal(path), &fields);
        assert_eq!((at("ts"), at("a.time")), (Some(2_345_678), Some(2_345_678)));
        for path in ["a", "text", "none", "ts.time"] {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
