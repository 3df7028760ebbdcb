use std::fmt::Display;
use std::time::Duration;

use figment::value::{Num, Value};
use serde_json::{Value as Json, json};

use super::{ValueError, ValueKind, integer};

/// A whole number within bounds, both included.
pub(crate) struct Integer<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

impl<T: Copy + Display + TryFrom<i64> + PartialOrd + Into<Json> + 'static> ValueKind for Integer<T> {
    type Value = T;

    fn expects(&self) -> String {
        format!("an integer from {} to {}", self.min, self.max)
    }

    fn schema(&self) -> Json {
        let (min, max): (Json, Json) = (self.min.into(), self.max.into());
        json!({ "type": "integer", "minimum": min, "maximum": max })
    }

    fn parse(&self, value: &Value) -> Result<T, Vec<ValueError>> {
        parse_integer(self, value, |number| {
            T::try_from(number).ok().filter(|number| self.min <= *number && *number <= self.max)
        })
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        raw_number(text)
    }
}

/// An amount of memory or data in bytes, written as an integer in the unit that the key's name ends with. Both bounds
/// are in that unit and included.
pub(crate) struct Size {
    unit: &'static str,
    bytes_per_unit: usize,
    min: usize,
    max: usize,
}

impl Size {
    pub(crate) const fn kib(min: usize, max: usize) -> Self {
        Self { unit: "KiB", bytes_per_unit: 1 << 10, min, max }
    }

    pub(crate) const fn mib(min: usize, max: usize) -> Self {
        Self { unit: "MiB", bytes_per_unit: 1 << 20, min, max }
    }
}

impl ValueKind for Size {
    type Value = usize;

    fn expects(&self) -> String {
        format!("an integer from {} to {} {}", self.min, self.max, self.unit)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max, "x-unit": self.unit })
    }

    fn parse(&self, value: &Value) -> Result<usize, Vec<ValueError>> {
        parse_integer(self, value, |number| {
            let number = usize::try_from(number).ok().filter(|number| (self.min..=self.max).contains(number))?;
            Some(number * self.bytes_per_unit)
        })
    }

    fn show(&self, value: &usize) -> String {
        (value / self.bytes_per_unit).to_string()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        raw_number(text)
    }
}

/// A finite number within bounds, both included.
pub(crate) struct Number {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl ValueKind for Number {
    type Value = f64;

    fn expects(&self) -> String {
        format!("a number from {} to {}", self.min, self.max)
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": json_number(self.min), "maximum": json_number(self.max) })
    }

    fn parse(&self, value: &Value) -> Result<f64, Vec<ValueError>> {
        let number = number(value).ok_or_else(|| self.wrong_type(value))?;
        // NaN is in no range.
        if (self.min..=self.max).contains(&number) { Ok(number) } else { Err(out_of_range(self, value)) }
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        raw_number(text)
    }
}

/// A length of time, both bounds included, in the unit that the key's name ends with.
pub(crate) struct TimeSpan {
    unit: &'static str,
    nanoseconds_per_unit: f64,
    min: f64,
    max: f64,
}

impl TimeSpan {
    pub(crate) const fn seconds(min: f64, max: f64) -> Self {
        Self { unit: "seconds", nanoseconds_per_unit: 1e9, min, max }
    }

    pub(crate) const fn milliseconds(min: f64, max: f64) -> Self {
        Self { unit: "milliseconds", nanoseconds_per_unit: 1e6, min, max }
    }
}

impl ValueKind for TimeSpan {
    type Value = Duration;

    fn expects(&self) -> String {
        format!("a number from {} to {} {}", self.min, self.max, self.unit)
    }

    fn schema(&self) -> Json {
        let (min, max) = (json_number(self.min), json_number(self.max));
        json!({ "type": "number", "minimum": min, "maximum": max, "x-unit": self.unit })
    }

    fn parse(&self, value: &Value) -> Result<Duration, Vec<ValueError>> {
        let number = number(value).ok_or_else(|| self.wrong_type(value))?;
        if !(self.min..=self.max).contains(&number) {
            return Err(out_of_range(self, value));
        }
        Duration::try_from_secs_f64(number * (self.nanoseconds_per_unit / 1e9)).map_err(|_| out_of_range(self, value))
    }

    fn show(&self, value: &Duration) -> String {
        (value.as_nanos() as f64 / self.nanoseconds_per_unit).to_string()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        raw_number(text)
    }
}

/// A kind whose 0 switches something off; `meaning` ends the phrase "or 0 …".
pub(crate) struct ZeroIsOff<K> {
    pub(crate) kind: K,
    pub(crate) meaning: &'static str,
}

impl<K: ValueKind> ValueKind for ZeroIsOff<K> {
    type Value = Option<K::Value>;

    fn expects(&self) -> String {
        format!("{}, or 0 {}", self.kind.expects(), self.meaning)
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": 0 }, self.kind.schema()] })
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<ValueError>> {
        if number(value) == Some(0.0) {
            return Ok(None);
        }
        let with_zero = |errors: Vec<ValueError>| {
            let remedy = format!("Use {}.", self.expects());
            errors.into_iter().map(|error| ValueError { remedy: remedy.clone(), ..error }).collect()
        };
        self.kind.parse(value).map(Some).map_err(with_zero)
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "0".into(), |value| self.kind.show(value))
    }

