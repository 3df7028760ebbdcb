use figment::value::Value;
use serde_json::{Value as Json, json};

use super::{ValueError, ValueKind};
use crate::error::nearest;

/// One of a few words.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + 'static> ValueKind for Choice<T> {
    type Value = T;

    fn expects(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        match words.as_slice() {
            [] => "nothing".into(),
            [only] => only.clone(),
            [first, second] => format!("{first} or {second}"),
            [rest @ .., last] => format!("{}, or {last}", rest.join(", ")),
        }
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }

    fn parse(&self, value: &Value) -> Result<T, Vec<ValueError>> {
        let Value::String(_, word) = value else { return Err(self.wrong_type(value)) };
        if let Some((_, choice)) = self.0.iter().find(|(known, _)| known == word) {
            return Ok(*choice);
        }
        let near = nearest(word, self.0.iter().map(|(known, _)| *known));
        let hint = near.map_or_else(String::new, |near| format!("Did you mean {near:?}? "));
        Err(vec![ValueError::new(value, "This is not one of the choices.", format!("{hint}Use {}.", self.expects()))])
    }

    fn show(&self, value: &T) -> String {
        self.0.iter().find(|(_, choice)| choice == value).map_or_else(String::new, |(word, _)| format!("{word:?}"))
    }

    /// Capitals are common in the environment (`IEX`).
    fn raw_from_text(&self, text: &str) -> Value {
        Value::from(text.trim().to_ascii_lowercase())
    }
}

/// True or false.
pub(crate) struct Bool;

impl ValueKind for Bool {
    type Value = bool;

    fn expects(&self) -> String {
        "true or false".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn parse(&self, value: &Value) -> Result<bool, Vec<ValueError>> {
        match value {
            Value::Bool(_, flag) => Ok(*flag),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        bool_from_text(text).map_or_else(|| Value::from(text.trim()), Value::from)
    }
}

/// The words that people use for true and false in an environment variable.
pub(crate) fn bool_from_text(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "" | "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn capitals_in_the_environment_are_the_same_choice() {
        let kind = Choice(&[("iex", 1), ("sip", 2)]);
        assert_eq!(kind.parse(&kind.raw_from_text(" SIP ")).unwrap(), 2);
        assert_eq!(
            kind.parse(&Value::from("sipp")).unwrap_err()[0].remedy,
            r#"Did you mean "sip"? Use "iex" or "sip"."#
        );
    }
}
