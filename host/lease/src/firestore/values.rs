//! Firestore's values.

use std::collections::{BTreeSet, HashMap};

use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::gcloud_sdk::google::firestore::v1::{ArrayValue, MapValue, Value};
use firestore::gcloud_sdk::prost_types::Timestamp;
use quotegate_document::UnixNanos;

use crate::Version;

pub(crate) type Fields = HashMap<String, Value>;

fn typed(value: ValueType) -> Value {
    Value { value_type: Some(value) }
}

pub(crate) fn text(text: &str) -> Value {
    typed(ValueType::StringValue(text.to_owned()))
}

pub(crate) fn optional_text(value: Option<&str>) -> Value {
    value.map_or_else(|| typed(ValueType::NullValue(0)), text)
}

pub(crate) fn integer(value: i64) -> Value {
    typed(ValueType::IntegerValue(value))
}

pub(crate) fn boolean(value: bool) -> Value {
    typed(ValueType::BooleanValue(value))
}

pub(crate) fn integers(values: &BTreeSet<u16>) -> Value {
    let values = values.iter().map(|value| integer((*value).into())).collect();
    typed(ValueType::ArrayValue(ArrayValue { values }))
}

pub(crate) fn map(fields: Fields) -> Value {
    typed(ValueType::MapValue(MapValue { fields }))
}

/// In microseconds, as Firestore stores it.
pub(crate) fn time(time: UnixNanos) -> Value {
    let nanos = time.rem_euclid(1_000_000_000) / 1000 * 1000;
    let nanos = i32::try_from(nanos).unwrap_or(0);
    typed(ValueType::TimestampValue(Timestamp { seconds: time.div_euclid(1_000_000_000), nanos }))
}

pub(crate) fn timestamp(version: Version) -> Timestamp {
    Timestamp { seconds: version.seconds, nanos: version.nanos }
}

pub(crate) fn nanos(time: &Timestamp) -> UnixNanos {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into())
}

pub(crate) fn as_text(value: Option<&Value>) -> Option<&str> {
    match &value?.value_type {
        Some(ValueType::StringValue(text)) => Some(text),
        _ => None,
    }
}

pub(crate) fn as_integer(value: Option<&Value>) -> Option<i64> {
    match value?.value_type {
        Some(ValueType::IntegerValue(value)) => Some(value),
        _ => None,
    }
}

pub(crate) fn as_count(value: Option<&Value>) -> Option<u64> {
    as_integer(value).and_then(|count| u64::try_from(count).ok())
}

pub(crate) fn as_boolean(value: Option<&Value>) -> Option<bool> {
    match value?.value_type {
        Some(ValueType::BooleanValue(value)) => Some(value),
        _ => None,
    }
}

pub(crate) fn as_integers(value: Option<&Value>) -> Option<BTreeSet<u16>> {
    match &value?.value_type {
        Some(ValueType::ArrayValue(array)) => {
            array.values.iter().map(|value| u16::try_from(as_integer(Some(value))?).ok()).collect()
        }
        _ => None,
    }
}

pub(crate) fn as_map(value: Option<&Value>) -> Option<&Fields> {
    match &value?.value_type {
        Some(ValueType::MapValue(map)) => Some(&map.fields),
        _ => None,
    }
}

pub(crate) fn as_time(value: Option<&Value>) -> Option<UnixNanos> {
    match &value?.value_type {
        Some(ValueType::TimestampValue(time)) => Some(nanos(time)),
        _ => None,
    }
}
