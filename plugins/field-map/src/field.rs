use quotegate_plugin_sdk::{QuoteView, Value};

use crate::config::{FieldConfig, FromConfig, Nulls, Unit};
use crate::source::{Number, Source, Text, Time};
use crate::template::Template;
use crate::time::iso_text;

/// How the value of one field is made.
#[derive(Debug)]
pub(crate) enum Recipe {
    Constant(Value),
    Template(Template),
    Text(Text),
    /// Multiplied by 10 to this power, rounded, divided again.
    Number(Number, Option<u8>),
    /// Multiplied and rounded.
    Whole(Number, f64),
    Time(Time, Unit),
}

/// A compiled field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) recipe: Recipe,
    pub(crate) default: Value,
    pub(crate) nulls: Nulls,
}

impl Field {
    /// From its setting.
    pub(crate) fn read(path: &str, setting: &serde_json::Value, tenant: &str, nulls: Nulls) -> Result<Self, String> {
        let config = FieldConfig::new(setting).map_err(|problem| format!("In the field `{path}`: {problem}."))?;
        Self::new(path, &config, tenant, nulls)
    }

    pub(crate) fn new(path: &str, config: &FieldConfig, tenant: &str, nulls: Nulls) -> Result<Self, String> {
        let named = |problem: String| format!("In the field `{path}`: {problem}");
        let plain = |recipe| Self { path: path.into(), recipe, default: Value::Null, nulls };
        match config {
            FieldConfig::Name(name) => {
                let source = Source::new(name).map_err(named)?;
                recipe(source, None, None).map(plain).map_err(named)
            }
            FieldConfig::Constant(config) => {
                constant(&config.constant).map(|value| plain(Recipe::Constant(value))).map_err(named)
            }
            FieldConfig::Template(config) => {
                Template::new(&config.template, tenant).map(|text| plain(Recipe::Template(text))).map_err(named)
            }
            FieldConfig::From(FromConfig { from, round, unit, default, nulls: own }) => {
                let recipe = Source::new(from).and_then(|source| recipe(source, *round, *unit)).map_err(named)?;
                let default = default.as_ref().map_or(Ok(Value::Null), constant).map_err(named)?;
                Ok(Self { path: path.into(), recipe, default, nulls: own.unwrap_or(nulls) })
            }
        }
    }

    /// None where the field is left out.
    pub(crate) fn value(&self, quote: &QuoteView<'_>) -> Option<Value> {
        let value = self.recipe.value(quote).unwrap_or_else(|| self.default.clone());
        (value != Value::Null || self.nulls == Nulls::Write).then_some(value)
    }
}

fn recipe(source: Source, round: Option<u8>, unit: Option<Unit>) -> Result<Recipe, String> {
    if round.is_some_and(|digits| digits > 9) {
        return Err("`round` is more than 9 digits.".into());
    }
    match (source, unit, round) {
        (Source::Text(text), None, None) => Ok(Recipe::Text(text)),
        (Source::Number(number), None, round) => Ok(Recipe::Number(number, round)),
        (Source::Number(number), Some(Unit::Integer), None) => Ok(Recipe::Whole(number, 1.0)),
        (Source::Number(number), Some(Unit::Cents), None) if number.is_usd() => Ok(Recipe::Whole(number, 100.0)),
        (Source::Time(_), Some(Unit::Cents | Unit::Integer), _) => {
            Err("a time cannot be in this unit; give timestamp, seconds, milliseconds, microseconds or iso.".into())
        }
        (Source::Time(time), unit, None) => Ok(Recipe::Time(time, unit.unwrap_or(Unit::Timestamp))),
        (_, Some(unit), None) => Err(format!("this source cannot be in {unit:?}; leave out `unit`.")),
        _ => Err("only numbers without a unit can be rounded; leave out `round`.".into()),
    }
}

impl Recipe {
    fn value(&self, quote: &QuoteView<'_>) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => Some(template.text(quote).into()),
            Self::Text(text) => text.of(quote).map(Value::Text),
            Self::Number(number, None) => number.of(quote).map(Value::Double),
            Self::Number(number, Some(digits)) => {
                let scale = 10_f64.powi(i32::from(*digits));
                number.of(quote).map(|value| Value::Double((value * scale).round() / scale))
            }
            Self::Whole(number, scale) => number.of(quote).map(|value| Value::Integer((value * scale).round() as i64)),
            Self::Time(time, unit) => Some(in_unit(time.of(quote), *unit)),
        }
    }
}

fn in_unit(nanos: i64, unit: Unit) -> Value {
    match unit {
        Unit::Seconds => Value::Integer(nanos.div_euclid(1_000_000_000)),
        Unit::Milliseconds => Value::Integer(nanos.div_euclid(1_000_000)),
        Unit::Microseconds => Value::Integer(nanos.div_euclid(1_000)),
        Unit::Iso => Value::Text(iso_text(nanos)),
        Unit::Timestamp | Unit::Cents | Unit::Integer => Value::Timestamp(nanos),
    }
}

fn constant(json: &serde_json::Value) -> Result<Value, String> {
    use serde_json::Value as Json;
    match json {
        Json::Bool(value) => Ok(Value::Boolean(*value)),
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Value::Integer(whole)),
            (None, Some(double)) => Ok(Value::Double(double)),
            (None, None) => Err(format!("{number} is out of range.")),
        },
        Json::Array(items) => {
            let doubles = || items.iter().map(Json::as_f64).collect::<Option<_>>().map(Value::Doubles);
            let texts = || items.iter().map(|item| item.as_str().map(String::from)).collect::<Option<_>>();
            let list = doubles().or_else(|| texts().map(Value::Texts));
            list.ok_or_else(|| "a list holds only numbers or only texts.".into())
        }
        Json::Null => Ok(Value::Null),
        Json::Object(_) => Err("a constant is no table; give its fields one by one, with dots in their paths.".into()),
    }
}
