use figment::value::Value;

use super::{Form, Refusal};
use crate::problem::nearest;

/// One of a few words.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + 'static> Form for Choice<T> {
    type Value = T;

    fn expects(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".into(),
        }
    }

    fn parse(&self, value: &Value) -> Result<T, Vec<Refusal>> {
        let Value::String(_, word) = value else { return Err(vec![Refusal::kind(self, value)]) };
        if let Some((_, choice)) = self.0.iter().find(|(known, _)| known == word) {
            return Ok(*choice);
        }
        let near = nearest(word, self.0.iter().map(|(known, _)| *known));
        let hint = near.map_or_else(String::new, |near| format!("Did you mean {near:?}? "));
        Err(vec![Refusal::new(value, "This is not one of the choices.", format!("{hint}Give {}.", self.expects()))])
    }

    fn show(&self, value: &T) -> String {
        self.0.iter().find(|(_, choice)| choice == value).map_or_else(String::new, |(word, _)| format!("{word:?}"))
    }

    /// Capitals are common in the environment (`IEX`).
    fn lift(&self, text: &str) -> Value {
        Value::from(text.trim().to_ascii_lowercase())
    }
}

/// True or false.
pub(crate) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn expects(&self) -> String {
        "true or false".into()
    }

    fn parse(&self, value: &Value) -> Result<bool, Vec<Refusal>> {
        match value {
            Value::Bool(_, flag) => Ok(*flag),
            _ => Err(vec![Refusal::kind(self, value)]),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }

    fn lift(&self, text: &str) -> Value {
        flag_of(text).map_or_else(|| Value::from(text.trim()), Value::from)
    }
}

/// The words that people use for yes and no in an environment variable.
pub(crate) fn flag_of(text: &str) -> Option<bool> {
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
        let form = Choice(&[("iex", 1), ("sip", 2)]);
        assert_eq!(form.parse(&form.lift(" SIP ")).unwrap(), 2);
        assert_eq!(form.expects(), r#""iex" or "sip""#);
        assert_eq!(
            form.parse(&Value::from("sipp")).unwrap_err()[0].remedy,
            r#"Did you mean "sip"? Give "iex" or "sip"."#
        );
    }
}
