use std::time::Duration;

use futures_util::future::BoxFuture;
use quotegate_document::{Document, FieldPath, UnixNanos, Value};

use crate::{Outcome, TenantDocument};

/// A version of a stored document: its `updateTime`, which every change of the document moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub UnixNanos);

/// What must be true of the stored document for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: the write is not fenced.
    None,
    /// It does not exist.
    Absent,
    /// It has this version.
    Version(Version),
}

/// A stored document, as far as the fence needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredDocument {
    /// `None` if it does not exist.
    pub version: Option<Version>,
    /// The time in its order field, in microseconds, Firestore's precision. `None` if it has none.
    pub order: Option<i64>,
    /// How long ago it was changed, by the database's clock alone. `None` if it does not exist.
    pub age: Option<Duration>,
}

/// A document to read.
#[derive(Debug, Clone, Copy)]
pub struct DocumentRead<'a> {
    /// What would be written there.
    pub target: &'a TenantDocument,
    /// The field with the time that decides which of two versions is newer.
    pub order_field: Option<&'a FieldPath>,
}

/// A stored document, or the outcome of the write that needed it.
pub type ReadResult = Result<StoredDocument, Outcome>;

/// The results of one batch, in the order of its documents.
pub type ReadFuture<'a> = BoxFuture<'a, Vec<ReadResult>>;

/// Reads the versions of stored documents.
pub trait DocumentReader: Send + Sync {
    /// Returns one result for each document, in order.
    fn read<'a>(&'a self, reads: &'a [DocumentRead<'a>]) -> ReadFuture<'a>;
}

/// The order fields of the host's own documents, and of maps that follow them.
static ORDER_FIELDS: [FieldPath; 2] = [FieldPath::literal("ts"), FieldPath::literal("last_update_ts")];

/// The field by which a document of this event time can be compared with a stored version: `ts`, `last_update_ts`, or the
/// field that the host adds. The first that holds exactly that time.
pub fn order_field<'a>(
    document: &'a Document,
    event_time: UnixNanos,
    added: Option<&FieldPath>,
) -> Option<&'a FieldPath> {
    let holds_time = |path: &FieldPath| {
        let field = document.fields.iter().find(|field| field.path == *path)?;
        (field.value == Value::Timestamp(event_time)).then_some(&field.path)
    };
    ORDER_FIELDS.iter().chain(added).find_map(holds_time)
}

/// Firestore's precision. Times are compared as they are stored.
pub(crate) fn micros(time: UnixNanos) -> i64 {
    time.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_document::{DocumentKey, Field};

    #[test]
    fn only_a_field_with_exactly_the_event_time_orders_a_document() {
        let added = FieldPath::literal("_event_time");
        let document = |fields: &[(&'static str, Value)]| {
            let field =
                |(path, value): &(&'static str, Value)| Field { path: FieldPath::literal(path), value: value.clone() };
            Document { key: DocumentKey::new("mids", "A").unwrap(), fields: fields.iter().map(field).collect() }
        };
        let field = |fields: &[(&'static str, Value)]| {
            order_field(&document(fields), 7, Some(&added)).map(|path| path.as_str().to_owned())
        };
        assert_eq!(field(&[("ts", Value::Timestamp(7)), ("_event_time", Value::Timestamp(7))]).as_deref(), Some("ts"));
        assert_eq!(
            field(&[("ts", Value::Timestamp(6)), ("_event_time", Value::Timestamp(7))]).as_deref(),
            Some("_event_time")
        );
        assert_eq!(field(&[("last_update_ts", Value::Timestamp(7))]).as_deref(), Some("last_update_ts"));
        assert_eq!(field(&[("ts", Value::Integer(7)), ("time", Value::Timestamp(7))]), None);
    }
}
