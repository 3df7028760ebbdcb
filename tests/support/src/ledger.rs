use std::collections::HashMap;
use std::sync::Arc;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use parking_lot::{Mutex, MutexGuard};

use crate::database::Database;

/// The newest time in the field `ts` of each document ever written: enough to detect an older quote written after a newer
/// one, and small enough for a run of hours. It outlives the server, so that the next server can continue it.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
    /// Survives the server too.
    pub(crate) database: Arc<Mutex<Database>>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Nanoseconds since 1970, by path.
    newest: HashMap<String, i64>,
    writes: u64,
    reversed: u64,
}

impl Ledger {
    /// The time in the document at `path`, if it was ever written.
    pub fn time(&self, path: &str) -> Option<i64> {
        self.entries().newest.get(path).copied()
    }

    /// The paths of all documents.
    pub fn paths(&self) -> Vec<String> {
        self.entries().newest.keys().cloned().collect()
    }

    /// The number of writes.
    pub fn writes(&self) -> u64 {
        self.entries().writes
    }

    /// The number of writes that moved a document back in time.
    pub fn reversed(&self) -> u64 {
        self.entries().reversed
    }

    pub(crate) fn note(&self, path: String, write: &proto::Write) {
        let time = time(write).unwrap_or_else(|| panic!("a document without a time in `ts`: {path}"));
        let mut entries = self.entries();
        entries.writes += 1;
        if entries.newest.insert(path, time).is_some_and(|before| before > time) {
            entries.reversed += 1;
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}

fn time(write: &proto::Write) -> Option<i64> {
    let Some(proto::write::Operation::Update(document)) = &write.operation else { return None };
    let value = document.fields.get("ts")?.value_type.as_ref()?;
    let proto::value::ValueType::TimestampValue(time) = value else { return None };
    Some(time.seconds * 1_000_000_000 + i64::from(time.nanos))
}
