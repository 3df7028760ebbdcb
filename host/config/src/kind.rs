//! Kinds of values: how a value of each kind is checked, shown, read from text, and described in the JSON Schema.

mod choice;
mod collections;
mod number;
mod plugins;
mod symbols;
mod table;
mod text;

use figment::value::{Num, Value};
use serde_json::Value as Json;

use crate::error::quoted;
use crate::key::Declaration;

pub(crate) use choice::{Bool, Choice, bool_from_text};
pub(crate) use collections::{Collection, CollectionPaths, Destinations};
pub(crate) use number::{Integer, Number, OrMax, Size, TimeSpan, ZeroIsOff};
pub(crate) use plugins::{JsonTable, Plugins, to_json};
pub(crate) use symbols::{CountOrSymbols, Symbols};
pub(crate) use table::{SubTable, TableReader};
pub(crate) use text::{FilePath, IpAddress, Secret, TenantName, Text, rule};

/// One kind of value.
pub(crate) trait ValueKind: 'static {
    /// What a valid value becomes.
    type Value;

    /// The rest of the sentence "Must be …", with unit and bounds.
    fn expects(&self) -> String;

    /// The same as a JSON Schema. It never rejects a value that [`ValueKind::parse`] accepts, but it may accept one that
    /// `parse` rejects.
    fn schema(&self) -> Json;

    /// Checks a raw value and reports everything that is wrong with it.
    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<ValueError>>;

    /// A valid value as TOML.
    fn show(&self, value: &Self::Value) -> String;

    /// The raw value that a text from the environment or a flag stands for. A text that makes no sense stays a string,
    /// which [`ValueKind::parse`] then rejects.
    fn raw_from_text(&self, text: &str) -> Value {
        Value::from(text.trim())
    }

    /// The keys of the table, if the value is a table or a list of tables.
    fn table_keys(&self) -> Vec<Declaration> {
        Vec::new()
    }

    /// True if the value must never be shown.
    fn is_secret(&self) -> bool {
        false
    }

    /// The error for a value that [`ValueKind::parse`] rejects.
    fn invalid(&self, value: &Value, sentence: impl Into<String>) -> Vec<ValueError>
    where
        Self: Sized,
    {
        vec![ValueError::new(value, sentence, format!("Use {}.", self.expects()))]
    }

    /// The error for a value of the wrong type.
    fn wrong_type(&self, value: &Value) -> Vec<ValueError>
    where
        Self: Sized,
    {
        let hint = match value {
            Value::String(_, text) if !matches!(self.raw_from_text(text), Value::String(..)) => ", without quotes",
            _ => "",
        };
        let remedy = format!("Use {}{hint}.", self.expects());
        vec![ValueError::new(value, format!("This is {}.", type_name(value)), remedy)]
    }
}

/// Why a value is not valid.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ValueError {
    /// The element of a list that is wrong; `None` for the value as a whole.
    pub(crate) index: Option<usize>,
    /// The key that is wrong, dotted, if the value is a table; else empty.
    pub(crate) key: String,
    /// The wrong value, if it may be shown.
    pub(crate) shown: Option<String>,
    pub(crate) sentence: String,
    pub(crate) remedy: String,
}

impl ValueError {
    /// An error that shows the value.
    pub(crate) fn new(value: &Value, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { shown: Some(shown(value)), ..Self::hidden(sentence, remedy) }
    }

    /// An error that does not show the value.
    pub(crate) fn hidden(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), remedy: remedy.into(), ..Self::default() }
    }

    /// The same error, seen from the table that has the wrong value under `key`.
    pub(crate) fn below(self, key: &str) -> Self {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{key}.{}", self.key) };
        Self { key, ..self }
    }

    /// The sentence, and before it the key and the value if the error is somewhere inside a table.
    pub(crate) fn sentence_with_key(&self) -> String {
        match (self.key.as_str(), &self.shown) {
            ("", _) => self.sentence.clone(),
            (key, Some(shown)) => format!("{key} = {shown}: {}", self.sentence),
            (key, None) => format!("{key}: {}", self.sentence),
        }
    }
}

/// A raw value as a message shows it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, letter) => quoted(&letter.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number_text(*number),
        Value::Empty(..) => "a date".into(),
        Value::Dict(..) => "{…}".into(),
        Value::Array(_, elements) if elements.len() > 4 => "[…]".into(),
        Value::Array(_, elements) => format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a string",
        Value::Bool(..) => "a boolean",
        Value::Num(_, number) if integer(*number).is_some() => "an integer",
        Value::Num(..) => "a number with a fraction",
        // TOML has no null, so this can only be one of TOML's dates and times.
        Value::Empty(..) => "a date or time",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

/// The number, if it is written without a fraction. Raw values hold `i64` or `f64`, nothing else.
fn integer(number: Num) -> Option<i64> {
    match number {
        Num::I64(number) => Some(number),
        _ => None,
    }
}

fn number_text(number: Num) -> String {
    match number {
        Num::I64(number) => number.to_string(),
        _ => number.to_f64().map_or_else(String::new, |number| format!("{number:?}")),
    }
}
