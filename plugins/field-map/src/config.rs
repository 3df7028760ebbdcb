use std::collections::BTreeMap;

use quotegate_plugin_sdk::config::in_words;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The settings as they come, before their names are checked.
pub type Settings = serde_json::Map<String, Value>;

/// The settings of the map.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Template of the collection; none: the tenant's first.
    pub collection: Option<String>,
    /// Template of the document id; none: the symbol.
    pub id: Option<String>,
    /// Starts from what the map before this one made of the quote, or else from the fields that the host writes without
    /// any map.
    pub standard: bool,
    /// Paths that are left out of those, with all below them.
    pub drop: Vec<String>,
    /// What becomes of a field without a value.
    pub nulls: Nulls,
    /// Fields by path, each a [`FieldConfig`]; a dot is one level deeper. They replace what they start from.
    pub fields: BTreeMap<String, Value>,
}

impl Config {
    /// Reads the settings. They are not checked for sense, which compiling them does.
    ///
    /// # Errors
    /// A sentence that names the setting or the field.
    pub fn new(settings: Settings) -> Result<Self, String> {
        for (key, value) in &settings {
            // Each alone first, because the reader does not say which of many it stumbled over.
            let alone = Settings::from_iter([(key.clone(), value.clone())]);
            read::<Self>(alone.into()).map_err(|problem| format!("`{key}`: {problem}."))?;
        }
        read(settings.into()).map_err(|problem| format!("The settings do not fit: {problem}."))
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|problem| in_words(&problem))
}

/// What becomes of a field without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nulls {
    /// It is written as null.
    #[default]
    Write,
    /// It is left out.
    Omit,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub enum FieldConfig {
    /// A source as it is.
    Name(String),
    /// A source in another form.
    From(FromConfig),
    /// Always the same: a boolean, a number, a text, or a list of numbers or of texts.
    Constant(ConstantConfig),
    /// A text with sources in it.
    Template(TemplateConfig),
}

impl FieldConfig {
    /// Its kind follows from what it is and which key it has.
    ///
    /// # Errors
    /// What is wrong with it, for a sentence that names the field.
    pub fn new(field: &Value) -> Result<Self, String> {
        let has = |key: &str| field.get(key).is_some();
        match field {
            Value::String(name) => Ok(Self::Name(name.clone())),
            _ if has("from") => read(field.clone()).map(Self::From),
            _ if has("constant") => read(field.clone()).map(Self::Constant),
            _ if has("template") => read(field.clone()).map(Self::Template),
            _ => Err("a field is the name of a source, or a table with `from`, `constant` or `template`; \
                a path with a dot in it stands in quotes"
                .into()),
        }
    }
}

/// `{ from = "ask_price", unit = "cents" }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromConfig {
    /// The source.
    pub from: String,
    /// Digits after the point, at most 9.
    pub round: Option<u8>,
    /// Its unit.
    pub unit: Option<Unit>,
    /// Written in the place of no value.
    pub default: Option<serde_json::Value>,
    /// In the place of the map's own `nulls`.
    pub nulls: Option<Nulls>,
}

/// `{ constant = "alpaca" }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantConfig {
    /// The value.
    pub constant: serde_json::Value,
}

/// `{ template = "{symbol} on {bid_exchange}" }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    /// The text.
    pub template: String,
}

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// USD as a whole number of cents.
    Cents,
    /// A number as the nearest whole number.
    Integer,
    /// A time as Firestore's own type, which times are by default.
    Timestamp,
    /// A time as whole seconds since 1970 UTC.
    Seconds,
    /// A time as whole milliseconds since 1970 UTC.
    Milliseconds,
    /// A time as whole microseconds since 1970 UTC.
    Microseconds,
    /// A time as ISO 8601 text in UTC with microseconds.
    Iso,
}
