use std::collections::HashMap;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use firestore::gcloud_sdk::prost_types::Timestamp;
use proto::value::ValueType;
use quotegate_document::{UnixNanos, Value};

use crate::{TenantDocument, WriteMode};

/// The request to write `target` below `documents_path`.
pub(super) fn write(documents_path: &str, target: &TenantDocument, mode: WriteMode) -> proto::Write {
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
        ..proto::Write::default()
    }
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
    use quotegate_document::{Document, DocumentKey, Field, FieldPath, TenantId};

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
        let merge = write("db/documents", &target(), WriteMode::Merge);
        assert_eq!(merge.update_mask.unwrap().field_paths, ["bid", "side.ask", "side.sizes", "ts"]);
        assert_eq!(write("db/documents", &target(), WriteMode::Replace).update_mask, None);
    }

    #[test]
    fn fields_are_nested_and_times_rounded_down_to_microseconds() {
        let write = write("db/documents", &target(), WriteMode::Merge);
        let Some(proto::write::Operation::Update(document)) = write.operation else { panic!("an update") };
        assert_eq!(document.name, "db/documents/tenants/acme/live_quotes/BTC%2FUSD");
        let Some(ValueType::MapValue(side)) = &document.fields["side"].value_type else { panic!("a map") };
        assert_eq!(side.fields["ask"].value_type, Some(ValueType::NullValue(0)));
        let expected = Timestamp { seconds: -1, nanos: 999_999_000 };
        assert_eq!(document.fields["ts"].value_type, Some(ValueType::TimestampValue(expected)));
    }
}
