use std::fmt::Display;
use std::time::Duration;

use figment::value::{Num, Value};

use super::{Form, Refusal, whole};

/// A whole number within bounds, both included.
pub(crate) struct Whole<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

impl<T: Copy + Display + TryFrom<i64> + PartialOrd + 'static> Form for Whole<T> {
    type Value = T;

    fn expects(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn parse(&self, value: &Value) -> Result<T, Vec<Refusal>> {
        let Value::Num(_, number) = value else { return Err(vec![Refusal::kind(self, value)]) };
        let bounds = |number: T| self.min <= number && number <= self.max;
        match whole(*number) {
            Some(number) => T::try_from(number).ok().filter(|number| bounds(*number)).ok_or_else(|| out(self, value)),
            // Too large for an integer, so it was read as a float.
            None if !number.to_f64().is_some_and(|number| number.abs() < i64::MAX as f64) => Err(out(self, value)),
            None => Err(vec![Refusal::new(value, "This is not a whole number.", format!("Give {}.", self.expects()))]),
        }
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }

    fn lift(&self, text: &str) -> Value {
        lift_number(text)
    }
}

/// A finite number within bounds, both included.
pub(crate) struct Number {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Form for Number {
    type Value = f64;

    fn expects(&self) -> String {
        format!("a number from {} to {}", self.min, self.max)
    }

    fn parse(&self, value: &Value) -> Result<f64, Vec<Refusal>> {
        let number = number(value).ok_or_else(|| vec![Refusal::kind(self, value)])?;
        // NaN is in no range.
        if (self.min..=self.max).contains(&number) { Ok(number) } else { Err(out(self, value)) }
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }

    fn lift(&self, text: &str) -> Value {
        lift_number(text)
    }
}

/// A length of time, both bounds included, in the unit that the key's name ends with.
pub(crate) struct Span {
    unit: Unit,
    min: f64,
    max: f64,
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

impl Span {
    pub(crate) const fn seconds(min: f64, max: f64) -> Self {
        Self { unit: Unit::Seconds, min, max }
    }

    pub(crate) const fn milliseconds(min: f64, max: f64) -> Self {
        Self { unit: Unit::Milliseconds, min, max }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
        }
    }

    fn nanoseconds(self) -> f64 {
        match self {
            Self::Seconds => 1e9,
            Self::Milliseconds => 1e6,
        }
    }
}

impl Form for Span {
    type Value = Duration;

    fn expects(&self) -> String {
        format!("a number of {} from {} to {}", self.unit.name(), self.min, self.max)
    }

    fn parse(&self, value: &Value) -> Result<Duration, Vec<Refusal>> {
        let number = number(value).ok_or_else(|| vec![Refusal::kind(self, value)])?;
        if !(self.min..=self.max).contains(&number) {
            return Err(out(self, value));
        }
        Duration::try_from_secs_f64(number * (self.unit.nanoseconds() / 1e9)).map_err(|_| out(self, value))
    }

    fn show(&self, value: &Duration) -> String {
        (value.as_nanos() as f64 / self.unit.nanoseconds()).to_string()
    }

    fn lift(&self, text: &str) -> Value {
        lift_number(text)
    }
}

/// A form whose 0 means that the thing is off; `meaning` ends the sentence "or 0: …".
pub(crate) struct ZeroIsOff<F> {
    pub(crate) form: F,
    pub(crate) meaning: &'static str,
}

impl<F: Form> Form for ZeroIsOff<F> {
    type Value = Option<F::Value>;

    fn expects(&self) -> String {
        format!("{}, or 0: {}", self.form.expects(), self.meaning)
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<Refusal>> {
        if number(value) == Some(0.0) {
            return Ok(None);
        }
        let refused = |refusals: Vec<Refusal>| {
            let remedy = format!("Give {}.", self.expects());
            refusals.into_iter().map(|refusal| Refusal { remedy: remedy.clone(), ..refusal }).collect()
        };
        self.form.parse(value).map(Some).map_err(refused)
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "0".into(), |value| self.form.show(value))
    }

