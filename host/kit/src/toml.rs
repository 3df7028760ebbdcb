//! TOML as the JSON values that the rest of the program works with. Dates, which JSON has none of, are left to whoever
//! knows what they mean.

use serde_json::{Map, Value};
use toml_edit::{Item, TableLike};

/// The table, or the path of what JSON cannot hold.
pub(crate) fn to_json(table: &dyn TableLike) -> Result<Map<String, Value>, String> {
    table.iter().map(|(name, item)| Ok((name.to_owned(), item_to_json(name, item)?))).collect()
}

fn item_to_json(path: &str, item: &Item) -> Result<Value, String> {
    match item {
        Item::None => Ok(Value::Null),
        Item::Value(value) => value_to_json(path, value),
        Item::Table(table) => nested(path, table),
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().enumerate().map(|(at, table)| nested(&format!("{path}[{at}]"), table));
            Ok(Value::Array(tables.collect::<Result<_, _>>()?))
        }
    }
}

/// One value, or the path of what JSON cannot hold.
pub(crate) fn value_to_json(path: &str, value: &toml_edit::Value) -> Result<Value, String> {
    match value {
        toml_edit::Value::String(text) => Ok(Value::from(text.value().as_str())),
        toml_edit::Value::Integer(number) => Ok(Value::from(*number.value())),
        toml_edit::Value::Float(number) => {
            let number = Some(*number.value()).filter(|number| number.is_finite()).map(Value::from);
            number.ok_or_else(|| format!("{path} is not a finite number"))
        }
        toml_edit::Value::Boolean(flag) => Ok(Value::from(*flag.value())),
        toml_edit::Value::Datetime(_) => Err(format!("{path} is a date; write it as a text in quotes")),
        toml_edit::Value::Array(array) => {
            let values = array.iter().enumerate().map(|(at, value)| value_to_json(&format!("{path}[{at}]"), value));
            Ok(Value::Array(values.collect::<Result<_, _>>()?))
        }
        toml_edit::Value::InlineTable(table) => nested(path, table),
    }
}

fn nested(path: &str, table: &dyn TableLike) -> Result<Value, String> {
    let entries = table.iter().map(|(name, item)| {
        let path = format!("{path}.{name}");
        Ok((name.to_owned(), item_to_json(&path, item)?))
    });
    Ok(Value::Object(entries.collect::<Result<_, String>>()?))
}
