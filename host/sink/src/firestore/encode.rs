use std::collections::HashMap;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::prost_types::Timestamp;
use proto::precondition::ConditionType;
use proto::value::ValueType;
use quotegate_document::{UnixNanos, Value};

use crate::{ConditionalWrite, Precondition, Version, WriteMode};

/// The request to write a document below `documents_path`.
pub(super) fn write(documents_path: &str, write: &ConditionalWrite<'_>, mode: WriteMode) -> proto::Write {
    let target = write.target;
    let mut fields = HashMap::with_capacity(target.document.fields.len());
    for field in &target.document.fields {
        insert(&mut fields, field.path.names(), value(&field.value));
    }
    let document = proto::Document { name: format!("{documents_path}/{target}"), fields, ..proto::Document::default() };
    // `FieldPath` allows only names that need no quoting.
    let paths = target.document.fields.iter().map(|field| field.path.as_str().to_owned());
    proto::Write {
        update_mask: (mode == WriteMode::Merge).then(|| proto::DocumentMask { field_paths: paths.collect() }),
        operation: Some(proto::write::Operation::Update(document)),
        current_document: precondition(write.precondition),
        ..proto::Write::default()
    }
}

fn precondition(precondition: Precondition) -> Option<proto::Precondition> {
    let condition = match precondition {
        Precondition::None => return None,
        Precondition::Absent => ConditionType::Exists(false),
        Precondition::Version(version) => ConditionType::UpdateTime(update_time(version)),
    };
    Some(proto::Precondition { condition_type: Some(condition) })
}

fn update_time(Version(time): Version) -> Timestamp {
    let nanos = i32::try_from(time.rem_euclid(1_000_000_000)).unwrap_or(0);
    Timestamp { seconds: time.div_euclid(1_000_000_000), nanos }
}

/// The version of a document with this `updateTime`.
pub(super) fn version(time: Timestamp) -> Option<Version> {
    let nanos = time.seconds.checked_mul(1_000_000_000)?.checked_add(time.nanos.into())?;
    Some(Version(nanos))
}

fn insert<'a>(
    mut fields: &mut HashMap<String, proto::Value>,
    names: impl Iterator<Item = &'a str>,
    value: proto::Value,
) {
    let mut names = names.peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            fields.insert(name.to_owned(), value);
            return;
        }
        let inner =
            fields.entry(name.to_owned()).or_insert_with(|| typed(ValueType::MapValue(proto::MapValue::default())));
        match &mut inner.value_type {
            Some(ValueType::MapValue(map)) => fields = &mut map.fields,
            // No path of a document is a prefix of another.
            _ => return,
        }
    }
}

fn value(value: &Value) -> proto::Value {
    typed(match value {
        Value::Null => ValueType::NullValue(0),
        Value::Boolean(value) => ValueType::BooleanValue(*value),
        Value::Integer(value) => ValueType::IntegerValue(*value),
        Value::Double(value) => ValueType::DoubleValue(*value),
        Value::Text(text) => ValueType::StringValue(text.clone().into_owned()),
        Value::Timestamp(time) => ValueType::TimestampValue(timestamp(*time)),
        Value::Bytes(bytes) => ValueType::BytesValue(bytes.clone()),
        Value::Doubles(list) => array(list.iter().map(|value| ValueType::DoubleValue(*value))),
        Value::Texts(list) => array(list.iter().map(|text| ValueType::StringValue(text.clone()))),
    })
}

fn array(values: impl Iterator<Item = ValueType>) -> ValueType {
    ValueType::ArrayValue(proto::ArrayValue { values: values.map(typed).collect() })
}

fn typed(value: ValueType) -> proto::Value {
    proto::Value { value_type: Some(value) }
}

/// Rounds down to microseconds like Firestore, because the emulator does not.
fn timestamp(time: UnixNanos) -> Timestamp {
    let seconds = time.div_euclid(1_000_000_000);
    let micros = time.rem_euclid(1_000_000_000) / 1000;
    Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantDocument;
    use quotegate_document::{Document, DocumentKey, Field, FieldPath, TenantId};

    fn encoded(mode: WriteMode, precondition: Precondition) -> proto::Write {
        write("db/documents", &ConditionalWrite { target: &target(), precondition }, mode)
    }

    fn target() -> TenantDocument {
        let field = |path, value| Field { path: FieldPath::literal(path), value };
        let fields = vec![
            field("bid", Value::Double(2.0)),
            field("side.ask", Value::Null),
            field("side.sizes", Value::Doubles(vec![1.0])),
            field("ts", Value::Timestamp(-1)),
        ];
        let key = DocumentKey::new("live_quotes", "BTC%2FUSD").unwrap();
        TenantDocument { tenant: TenantId::new("acme").unwrap(), document: Document { key, fields } }
    }

    #[test]
    fn a_merge_lists_every_field_and_a_replacement_none() {
        let merge = encoded(WriteMode::Merge, Precondition::None);
        assert_eq!(merge.update_mask.unwrap().field_paths, ["bid", "side.ask", "side.sizes", "ts"]);
        assert_eq!(encoded(WriteMode::Replace, Precondition::None).update_mask, None);
    }

    #[test]
    fn a_precondition_carries_the_update_time_exactly() {
        let time = Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 };
        let of = |precondition| encoded(WriteMode::Merge, precondition).current_document.map(|one| one.condition_type);
        assert_eq!(of(Precondition::None), None);
        assert_eq!(of(Precondition::Absent), Some(Some(ConditionType::Exists(false))));
        let precondition = Precondition::Version(version(time).unwrap());
        assert_eq!(of(precondition), Some(Some(ConditionType::UpdateTime(time))));
    }

    #[test]
    fn fields_are_nested_and_times_rounded_down_to_microseconds() {
        let write = encoded(WriteMode::Merge, Precondition::None);
        let Some(proto::write::Operation::Update(document)) = write.operation else { panic!("an update") };
        assert_eq!(document.name, "db/documents/tenants/acme/live_quotes/BTC%2FUSD");
        let Some(ValueType::MapValue(side)) = &document.fields["side"].value_type else { panic!("a map") };
        assert_eq!(side.fields["ask"].value_type, Some(ValueType::NullValue(0)));
        let expected = Timestamp { seconds: -1, nanos: 999_999_000 };
        assert_eq!(document.fields["ts"].value_type, Some(ValueType::TimestampValue(expected)));
    }
}
