//! Reads TOML files, and converts between TOML and JSON values.

use std::path::{Path, PathBuf};

use quotegate_io::{TEXT_LIMIT, read_text};
use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike};

/// Everything that is wrong with a `plugin.toml`, a fixture, or a file with a setup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:\n  {}", path.display(), problems.join("\n  "))]
pub struct FileError {
    path: PathBuf,
    /// Each with its place and how to fix it.
    problems: Vec<String>,
}

impl FileError {
    pub(crate) fn new(path: &Path, problems: Vec<String>) -> Self {
        Self { path: path.to_owned(), problems }
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    read_text(path, TEXT_LIMIT).map_err(|error| FileError::new(path, vec![format!("It cannot be read: {error}.")]))
}

/// Parses a TOML file's text.
pub(crate) fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error| format!("It is not TOML: {error}"))
}

/// Removes a key whose value must be a string.
pub(crate) fn take_text(keys: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match keys.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{key} = {other}: This is not a string. Write it in quotes.")),
    }
}

/// How to convert TOML dates, which JSON does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dates {
    /// As an error: a plugin's `config` is JSON.
    Refuse,
    /// As `{"timestamp": "…"}`.
    Tag,
}

/// The table as JSON, or what JSON cannot represent.
pub(crate) fn to_json(table: &dyn TableLike, dates: Dates) -> Result<Map<String, Value>, String> {
    table.iter().map(|(name, item)| Ok((name.to_owned(), item_to_json(name, item, dates)?))).collect()
}

fn item_to_json(path: &str, item: &Item, dates: Dates) -> Result<Value, String> {
    match item {
        Item::None => Ok(Value::Null),
        Item::Value(value) => value_to_json(path, value, dates),
        Item::Table(table) => nested(path, table, dates),
        Item::ArrayOfTables(tables) => {
            list(path, tables.iter().map(|table| table as &dyn TableLike), |path, table| nested(path, table, dates))
        }
    }
}

fn value_to_json(path: &str, value: &toml_edit::Value, dates: Dates) -> Result<Value, String> {
    match value {
        toml_edit::Value::String(text) => Ok(Value::from(text.value().as_str())),
        toml_edit::Value::Integer(number) => Ok(Value::from(*number.value())),
        toml_edit::Value::Float(number) => {
            let number = Some(*number.value()).filter(|number| number.is_finite()).map(Value::from);
            number.ok_or_else(|| format!("{path} is not a finite number."))
        }
        toml_edit::Value::Boolean(flag) => Ok(Value::from(*flag.value())),
        toml_edit::Value::Datetime(date) if dates == Dates::Tag => Ok(json!({ TIMESTAMP: date.value().to_string() })),
        toml_edit::Value::Datetime(_) => Err(format!("{path} is a date. Write it as a string in quotes.")),
        toml_edit::Value::Array(array) => list(path, array.iter(), |path, value| value_to_json(path, value, dates)),
        toml_edit::Value::InlineTable(table) => nested(path, table, dates),
    }
}

/// The key of a tagged time.
pub(crate) const TIMESTAMP: &str = "timestamp";

fn list<T>(
    path: &str,
    elements: impl Iterator<Item = T>,
    to_json: impl Fn(&str, T) -> Result<Value, String>,
) -> Result<Value, String> {
    let elements = elements.enumerate().map(|(at, element)| to_json(&format!("{path}[{at}]"), element));
    Ok(Value::Array(elements.collect::<Result<_, _>>()?))
}

fn nested(path: &str, table: &dyn TableLike, dates: Dates) -> Result<Value, String> {
    let entries = table.iter().map(|(name, item)| {
        let path = format!("{path}.{name}");
        Ok((name.to_owned(), item_to_json(&path, item, dates)?))
    });
    Ok(Value::Object(entries.collect::<Result<_, String>>()?))
}

/// JSON as TOML. Null becomes `{ null = true }`, and a tagged time becomes a date.
pub(crate) fn from_json(value: &Value) -> toml_edit::Value {
    match value {
        Value::Null => toml_edit::Value::from(InlineTable::from_iter([("null", true)])),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, float) => float.unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => elements.iter().map(from_json).collect::<Array>().into(),
        Value::Object(table) => {
            let date = table.get(TIMESTAMP).and_then(Value::as_str).filter(|_| table.len() == 1);
            match date.and_then(|date| date.parse::<toml_edit::Datetime>().ok()) {
                Some(date) => date.into(),
                None => {
                    InlineTable::from_iter(table.iter().map(|(name, value)| (name.as_str(), from_json(value)))).into()
                }
            }
        }
    }
}
