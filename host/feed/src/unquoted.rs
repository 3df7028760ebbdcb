//! Finds wanted symbols that never quote: misspelled ones, and those that the feed does not have. Pure: time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use quotegate_market::{Subscription, SymbolTable};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::subscription::Name;

/// A symbol should have quoted after this long in trading hours.
const EXPECTED_WITHIN: Duration = Duration::from_secs(60);

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(5);

/// Wanted symbols that have never quoted, although quotes were expected for a minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnquotedSymbols {
    /// How many there are.
    pub count: usize,
    /// The first of them in the order of the alphabet; at most [`UnquotedSymbols::KEPT`].
    pub symbols: Vec<UnquotedSymbol>,
}

impl UnquotedSymbols {
    /// How many are kept by name.
    pub const KEPT: usize = 20;
}

/// A wanted symbol that has never quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnquotedSymbol {
    /// Its name.
    pub symbol: String,
    /// A symbol that has quoted and is spelled almost like it.
    pub nearest: Option<String>,
}

impl std::fmt::Display for UnquotedSymbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.symbol)?;
        self.nearest.as_ref().map_or(Ok(()), |nearest| write!(f, " (did you mean {nearest}?)"))
    }
}

impl std::fmt::Display for UnquotedSymbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.symbols.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))?;
        match self.count.saturating_sub(names.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Watches the wanted symbols, over all connections.
#[derive(Debug)]
pub(crate) struct UnquotedWatch {
    /// The wanted symbols that have not quoted yet.
    silent: BTreeMap<Name, Silence>,
    checked: Instant,
}

/// How long quotes of a symbol were expected, and from when on more of that time counts.
#[derive(Debug)]
struct Silence {
    expected: Duration,
    counted: Instant,
}

impl UnquotedWatch {
    pub(crate) fn new(now: Instant) -> Self {
        Self { silent: BTreeMap::new(), checked: now }
    }

    /// Sets the wanted symbols, also after a reconnect. With the wildcard, none is expected in particular.
    pub(crate) fn want(&mut self, subscription: &Subscription, now: Instant) {
        let mut known = std::mem::take(&mut self.silent);
        if let Subscription::Symbols(symbols) = subscription {
            self.silent.extend(symbols.iter().map(|symbol| {
                let expected = known.remove(symbol.as_str()).map_or(Duration::ZERO, |silence| silence.expected);
                (symbol.as_str().into(), Silence { expected, counted: now })
            }));
        }
        self.checked = now;
    }

    /// When to call [`UnquotedWatch::check`] next; `None`: never.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        (!self.silent.is_empty()).then(|| self.checked + INTERVAL)
    }

    /// Counts the time since the last check if quotes are `expected`. Returns the symbols without quotes, and whether
    /// there are any that were not among them before.
    pub(crate) fn check(&mut self, expected: bool, quoted: &SymbolTable, now: Instant) -> (UnquotedSymbols, bool) {
        self.checked = now;
        let mut is_new = false;
        let mut unquoted = UnquotedSymbols::default();
        self.silent.retain(|name, silence| {
            if quoted.get(name.as_bytes()).is_some() {
                return false;
            }
            let before = silence.expected;
            if expected {
                silence.expected += now - silence.counted;
            }
            silence.counted = now;
            if silence.expected >= EXPECTED_WITHIN {
                is_new |= before < EXPECTED_WITHIN;
                unquoted.count += 1;
                if unquoted.symbols.len() < UnquotedSymbols::KEPT {
                    let nearest = nearest(name, quoted);
                    unquoted.symbols.push(UnquotedSymbol { symbol: name.to_string(), nearest });
                }
            }
            true
        });
        (unquoted, is_new)
    }
}

