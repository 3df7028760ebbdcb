use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use quotegate_market::{Symbol, SymbolError};

use crate::{Fault, Scenario};

/// What the simulator does.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// Which symbols there are. A client may also subscribe to others, which are then never quoted.
    pub universe: Universe,
    /// How many quotes a second, over all symbols that a client has subscribed to.
    pub rate: Rate,
    /// Tell this story instead, from its beginning to each client that subscribes and again when it ends, as though it
    /// happened now; universe and rate are the story's own.
    pub scenario: Option<Scenario>,
    /// What to do wrong.
    pub fault: Option<Fault>,
    /// The same seed gives the same prices.
    pub seed: u64,
    /// So many quotes in every frame; `None`: as many as have come due, few when quiet and more when busy.
    pub quotes_per_frame: Option<usize>,
    /// The only key pair that is accepted; `None`: any.
    pub keys: Option<(String, String)>,
    /// Most symbols a client may subscribe to (405).
    pub symbol_limit: Option<usize>,
    /// Most authenticated connections a path (406). Alpaca's plans allow one.
    pub connection_limit: usize,
    /// How long a client may take to authenticate (404).
    pub auth_timeout: Duration,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            universe: Universe::Count(100),
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

/// The symbols that are quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Universe {
    /// So many, the well-known ones first.
    Count(u32),
    /// These.
    List(Vec<Symbol>),
}

/// Why a text names no [`Universe`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// Too few or too many.
    #[error("{0} symbols are not possible: choose 1 to {max}", max = Universe::MAX)]
    Count(u32),
    /// A name that is no symbol.
    #[error("{name:?} is not a symbol: {problem}; write a number, or names separated by commas")]
    Symbol {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: SymbolError,
    },
}

const WELL_KNOWN: [&str; 20] = [
    "SPY", "AAPL", "MSFT", "NVDA", "TSLA", "QQQ", "AMZN", "GOOGL", "META", "AMD", "IWM", "JPM", "XOM", "BRK.B", "KO",
    "WMT", "DIS", "BA", "INTC", "T",
];

impl Universe {
    /// More than all listed US symbols.
    pub const MAX: u32 = 20_000;

    /// The symbols, in an order from the busiest to the quietest.
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        match self {
            Self::List(symbols) => symbols.clone(),
            Self::Count(count) => (0..*count).filter_map(|at| Symbol::new(&name(at)).ok()).collect(),
        }
    }
}

/// The well-known names, then four letters and a Z: none of those is a well-known one.
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
    type Err = UniverseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(count) = text.trim().parse() {
            return if (1..=Self::MAX).contains(&count) {
                Ok(Self::Count(count))
            } else {
                Err(UniverseError::Count(count))
            };
        }
        let symbol =
            |name: &str| Symbol::new(name).map_err(|problem| UniverseError::Symbol { name: name.to_owned(), problem });
        text.split(',').map(|name| symbol(name.trim())).collect::<Result<_, _>>().map(Self::List)
    }
}

/// How fast quotes come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many a second; none at all with 0.
    PerSecond(f64),
    /// As fast as the client reads.
    Max,
}

/// A text that is no [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: write quotes a second, as 1000, or max")]
pub struct UnknownRate(String);

impl FromStr for Rate {
    type Err = UnknownRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
        rate.map(Self::PerSecond).ok_or_else(|| UnknownRate(text.to_owned()))
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
    fn a_number_or_a_list_and_nothing_else() {
        assert_eq!("7".parse(), Ok(Universe::Count(7)));
        let list = ["SPY", "BTC/USD"].map(|name| Symbol::new(name).unwrap());
        assert_eq!("SPY, BTC/USD".parse(), Ok(Universe::List(list.to_vec())));
        assert_eq!("0".parse::<Universe>(), Err(UniverseError::Count(0)));
        assert!("S PY".parse::<Universe>().is_err());
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert!("-1".parse::<Rate>().is_err() && "NaN".parse::<Rate>().is_err());
    }
}
