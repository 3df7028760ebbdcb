//! What the values of a setting look like: how a value is checked, shown and read from text.

mod choice;
mod number;
mod plugins;
mod symbols;
mod table;
mod text;

use figment::value::{Num, Value};

use crate::problem::quoted;

pub(crate) use choice::{Choice, Flag, flag_of};
pub(crate) use number::{Number, OrMax, Span, Whole, ZeroIsOff};
pub(crate) use plugins::{Plugins, read_setup};
pub(crate) use symbols::{CountOrSymbols, Symbols};
pub(crate) use table::TableKey;
pub(crate) use text::{PathText, Secret, Text, rule};

/// One kind of value.
pub(crate) trait Form: 'static {
    /// What a good value becomes.
    type Value;

    /// The rest of the sentence "this must be …", with unit and bounds.
    fn expects(&self) -> String;

    /// Checks a raw value; says everything that is wrong with it.
    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<Refusal>>;

    /// A good value as TOML writes it.
    fn show(&self, value: &Self::Value) -> String;

    /// The raw value that a text from the environment or a flag stands for. A text that makes no sense stays a text,
    /// which [`Form::parse`] then refuses.
    fn lift(&self, text: &str) -> Value {
        Value::from(text.trim())
    }

    /// The keys of the tables in a list of tables, for the documentation.
    fn table_keys(&self) -> Vec<TableKey> {
        Vec::new()
    }

    /// True if a value must never be shown.
    fn is_secret(&self) -> bool {
        false
    }
}

/// Why a value is no good.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// Which element of a list; `None`: the value as a whole.
    pub(crate) index: Option<usize>,
    /// The value or element, if it may be shown.
    pub(crate) shown: Option<String>,
    pub(crate) sentence: String,
    pub(crate) remedy: String,
}

impl Refusal {
    pub(crate) fn new(value: &Value, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { index: None, shown: Some(shown(value)), sentence: sentence.into(), remedy: remedy.into() }
    }

    /// A value of a kind that the form cannot use at all.
    pub(crate) fn kind(form: &impl Form, value: &Value) -> Self {
        let hint = match value {
            Value::String(_, text) if !matches!(form.lift(text), Value::String(..)) => ", without quotes",
            _ => "",
        };
        Self::new(value, format!("This is {}.", kind(value)), format!("Give {}{hint}.", form.expects()))
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

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "true or false",
        Value::Num(_, number) if whole(*number).is_some() => "a whole number",
        Value::Num(..) => "a number with a fraction",
        // TOML has no null; the only raw value without a kind of its own is TOML's date.
        Value::Empty(..) => "a date or a time",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

/// The number, if it is written without a fraction. Raw values hold `i64` or `f64`, nothing else.
fn whole(number: Num) -> Option<i64> {
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