/// A known name that differs from `name` in its case, or in one letter that is too many, swapped, wrong or missing. Tried
/// one by one, because that takes as long with ten known names as with ten thousand.
fn nearest(name: &str, known: &SymbolTable) -> Option<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ./";
    let upper = name.to_ascii_uppercase().into_bytes();
    let changed = |at: usize, removed: usize, added: &[u8]| {
        let mut other = upper[..at].to_vec();
        other.extend_from_slice(added);
        other.extend_from_slice(&upper[at + removed..]);
        other
    };
    let places = || 0..upper.len();
    let cased = std::iter::once(upper.clone());
    let without = places().rev().map(|at| changed(at, 1, &[]));
    let swapped = (1..upper.len()).map(|at| changed(at - 1, 2, &[upper[at], upper[at - 1]]));
    let replaced = places().rev().flat_map(|at| LETTERS.iter().map(move |letter| (at, *letter)));
    let replaced = replaced.map(|(at, letter)| changed(at, 1, &[letter]));
    let extended = (0..=upper.len()).rev().flat_map(|at| LETTERS.iter().map(move |letter| (at, *letter)));
    let extended = extended.map(|(at, letter)| changed(at, 0, &[letter]));
    let mut candidates = cased.chain(without).chain(swapped).chain(replaced).chain(extended);
    let found = candidates.find_map(|candidate| known.get(&candidate))?;
    Some(known.symbol(found).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::Symbol;

    const SECOND: Duration = Duration::from_secs(1);

    fn wanted(names: &[&str]) -> Subscription {
        Subscription::Symbols(names.iter().map(|name| Symbol::new(name).unwrap()).collect())
    }

    fn quoted(names: &[&str]) -> SymbolTable {
        let mut table = SymbolTable::default();
        for name in names {
            table.intern(name.as_bytes());
        }
        table
    }

    fn names(unquoted: &UnquotedSymbols) -> Vec<&str> {
        unquoted.symbols.iter().map(|unquoted| unquoted.symbol.as_str()).collect()
    }

    #[test]
    fn a_symbol_is_reported_once_after_a_minute_in_trading_hours() {
        let start = Instant::now();
        let mut watch = UnquotedWatch::new(start);
        watch.want(&wanted(&["SPY", "TSLAA"]), start);
        let known = quoted(&["SPY", "TSLA"]);
        // The exchange is closed for an hour.
        assert_eq!(watch.check(false, &known, start + 3600 * SECOND).0.count, 0);
        assert_eq!(watch.check(true, &known, start + 3659 * SECOND).0.count, 0);
        let (unquoted, is_new) = watch.check(true, &known, start + 3660 * SECOND);
        assert_eq!((names(&unquoted), is_new), (vec!["TSLAA"], true));
        assert_eq!(unquoted.to_string(), "TSLAA (did you mean TSLA?)");
        let (unquoted, is_new) = watch.check(true, &known, start + 3665 * SECOND);
        assert_eq!((unquoted.count, is_new), (1, false));
        // It stays reported in the night.
        assert_eq!(watch.check(false, &known, start + 9000 * SECOND).0.count, 1);
    }

    #[test]
    fn a_quote_or_a_reload_ends_the_report() {
        let start = Instant::now();
        let mut watch = UnquotedWatch::new(start);
        watch.want(&wanted(&["A", "B", "C"]), start);
        assert_eq!(watch.check(true, &quoted(&[]), start + 60 * SECOND).0.count, 3);
        watch.want(&wanted(&["B", "C", "D"]), start + 61 * SECOND);
        let known = quoted(&["B"]);
        assert_eq!(names(&watch.check(true, &known, start + 62 * SECOND).0), ["C"]);
        assert_eq!(names(&watch.check(true, &known, start + 121 * SECOND).0), ["C", "D"]);
        watch.want(&Subscription::All, start + 122 * SECOND);
        assert_eq!((watch.check(true, &known, start + 999 * SECOND).0.count, watch.wake_at()), (0, None));
    }

    #[test]
    fn time_without_a_connection_does_not_count() {
        let start = Instant::now();
        let mut watch = UnquotedWatch::new(start);
        watch.want(&wanted(&["A"]), start);
        watch.check(true, &quoted(&[]), start + 40 * SECOND);
        watch.want(&wanted(&["A"]), start + 400 * SECOND);
        assert_eq!(watch.check(true, &quoted(&[]), start + 419 * SECOND).0.count, 0);
        assert_eq!(watch.check(true, &quoted(&[]), start + 420 * SECOND).0.count, 1);
    }

    #[test]
    fn only_so_many_are_named() {
        let many: Vec<String> = (0..50).map(|number| format!("S{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let start = Instant::now();
        let mut watch = UnquotedWatch::new(start);
        watch.want(&wanted(&many), start);
        let (unquoted, _) = watch.check(true, &quoted(&[]), start + 60 * SECOND);
        assert_eq!((unquoted.count, unquoted.symbols.len()), (50, UnquotedSymbols::KEPT));
        assert!(unquoted.to_string().ends_with(" and 30 more"), "{unquoted}");
    }

    #[test]
    fn the_nearest_symbol_differs_in_one_letter_or_in_case() {
        let known = quoted(&["TSLA", "AAPL", "BRK.B", "BTC/USD", "F"]);
        let of = |name: &str| nearest(name, &known).unwrap_or_default();
        assert_eq!(
            ["TSLAA", "APPL", "BRK-B", "BTCUSD", "tsla", "TLSA"].map(of),
            ["TSLA", "AAPL", "BRK.B", "BTC/USD", "TSLA", "TSLA"]
        );
        assert_eq!(of("NVDA"), "");
    }
}
