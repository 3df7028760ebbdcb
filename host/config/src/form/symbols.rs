use std::collections::HashSet;

use figment::value::Value;
use quotegate_market::{Symbol, SymbolProblem};

use super::number::lift_number;
use super::{Form, Refusal, Whole};
use crate::SymbolChoice;

const REMEDY: &str = "Give symbols such as \"SPY\", \"BRK.B\" or \"BTC/USD\"; in the environment, with commas between.";

/// A list of symbols, or `["*"]` alone for every symbol. Capitals are made of small letters and a symbol that comes
/// twice is kept once, so that what is written twice is not paid for twice.
pub(crate) struct Symbols;

impl Form for Symbols {
    type Value = SymbolChoice;

    fn expects(&self) -> String {
        "a list of symbols, or [\"*\"] for every symbol".into()
    }

    fn parse(&self, value: &Value) -> Result<SymbolChoice, Vec<Refusal>> {
        let list = match value {
            Value::Array(_, elements) => elements,
            Value::String(_, text) => return self.parse(&split(text)),
            _ => return Err(vec![Refusal::kind(self, value)]),
        };
        let is_star = |element: &Value| matches!(element, Value::String(_, text) if text == "*");
        if list.len() == 1 && is_star(&list[0]) {
            return Ok(SymbolChoice::All);
        }
        if list.is_empty() {
            return Err(vec![Refusal::new(value, "The list is empty.", format!("Give {}.", self.expects()))]);
        }
        if let Some(star) = list.iter().position(is_star) {
            let refusal = Refusal::new(
                value,
                "\"*\" is every symbol already, so other names beside it mean nothing.",
                "Give \"*\" alone, or names without it.",
            );
            return Err(vec![Refusal { index: Some(star), ..refusal }]);
        }
        symbol_list(list).map(SymbolChoice::List)
    }

    fn show(&self, value: &SymbolChoice) -> String {
        match value {
            SymbolChoice::All => "[\"*\"]".into(),
            SymbolChoice::List(symbols) => show_list(symbols),
        }
    }

    fn lift(&self, text: &str) -> Value {
        split(text)
    }
}

/// How many made-up symbols, or which. `Err` holds the list.
pub(crate) struct CountOrSymbols(pub(crate) Whole<u32>);

impl Form for CountOrSymbols {
    type Value = Result<u32, Vec<Symbol>>;

    fn expects(&self) -> String {
        format!("{}, or a list of symbols", self.0.expects())
    }

    fn parse(&self, value: &Value) -> Result<Self::Value, Vec<Refusal>> {
        match value {
            Value::Num(..) => self.0.parse(value).map(Ok),
            Value::Array(_, elements) if !elements.is_empty() => symbol_list(elements).map(Err),
            Value::String(_, text) if !text.trim().is_empty() => self.parse(&split(text)),
            _ => Err(vec![Refusal::kind(self, value)]),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        match value {
            Ok(count) => count.to_string(),
            Err(symbols) => show_list(symbols),
        }
    }

    fn lift(&self, text: &str) -> Value {
        match lift_number(text) {
            Value::String(..) => split(text),
            number => number,
        }
    }
}

/// Commas and blanks both separate.
fn split(text: &str) -> Value {
    let names = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty());
    Value::from(names.map(str::to_ascii_uppercase).collect::<Vec<_>>())
}

fn symbol_list(elements: &[Value]) -> Result<Vec<Symbol>, Vec<Refusal>> {
    let (mut symbols, mut refusals, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, element) in elements.iter().enumerate() {
        match symbol(element) {
            Ok(symbol) if seen.insert(symbol.clone()) => symbols.push(symbol),
            Ok(_) => {}
            Err(refusal) => refusals.push(Refusal { index: Some(index), ..refusal }),
        }
    }
    if refusals.is_empty() { Ok(symbols) } else { Err(refusals) }
}

fn symbol(element: &Value) -> Result<Symbol, Refusal> {
    let Value::String(_, name) = element else {
        return Err(Refusal::new(element, "This is no text, so it cannot be a symbol.", REMEDY));
    };
    Symbol::new(&name.to_ascii_uppercase()).map_err(|problem| {
        let sentence = match problem {
            SymbolProblem::Character(wrong) => {
                let position = name.chars().take_while(|c| c.to_ascii_uppercase() != wrong).count() + 1;
                format!("Character {position} of this symbol is {wrong:?}; letters, digits and . / - _ are allowed.")
            }
            problem => format!("This cannot be: {problem}."),
        };
        Refusal::new(element, sentence, REMEDY)
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
    fn text_is_split_at_commas_and_blanks_with_capitals_and_no_doubles() {
        let choice = Symbols.parse(&Symbols.lift(" spy,AAPL  SPY,,btc/usd ")).unwrap();
        assert_eq!(Symbols.show(&choice), r#"["SPY", "AAPL", "BTC/USD"]"#);
        assert_eq!(Symbols.parse(&Symbols.lift("*")).unwrap(), SymbolChoice::All);
    }

    #[test]
    fn every_bad_symbol_is_named_with_its_index_and_character() {
        let refusals = Symbols.parse(&Value::from(vec!["SPY", "A APL", "b$"])).unwrap_err();
        let found: Vec<_> = refusals.iter().map(|refusal| (refusal.index, refusal.sentence.as_str())).collect();
        assert_eq!(found[0].0, Some(1));
        assert!(found[0].1.starts_with("Character 2 of this symbol is ' '"), "{}", found[0].1);
        assert_eq!(found[1].0, Some(2));
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(Symbols.parse(&Value::from(vec!["SPY", "*"])).unwrap_err()[0].index, Some(1));
        assert!(Symbols.parse(&Symbols.lift(" , ")).is_err());
    }
}
