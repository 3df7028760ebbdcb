use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use quotegate_market::{Symbol, SymbolError};

use crate::{Fault, Scenario};

/// Settings of the simulator.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// The symbols to quote. A client may subscribe to others, which are never quoted unless `any_symbol` is set.
    pub universe: Universe,
    /// Quote every symbol that a client subscribes to by name.
    pub any_symbol: bool,
    /// Quotes per second, over all symbols that a client is subscribed to.
    pub rate: Rate,
    /// Play this scenario instead, with its own symbols and rate. It starts when a client subscribes, repeats, and has
    /// current times.
    pub scenario: Option<Scenario>,
    /// A fault to inject.
    pub fault: Option<Fault>,
    /// The same seed gives the same prices.
    pub seed: u64,
    /// Quotes per frame; `None`: as many as are due.
    pub quotes_per_frame: Option<usize>,
    /// The only key pair to accept; `None`: any.
    pub keys: Option<(String, String)>,
    /// Maximum symbols per client (405).
    pub symbol_limit: Option<usize>,
    /// Maximum authenticated connections per path (406). Alpaca's plans allow one.
    pub connection_limit: usize,
    /// How long a client may take to authenticate (404).
    pub auth_timeout: Duration,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            universe: Universe::Count(100),
            any_symbol: false,
            rate: Rate::PerSecond(1000.0),
            scenario: None,
            fault: None,
            seed: 1,
            quotes_per_frame: None,
            keys: None,
            symbol_limit: None,
            connection_limit: 1,
            auth_timeout: Duration::from_secs(10),
        }
    }
}

impl SimSettings {
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        self.scenario.map_or_else(|| self.universe.symbols(), Scenario::symbols)
    }
}

/// The symbols to quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Universe {
    /// This many, well-known ones first.
    Count(u32),
    /// These.
    List(Vec<Symbol>),
}

/// Why a string is not a [`Universe`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUniverseError {
    /// Too few or too many.
    #[error("the number of symbols must be 1 to {max}, not {0}", max = Universe::MAX)]
    Count(u32),
    /// A name is not a symbol.
    #[error("{0:?} is not a symbol: {1}; write a number, or names separated by commas")]
    Symbol(String, SymbolError),
}

const WELL_KNOWN: [&str; 20] = [
    "SPY", "AAPL", "MSFT", "NVDA", "TSLA", "QQQ", "AMZN", "GOOGL", "META", "AMD", "IWM", "JPM", "XOM", "BRK.B", "KO",
    "WMT", "DIS", "BA", "INTC", "T",
];

impl Universe {
    /// More than the number of listed US symbols.
    pub const MAX: u32 = 20_000;

    /// The symbols, busiest first.
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        match self {
            Self::List(symbols) => symbols.clone(),
            Self::Count(count) => (0..*count).filter_map(|at| Symbol::new(&name(at)).ok()).collect(),
        }
    }
}

/// The well-known names, then four letters and a Z, which never match a well-known name.
fn name(at: u32) -> String {
    if let Some(name) = WELL_KNOWN.get(at as usize) {
        return (*name).to_owned();
    }
    let mut rest = at - WELL_KNOWN.len() as u32;
    let mut name = String::new();
    for _ in 0..4 {
        let _ = name.write_char(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    name + "Z"
}

impl FromStr for Universe {
    type Err = ParseUniverseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(count) = text.trim().parse() {
            return if (1..=Self::MAX).contains(&count) {
                Ok(Self::Count(count))
            } else {
                Err(ParseUniverseError::Count(count))
            };
        }
        let symbol = |name: &str| Symbol::new(name).map_err(|error| ParseUniverseError::Symbol(name.to_owned(), error));
        text.split(',').map(|name| symbol(name.trim())).collect::<Result<_, _>>().map(Self::List)
    }
}

/// How fast to send quotes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Quotes per second; 0 sends only what a test pushes.
    PerSecond(f64),
    /// As fast as the client reads.
    Max,
}

/// The string is not a [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate: write quotes per second, above 0, such as 1000, or max")]
pub struct ParseRateError(String);

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        rate.map(Self::PerSecond).ok_or_else(|| ParseRateError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_start_with_the_well_known() {
        let symbols = Universe::Count(Universe::MAX).symbols();
        assert_eq!(symbols[0].as_str(), "SPY");
        assert_eq!(symbols.iter().collect::<BTreeSet<_>>().len(), Universe::MAX as usize);
    }

    #[test]
    fn a_universe_is_a_number_or_a_list() {
        assert_eq!("7".parse(), Ok(Universe::Count(7)));
        let list = ["SPY", "BTC/USD"].map(|name| Symbol::new(name).unwrap());
        assert_eq!("SPY, BTC/USD".parse(), Ok(Universe::List(list.to_vec())));
        assert_eq!("0".parse::<Universe>(), Err(ParseUniverseError::Count(0)));
        assert!("S PY".parse::<Universe>().is_err());
        assert_eq!("max".parse(), Ok(Rate::Max));
        for wrong in ["0", "-1", "NaN", "inf"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
