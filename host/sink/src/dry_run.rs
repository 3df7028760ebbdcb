use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use parking_lot::Mutex;
use quotegate_document::{Document, UnixNanos, Value};
use serde_json::{Map, json};
use tracing::info;

use crate::{ConditionalWrite, Sink, TenantDocument, WriteFuture, WriteResult};

/// The most documents logged per second. The rest is only counted, so that a fast dry run does not flood the log.
const LOGGED_PER_SECOND: u64 = 200;

/// Writes nothing, but logs what it would have written: the full path and every field.
#[derive(Debug, Default)]
pub struct DryRunSink {
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    logged: u64,
    skipped: u64,
}

impl DryRunSink {
    /// Writes to the log.
    pub fn new() -> Self {
        Self::default()
    }

    fn log(&self, document: &TenantDocument) {
        let mut second = self.second.lock();
        let now = Instant::now();
        if second.began.is_none_or(|began| now - began >= Duration::from_secs(1)) {
            if second.skipped > 0 {
                info!(event_type = "firestore_write", dry_run = true, "and {} more documents", second.skipped);
            }
            *second = Second { began: Some(now), logged: 0, skipped: 0 };
        }
        if second.logged >= LOGGED_PER_SECOND {
            second.skipped += 1;
            return;
        }
        second.logged += 1;
        info!(
            event_type = "firestore_write",
            dry_run = true,
            tenant = %document.tenant,
            path = %document,
            fields = %document_json(&document.document),
            "would write {document}"
        );
    }
}

impl Sink for DryRunSink {
    fn write<'a>(&'a self, writes: &'a [ConditionalWrite<'a>]) -> WriteFuture<'a> {
        for write in writes {
            self.log(write.target);
        }
        Box::pin(std::future::ready(vec![WriteResult::Written(None); writes.len()]))
    }
}

/// A document's fields as JSON for people and programs: times as RFC 3339 text in microseconds, bytes as base64.
pub fn document_json(document: &Document) -> serde_json::Value {
    let mut root = Map::new();
    for field in &document.fields {
        insert(&mut root, field.path.names(), value_json(&field.value));
    }
    serde_json::Value::Object(root)
}

fn insert<'a>(
    map: &mut Map<String, serde_json::Value>,
    names: impl Iterator<Item = &'a str>,
    value: serde_json::Value,
) {
    let mut names = names.peekable();
    let mut map = map;
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            map.insert(name.to_owned(), value);
            return;
        }
        let inner = map.entry(name).or_insert_with(|| json!({}));
        match inner {
            serde_json::Value::Object(inner) => map = inner,
            // No path of a document is a prefix of another.
            _ => return,
        }
    }
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => json!(null),
        Value::Boolean(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Double(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Timestamp(time) => json!(time_text(*time)),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
        Value::Doubles(list) => json!(list),
        Value::Texts(list) => json!(list),
    }
}

/// RFC 3339 in microseconds, Firestore's precision.
pub fn time_text(time: UnixNanos) -> String {
    let micros = time.div_euclid(1000);
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| format!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_document::{DocumentKey, Field, FieldPath, TenantId};

    #[test]
    fn a_document_becomes_nested_json_with_times_in_microseconds() {
        let field = |path, value| Field { path: FieldPath::literal(path), value };
        let document = Document {
            key: DocumentKey::new("live_quotes", "SPY").unwrap(),
            fields: vec![
                field("bid", Value::Double(1.5)),
                field("side.ask", Value::Null),
                field("side.n", Value::Integer(3)),
                field("ts", Value::Timestamp(1_700_000_000_123_456_789)),
            ],
        };
        let expected = json!({"bid": 1.5, "side": {"ask": null, "n": 3}, "ts": "2023-11-14T22:13:20.123456Z"});
        assert_eq!(document_json(&document), expected);
        let whole = TenantDocument { tenant: TenantId::new("acme").unwrap(), document };
        assert_eq!(whole.to_string(), "tenants/acme/live_quotes/SPY");
    }
}