    fn raw_from_text(&self, text: &str) -> Value {
        self.kind.raw_from_text(text)
    }
}

/// A number, or the word `max`, which is `None`: as fast as possible.
pub(crate) struct OrMax(pub(crate) Number);

impl ValueKind for OrMax {
    type Value = Option<f64>;

    fn expects(&self) -> String {
        format!("{}, or \"max\"", self.0.expects())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": "max" }, self.0.schema()] })
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<ValueError>> {
        match value {
            Value::String(_, word) if word == "max" => Ok(None),
            Value::Num(..) => self.0.parse(value).map(Some).map_err(|_| out_of_range(self, value)),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        value.map_or_else(|| "\"max\"".into(), |number| number.to_string())
    }

    fn raw_from_text(&self, text: &str) -> Value {
        raw_number(text)
    }
}

fn parse_integer<K: ValueKind>(
    kind: &K,
    value: &Value,
    in_range: impl Fn(i64) -> Option<K::Value>,
) -> Result<K::Value, Vec<ValueError>> {
    let Value::Num(_, number) = value else { return Err(kind.wrong_type(value)) };
    match integer(*number) {
        Some(number) => in_range(number).ok_or_else(|| out_of_range(kind, value)),
        // Too large for an integer, so it was read as a float.
        None if !number.to_f64().is_some_and(|number| number.abs() < i64::MAX as f64) => Err(out_of_range(kind, value)),
        None => Err(kind.invalid(value, "This is not an integer.")),
    }
}

fn out_of_range(kind: &impl ValueKind, value: &Value) -> Vec<ValueError> {
    let sentence = match number(value) {
        Some(number) if number.is_nan() => "This is not a number.",
        Some(number) if number.is_infinite() => "This is infinite.",
        Some(number) if number < 0.0 => "This is negative.",
        _ => "This is out of range.",
    };
    kind.invalid(value, sentence)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        // Past 2^53 an integer loses its last digits here; every bound is far below.
        Value::Num(_, Num::I64(number)) => Some(*number as f64),
        Value::Num(_, number) => number.to_f64(),
        _ => None,
    }
}

/// A bound as people write it: `1`, not `1.0`.
fn json_number(number: f64) -> Json {
    if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
}

pub(super) fn raw_number(text: &str) -> Value {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    text.parse::<f64>().map_or_else(|_| Value::from(text), Value::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sentence<K: ValueKind>(kind: &K, text: &str) -> String {
        match kind.parse(&kind.raw_from_text(text)) {
            Ok(value) => kind.show(&value),
            Err(errors) => errors[0].sentence.clone(),
        }
    }

    #[test]
    fn invalid_numbers_are_rejected_with_a_reason() {
        let kind = Number { min: 0.1, max: 10.0 };
        for (text, expected) in [
            ("5", "5"),
            (" 0.5 ", "0.5"),
            ("1e1", "10"),
            ("NaN", "This is not a number."),
            ("inf", "This is infinite."),
            ("1e999", "This is infinite."),
            ("-1", "This is negative."),
            ("0", "This is out of range."),
            ("fast", "This is a string."),
        ] {
            assert_eq!(sentence(&kind, text), expected, "{text}");
        }
    }

    #[test]
    fn an_integer_has_no_fraction_and_fits() {
        let kind = Integer { min: 1_u32, max: 500 };
        for (text, expected) in [
            ("500", "500"),
            ("501", "This is out of range."),
            ("-3", "This is negative."),
            ("4294967297", "This is out of range."),
            ("99999999999999999999", "This is out of range."),
            ("1.5", "This is not an integer."),
        ] {
            assert_eq!(sentence(&kind, text), expected, "{text}");
        }
    }

    #[test]
    fn times_and_sizes_are_in_the_unit_of_their_key() {
        let kind = TimeSpan::milliseconds(0.0, 60_000.0);
        assert_eq!(kind.parse(&Value::from(1500_i64)).unwrap(), Duration::from_millis(1500));
        assert_eq!(kind.show(&Duration::from_millis(1500)), "1500");
        assert!(TimeSpan::seconds(1.0, 60.0).parse(&Value::from(0.5)).is_err());
        assert_eq!(Size::kib(1, 8).parse(&Value::from(8_i64)).unwrap(), 8192);
        assert_eq!(Size::mib(1, 8).show(&(3 << 20)), "3");
        assert!(Size::mib(1, 8).parse(&Value::from(9_i64)).is_err());
    }

    #[test]
    fn zero_switches_off_only_where_it_may() {
        let kind = ZeroIsOff { kind: TimeSpan::seconds(1.0, 60.0), meaning: "to switch it off" };
        assert_eq!(kind.parse(&Value::from(0_i64)).unwrap(), None);
        assert_eq!(kind.parse(&Value::from(60_i64)).unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(
            kind.parse(&Value::from(-1_i64)).unwrap_err()[0].remedy,
            "Use a number from 1 to 60 seconds, or 0 to switch it off."
        );
    }
}
