use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use firestore::gcloud_sdk::google::firestore::v1 as proto;

/// What was ever written, document by document, as far as its field `ts` tells: enough to see whether an older quote
/// came after a newer one, and small enough for a run of hours. Outlives the server, so the next one can go on with it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Nanoseconds since 1970, by path.
    newest: HashMap<String, i64>,
    writes: u64,
    reversed: u64,
}

impl Ledger {
    /// The time in the document at `path`, if it was ever written.
    pub fn time(&self, path: &str) -> Option<i64> {
        self.pages().newest.get(path).copied()
    }

    /// Every document's path.
    pub fn paths(&self) -> Vec<String> {
        self.pages().newest.keys().cloned().collect()
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.pages().writes
    }

    /// Writes that took a document back to an earlier time.
    pub fn reversed(&self) -> u64 {
        self.pages().reversed
    }

    pub(crate) fn note(&self, path: String, write: &proto::Write) {
        let time = time(write).unwrap_or_else(|| panic!("a document without a time in `ts`: {path}"));
        let mut pages = self.pages();
        pages.writes += 1;
        if pages.newest.insert(path, time).is_some_and(|before| before > time) {
            pages.reversed += 1;
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn time(write: &proto::Write) -> Option<i64> {
    let Some(proto::write::Operation::Update(document)) = &write.operation else { return None };
    let value = document.fields.get("ts")?.value_type.as_ref()?;
    let proto::value::ValueType::TimestampValue(time) = value else { return None };
    Some(time.seconds * 1_000_000_000 + i64::from(time.nanos))
}
