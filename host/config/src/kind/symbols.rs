use std::collections::HashSet;

use figment::value::Value;
use quotegate_market::{Symbol, SymbolError};
use serde_json::{Value as Json, json};

use super::collections::all;
use super::number::raw_number;
use super::{Integer, ValueError, ValueKind};
use crate::{SimSymbols, SymbolChoice};

const REMEDY: &str =
    "Use symbols such as \"SPY\", \"BRK.B\", or \"BTC/USD\"; in an environment variable, separate them with commas.";

/// A list of symbols, or `["*"]` alone for every symbol. Lowercase becomes uppercase, and a symbol that is listed twice is
/// kept once, so that nobody pays for it twice.
pub(crate) struct Symbols;

impl ValueKind for Symbols {
    type Value = SymbolChoice;

    fn expects(&self) -> String {
        "a list of symbols, or [\"*\"] for every symbol".into()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": ["*"] }, list_schema(), { "type": "string", "pattern": r"[^\s,]" }] })
    }

    fn parse(&self, value: &Value) -> Result<SymbolChoice, Vec<ValueError>> {
        let list = match value {
            Value::Array(_, elements) => elements,
            Value::String(_, text) => return self.parse(&split(text)),
            _ => return Err(self.wrong_type(value)),
        };
        let is_star = |element: &Value| matches!(element, Value::String(_, text) if text == "*");
        if list.len() == 1 && is_star(&list[0]) {
            return Ok(SymbolChoice::All);
        }
        if list.is_empty() {
            return Err(self.invalid(value, "The list is empty."));
        }
        if let Some(star) = list.iter().position(is_star) {
            let error = ValueError::new(
                value,
                "\"*\" already means every symbol, so it cannot be combined with others.",
                "Use \"*\" alone, or a list of symbols without it.",
            );
            return Err(vec![ValueError { index: Some(star), ..error }]);
        }
        symbol_list(list).map(SymbolChoice::List)
    }

    fn show(&self, value: &SymbolChoice) -> String {
        match value {
            SymbolChoice::All => "[\"*\"]".into(),
            SymbolChoice::List(symbols) => show_list(symbols),
        }
    }

    fn raw_from_text(&self, text: &str) -> Value {
        split(text)
    }
}

/// A number of made-up symbols, or a list of symbols.
pub(crate) struct CountOrSymbols(pub(crate) Integer<u32>);

impl ValueKind for CountOrSymbols {
    type Value = SimSymbols;

    fn expects(&self) -> String {
        format!("{}, or a list of symbols", self.0.expects())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), list_schema(), { "type": "string", "pattern": r"[^\s,]" }] })
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<ValueError>> {
        match value {
            Value::Num(..) => self.0.parse(value).map(SimSymbols::Count),
            Value::Array(_, elements) if !elements.is_empty() => symbol_list(elements).map(SimSymbols::List),
            Value::String(_, text) if !text.trim().is_empty() => self.parse(&split(text)),
            _ => Err(self.wrong_type(value)),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        match value {
            SimSymbols::Count(count) => count.to_string(),
            SimSymbols::List(symbols) => show_list(symbols),
        }
    }

    fn raw_from_text(&self, text: &str) -> Value {
        match raw_number(text) {
            Value::String(..) => split(text),
            number => number,
        }
    }
}

/// Commas and whitespace both separate.
fn split(text: &str) -> Value {
    let names = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty());
    Value::from(names.map(str::to_ascii_uppercase).collect::<Vec<_>>())
}

fn list_schema() -> Json {
    let pattern = format!("^[A-Za-z0-9./_-]{{1,{}}}$", Symbol::MAX_LEN);
    json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": pattern } })
}

fn symbol_list(elements: &[Value]) -> Result<Vec<Symbol>, Vec<ValueError>> {
    let mut seen = HashSet::new();
    let symbols = all(elements, |element| symbol(element).map_err(|error| vec![error]))?;
    Ok(symbols.into_iter().filter(|symbol| seen.insert(symbol.clone())).collect())
}

fn symbol(element: &Value) -> Result<Symbol, ValueError> {
    let Value::String(_, name) = element else {
        return Err(ValueError::new(element, "A symbol must be a string.", REMEDY));
    };
    Symbol::new(&name.to_ascii_uppercase()).map_err(|problem| {
        let sentence = match problem {
            SymbolError::Character(wrong) => {
                let position = name.chars().take_while(|c| c.to_ascii_uppercase() != wrong).count() + 1;
                format!("Character {position} of this symbol is {wrong:?}; letters, digits and . / - _ are allowed.")
            }
            problem => format!("This is not a symbol: {problem}."),
        };
        ValueError::new(element, sentence, REMEDY)
    })
}

fn show_list(symbols: &[Symbol]) -> String {
    format!("[{}]", symbols.iter().map(|symbol| format!("{symbol:?}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_is_split_at_commas_and_whitespace_uppercased_and_deduplicated() {
        let choice = Symbols.parse(&Symbols.raw_from_text(" spy,AAPL  SPY,,btc/usd ")).unwrap();
        assert_eq!(Symbols.show(&choice), r#"["SPY", "AAPL", "BTC/USD"]"#);
        assert_eq!(Symbols.parse(&Symbols.raw_from_text("*")).unwrap(), SymbolChoice::All);
    }

    #[test]
    fn every_bad_symbol_is_named_with_its_index_and_character() {
        let errors = Symbols.parse(&Value::from(vec!["SPY", "A APL", "b$"])).unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| (error.index, error.sentence.as_str())).collect();
        assert_eq!(found[0].0, Some(1));
        assert!(found[0].1.starts_with("Character 2 of this symbol is ' '"), "{}", found[0].1);
        assert_eq!(found[1].0, Some(2));
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(Symbols.parse(&Value::from(vec!["SPY", "*"])).unwrap_err()[0].index, Some(1));
        assert!(Symbols.parse(&Symbols.raw_from_text(" , ")).is_err());
    }
}
