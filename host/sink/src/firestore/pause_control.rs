//! `ops/ingest_control`: where an operator pauses writing.

use std::collections::{BTreeMap, HashMap};

use firestore::FirestoreDocument;
use firestore::errors::FirestoreError;
use firestore::gcloud_sdk::google::firestore::v1::Value;
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use tokio::time::timeout;

use super::{FirestoreSink, own_words};

/// The collection and the id of the document.
const PLACE: (&str, &str) = ("ops", "ingest_control");

/// What the document orders. Nothing of it that is missing pauses anybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PauseControl {
    /// Every host is to pause.
    pub paused: bool,
    /// Hosts by their instance's name: true pauses.
    pub hosts: BTreeMap<String, bool>,
    /// Tenants by id: true pauses.
    pub tenants: BTreeMap<String, bool>,
}

/// Why it is not known what the document orders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PauseControlError {
    /// It cannot be read just now.
    #[error("ops/ingest_control cannot be read: {0}")]
    Unreadable(String),
    /// It holds something else than it should. None of it counts.
    #[error("ops/ingest_control: {field} must be {expects}; set it right in the document")]
    Malformed {
        /// Which field.
        field: String,
        /// What belongs there.
        expects: &'static str,
    },
}

impl FirestoreSink {
    /// Reads the document: one document read, also where there is none.
    pub async fn control(&self) -> Result<PauseControl, PauseControlError> {
        let unreadable = |problem: &dyn std::fmt::Display| PauseControlError::Unreadable(problem.to_string());
        let read = async {
            let writer = self.writer().await.map_err(|problem| unreadable(&problem))?;
            match writer.db.fluent().select().by_id_in(PLACE.0).one(PLACE.1).await {
                Ok(document) => document.as_ref().map_or_else(|| Ok(PauseControl::default()), PauseControl::read),
                Err(FirestoreError::DatabaseError(error)) => {
                    Err(unreadable(&format!("{}: {}", error.public.code, own_words(&error.details))))
                }
                Err(error) => Err(unreadable(&error)),
            }
        };
        let limit = self.settings.request_timeout;
        timeout(limit, read)
            .await
            .unwrap_or_else(|_| Err(unreadable(&format!("no answer in {} s", limit.as_secs_f64()))))
    }
}

impl PauseControl {
    fn read(document: &FirestoreDocument) -> Result<Self, PauseControlError> {
        let fields = &document.fields;
        let paused = fields.get("paused").map_or(Ok(false), |value| truth(value, "paused"))?;
        Ok(Self { paused, hosts: truths(fields, "hosts")?, tenants: truths(fields, "tenants")? })
    }
}

fn truth(value: &Value, field: &str) -> Result<bool, PauseControlError> {
    match value.value_type {
        Some(ValueType::BooleanValue(value)) => Ok(value),
        _ => Err(PauseControlError::Malformed { field: field.to_owned(), expects: "true or false" }),
    }
}

fn truths(fields: &HashMap<String, Value>, name: &str) -> Result<BTreeMap<String, bool>, PauseControlError> {
    let Some(value) = fields.get(name) else { return Ok(BTreeMap::new()) };
    let Some(ValueType::MapValue(map)) = &value.value_type else {
        return Err(PauseControlError::Malformed { field: name.to_owned(), expects: "a map of names to true or false" });
    };
    let entry = |(id, value): (&String, &Value)| Ok((id.clone(), truth(value, &format!("{name}.{id}"))?));
    map.fields.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use firestore::gcloud_sdk::google::firestore::v1::MapValue;

    fn boolean(value: bool) -> Value {
        Value { value_type: Some(ValueType::BooleanValue(value)) }
    }

    fn text() -> Value {
        Value { value_type: Some(ValueType::StringValue("yes".into())) }
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        let fields = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Value { value_type: Some(ValueType::MapValue(MapValue { fields })) }
    }

    fn read(fields: &[(&str, Value)]) -> Result<PauseControl, PauseControlError> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        PauseControl::read(&FirestoreDocument { fields, ..FirestoreDocument::default() })
    }

    #[test]
    fn what_is_missing_pauses_nobody_and_what_is_unknown_does_not_matter() {
        assert_eq!(read(&[("note", text())]), Ok(PauseControl::default()));
        let tenants = map(&[("acme", boolean(true)), ("globex", boolean(false))]);
        let control = read(&[("paused", boolean(true)), ("tenants", tenants)]).unwrap();
        assert!(control.paused && control.tenants["acme"] && !control.tenants["globex"] && control.hosts.is_empty());
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        for (fields, wrong) in [
            (vec![("paused", text())], "paused must be true or false"),
            (vec![("paused", boolean(true)), ("hosts", boolean(true))], "hosts must be a map"),
            (vec![("tenants", map(&[("acme", text())]))], "tenants.acme must be true or false"),
        ] {
            let problem = read(&fields).unwrap_err().to_string();
            assert!(problem.contains(wrong), "{problem}");
        }
    }
}
