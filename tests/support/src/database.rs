use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::prost_types::Timestamp;
use proto::precondition::ConditionType;
use proto::value::ValueType;
use tokio::sync::watch;

pub(crate) const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const FAILED_PRECONDITION: i32 = 9;

/// Stored documents, with the `updateTime` of each.
#[derive(Debug, Default)]
pub(crate) struct Database {
    documents: BTreeMap<String, Stored>,
    /// When the last change was made, in microseconds. Every change has a time of its own.
    changed: i64,
    /// For those who listen, whichever server they ask.
    pub(crate) committed: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Stored {
    fields: HashMap<String, proto::Value>,
    updated: i64,
}

impl Database {
    /// Applies a write if its precondition holds. Returns the document's `updateTime`, or a code of google.rpc.Code.
    /// A mask may name nested fields, but whole top-level fields are merged.
    pub(crate) fn write(&mut self, path: &str, write: &proto::Write) -> Result<Timestamp, i32> {
        let condition = write.current_document.as_ref().and_then(|condition| condition.condition_type);
        let before = self.documents.get(path);
        match (condition, before) {
            (Some(ConditionType::Exists(false)), Some(_)) => return Err(ALREADY_EXISTS),
            (Some(ConditionType::Exists(true) | ConditionType::UpdateTime(_)), None) => return Err(NOT_FOUND),
            (Some(ConditionType::UpdateTime(time)), Some(stored)) if time != timestamp(stored.updated) => {
                return Err(FAILED_PRECONDITION);
            }
            _ => {}
        }
        let Some(proto::write::Operation::Update(document)) = &write.operation else {
            panic!("the sink writes only documents, not {write:?}")
        };
        let mut fields = match (&write.update_mask, before) {
            (Some(_), Some(stored)) => stored.fields.clone(),
            _ => HashMap::new(),
        };
        fields.extend(document.fields.clone());
        for transform in &write.update_transforms {
            // The only one that the host uses: the time of the request.
            let now = ValueType::TimestampValue(timestamp(unix_micros()));
            fields.insert(transform.field_path.clone(), proto::Value { value_type: Some(now) });
        }
        if let Some(stored) = before.filter(|stored| stored.fields == fields) {
            // As Firestore does it: what changes nothing does not change the time.
            return Ok(timestamp(stored.updated));
        }
        Ok(self.put(path, fields))
    }

    /// Creates or replaces a document, as someone else would.
    pub(crate) fn put(&mut self, path: &str, fields: HashMap<String, proto::Value>) -> Timestamp {
        self.changed = unix_micros().max(self.changed + 1);
        self.documents.insert(path.to_owned(), Stored { fields, updated: self.changed });
        timestamp(self.changed)
    }

    /// The time of what is read now.
    pub(crate) fn read_time(&self) -> Timestamp {
        timestamp(unix_micros().max(self.changed))
    }

    /// The paths of a collection's documents, those that changed last first.
    pub(crate) fn collection(&self, collection: &str) -> Vec<String> {
        let below = format!("{collection}/");
        let all = self.documents.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below));
        let mut found: Vec<_> = all.filter(|(path, _)| !path[below.len()..].contains('/')).collect();
        found.sort_by_key(|(_, stored)| -stored.updated);
        found.into_iter().map(|(path, _)| path.clone()).collect()
    }

    /// The fields of a document that the mask names, all without one.
    pub(crate) fn read(&self, name: &str, path: &str, mask: Option<&proto::DocumentMask>) -> Option<proto::Document> {
        let stored = self.documents.get(path)?;
        let is_read = |field: &str| {
            mask.is_none_or(|mask| mask.field_paths.iter().any(|path| path.split('.').next() == Some(field)))
        };
        let fields = stored.fields.iter().filter(|(field, _)| is_read(field));
        Some(proto::Document {
            name: name.to_owned(),
            fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
            update_time: Some(timestamp(stored.updated)),
            ..proto::Document::default()
        })
    }

    /// The time in a document's field, in nanoseconds.
    pub(crate) fn time(&self, path: &str, field: &str) -> Option<i64> {
        match self.documents.get(path)?.fields.get(field)?.value_type.as_ref()? {
            ValueType::TimestampValue(time) => Some(time.seconds * 1_000_000_000 + i64::from(time.nanos)),
            _ => None,
        }
    }
}

fn timestamp(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros % 1_000_000 * 1000).expect("less than a second");
    Timestamp { seconds: micros / 1_000_000, nanos }
}

fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("a time before the year 292,000")
}