    fn lift(&self, text: &str) -> Value {
        self.form.lift(text)
    }
}

/// A number, or the word `max`, which is `None`: as fast as it goes.
pub(crate) struct OrMax(pub(crate) Number);

impl Form for OrMax {
    type Value = Option<f64>;

    fn expects(&self) -> String {
        format!("{}, or \"max\"", self.0.expects())
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<Refusal>> {
        match value {
            Value::String(_, word) if word == "max" => Ok(None),
            Value::Num(..) if number(value).is_some_and(|number| (self.0.min..=self.0.max).contains(&number)) => {
                self.0.parse(value).map(Some)
            }
            Value::Num(..) => Err(out(self, value)),
            _ => Err(vec![Refusal::kind(self, value)]),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        value.map_or_else(|| "\"max\"".into(), |number| number.to_string())
    }

    fn lift(&self, text: &str) -> Value {
        lift_number(text)
    }
}

/// The refusal of a number that no bound allows.
fn out(form: &impl Form, value: &Value) -> Vec<Refusal> {
    let sentence = match number(value) {
        Some(number) if number.is_nan() => "This is not a number.",
        Some(number) if number.is_infinite() => "This is not finite.",
        Some(number) if number < 0.0 => "This is below zero.",
        _ => "This is out of range.",
    };
    vec![Refusal::new(value, sentence, format!("Give {}.", form.expects()))]
}

fn number(value: &Value) -> Option<f64> {
    match value {
        // Past 2^53 a whole number loses its last digits here; every bound is far below.
        Value::Num(_, Num::I64(number)) => Some(*number as f64),
        Value::Num(_, number) => number.to_f64(),
        _ => None,
    }
}

pub(super) fn lift_number(text: &str) -> Value {
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

    fn sentence<F: Form>(form: &F, text: &str) -> String {
        match form.parse(&form.lift(text)) {
            Ok(value) => form.show(&value),
            Err(refusals) => refusals[0].sentence.clone(),
        }
    }

    #[test]
    fn numbers_that_are_none_get_a_sentence_each() {
        let form = Number { min: 0.1, max: 10.0 };
        for (text, expected) in [
            ("5", "5"),
            (" 0.5 ", "0.5"),
            ("1e1", "10"),
            ("NaN", "This is not a number."),
            ("inf", "This is not finite."),
            ("1e999", "This is not finite."),
            ("-1", "This is below zero."),
            ("0", "This is out of range."),
            ("fast", "This is a text."),
        ] {
            assert_eq!(sentence(&form, text), expected, "{text}");
        }
    }

    #[test]
    fn a_whole_number_has_no_fraction_and_fits() {
        let form = Whole { min: 1_u32, max: 500 };
        for (text, expected) in [
            ("500", "500"),
            ("501", "This is out of range."),
            ("-3", "This is below zero."),
            ("4294967297", "This is out of range."),
            ("99999999999999999999", "This is out of range."),
            ("1.5", "This is not a whole number."),
        ] {
            assert_eq!(sentence(&form, text), expected, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_has_the_unit_of_its_key() {
        let form = Span::milliseconds(0.0, 60_000.0);
        assert_eq!(form.parse(&Value::from(1500_i64)).unwrap(), Duration::from_millis(1500));
        assert_eq!(form.show(&Duration::from_millis(1500)), "1500");
        assert!(Span::seconds(1.0, 60.0).parse(&Value::from(0.5)).is_err());
    }

    #[test]
    fn zero_turns_off_only_where_it_may() {
        let form = ZeroIsOff { form: Span::seconds(1.0, 60.0), meaning: "off" };
        assert_eq!(form.parse(&Value::from(0_i64)).unwrap(), None);
        assert_eq!(form.parse(&Value::from(60_i64)).unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(
            form.parse(&Value::from(-1_i64)).unwrap_err()[0].remedy,
            "Give a number of seconds from 1 to 60, or 0: off."
        );
    }
}
