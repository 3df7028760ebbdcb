//! `ops/ingest_control`: the document in which an operator pauses writing.

use std::collections::{BTreeMap, HashMap};

use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::gcloud_sdk::google::firestore::v1::{Document, GetDocumentRequest, Value};
use tokio::time::timeout;
use tonic::Code;

use super::FirestoreSink;

/// What the document says. Whatever is missing from it pauses no one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PauseControl {
    /// Pauses every host.
    pub paused: bool,
    /// Whether to pause a host, by instance name.
    pub hosts: BTreeMap<String, bool>,
    /// Whether to pause a tenant, by id.
    pub tenants: BTreeMap<String, bool>,
}

/// Why the document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PauseControlError {
    /// Reading it failed.
    #[error("ops/ingest_control cannot be read: {0}")]
    Unreadable(String),
    /// A field has the wrong type; the whole document is ignored.
    #[error("ops/ingest_control: {field} must be {expects}; correct it in the document")]
    Malformed {
        /// The field.
        field: String,
        /// What it must be.
        expects: &'static str,
    },
}

impl FirestoreSink {
    /// Reads the document. Google bills one document read, even if it does not exist.
    pub async fn pause_control(&self) -> Result<PauseControl, PauseControlError> {
        let unreadable = PauseControlError::Unreadable;
        let read = async {
            let connection = self.connection().await.map_err(|error| unreadable(error.to_string()))?;
            let name = format!("{}/ops/ingest_control", connection.documents_path());
            let request = GetDocumentRequest { name, ..GetDocumentRequest::default() };
            match connection.client.get().get_document(request).await {
                Ok(document) => PauseControl::read(document.get_ref()),
                Err(status) if status.code() == Code::NotFound => Ok(PauseControl::default()),
                Err(status) => {
                    let outcome = super::request_outcome(&status, self.settings.address());
                    Err(unreadable(outcome.problem().unwrap_or_default()))
                }
            }
        };
        let limit = self.settings.request_timeout;
        timeout(limit, read)
            .await
            .unwrap_or_else(|_| Err(unreadable(format!("no answer in {} s", limit.as_secs_f64()))))
    }
}

impl PauseControl {
    fn read(document: &Document) -> Result<Self, PauseControlError> {
        let fields = &document.fields;
        let paused = fields.get("paused").map_or(Ok(false), |value| boolean(value, "paused"))?;
        Ok(Self { paused, hosts: booleans(fields, "hosts")?, tenants: booleans(fields, "tenants")? })
    }
}

fn boolean(value: &Value, field: &str) -> Result<bool, PauseControlError> {
    match value.value_type {
        Some(ValueType::BooleanValue(value)) => Ok(value),
        _ => Err(PauseControlError::Malformed { field: field.to_owned(), expects: "true or false" }),
    }
}

fn booleans(fields: &HashMap<String, Value>, name: &str) -> Result<BTreeMap<String, bool>, PauseControlError> {
    let Some(value) = fields.get(name) else { return Ok(BTreeMap::new()) };
    let Some(ValueType::MapValue(map)) = &value.value_type else {
        return Err(PauseControlError::Malformed {
            field: name.to_owned(),
            expects: "a map of names to true or false",
        });
    };
    let entry = |(id, value): (&String, &Value)| Ok((id.clone(), boolean(value, &format!("{name}.{id}"))?));
    map.fields.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use firestore::gcloud_sdk::google::firestore::v1::MapValue;

    fn flag(value: bool) -> Value {
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
        PauseControl::read(&Document { fields, ..Document::default() })
    }

    #[test]
    fn missing_fields_pause_no_one_and_unknown_fields_are_ignored() {
        assert_eq!(read(&[("note", text())]), Ok(PauseControl::default()));
        let tenants = map(&[("acme", flag(true)), ("globex", flag(false))]);
        let control = read(&[("paused", flag(true)), ("tenants", tenants)]).unwrap();
        assert!(control.paused && control.tenants["acme"] && !control.tenants["globex"] && control.hosts.is_empty());
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        for (fields, wrong) in [
            (vec![("paused", text())], "paused must be true or false"),
            (vec![("paused", flag(true)), ("hosts", flag(true))], "hosts must be a map"),
            (vec![("tenants", map(&[("acme", text())]))], "tenants.acme must be true or false"),
        ] {
            let error = read(&fields).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
