//! A spread guard with hysteresis: a symbol whose spread gets too wide is shut, and opens again only once its spread has been
//! narrow for some quotes in a row. With one limit for both, a spread that hovers around it would let every other quote
//! through, and a UI would flicker.
//!
//! A complete example: it keeps state per symbol, and reads whole columns for speed, because it sees every quote.

mod config;
mod gate;

use quotegate_plugin_sdk::host::{self, Level};
use quotegate_plugin_sdk::{Column, ColumnFilter, Columns, QuoteColumns, export_column_filter};

use config::{Config, Limits};
use gate::Gate;

/// Reasons are numbers from 1, in the order of [`ColumnFilter::REASONS`]; 0 keeps the quote.
const KEEP: u8 = 0;
const WIDE: u8 = 1;
const SHUT: u8 = 2;
const ONE_SIDED: u8 = 3;
const CROSSED: u8 = 4;

/// The plugin.
struct SpreadGuard {
    limits: Limits,
    /// By symbol number. A new instance starts with open gates, because the host may start one at any time.
    symbols: Vec<Symbol>,
    shut: u32,
}

struct Symbol {
    name: Box<str>,
    gate: Gate,
}

impl ColumnFilter for SpreadGuard {
    type Config = Config;
    const REASONS: &'static [&'static str] = &["wide", "shut", "one_sided", "crossed"];

    fn new(_tenant: &str, config: Config) -> Result<Self, String> {
        Ok(Self { limits: config.check()?, symbols: Vec::new(), shut: 0 })
    }

    /// The host skips columns that are not requested, which saves most of the cost of a call.
    fn columns(&self) -> Columns {
        Columns::default().with(&[Column::BidPrice, Column::AskPrice])
    }

    fn learn_symbol(&mut self, name: &str) {
        self.symbols.push(Symbol { name: name.into(), gate: Gate::Open });
    }

    fn judge(&mut self, quotes: &QuoteColumns) -> Vec<u8> {
        let prices = quotes.bid_price.iter().zip(&quotes.ask_price);
        quotes.symbol.iter().zip(prices).map(|(&symbol, (&bid, &ask))| self.judge_one(symbol, bid, ask)).collect()
    }
}

impl SpreadGuard {
    fn judge_one(&mut self, symbol: u32, bid: f64, ask: f64) -> u8 {
        // The host names every number before using it.
        let Some(symbol) = self.symbols.get_mut(symbol as usize) else { return SHUT };
        let (spread, odd) = if bid <= 0.0 || ask <= 0.0 {
            (None, ONE_SIDED)
        } else if bid > ask {
            (None, CROSSED)
        } else {
            (Some((ask - bid) / f64::midpoint(bid, ask) * 10_000.0), KEEP)
        };
        let before = symbol.gate;
        symbol.gate = before.after(spread, &self.limits);
        match (before.is_open(), symbol.gate.is_open()) {
            (true, false) => {
                self.shut += 1;
                host::count("shut", 1);
                host::log(Level::Info, &format!("{} is shut: {:.1} bps", symbol.name, spread.unwrap_or_default()));
                host::gauge("symbols_shut", f64::from(self.shut));
            }
            (false, true) => {
                self.shut -= 1;
                host::count("opened", 1);
                host::log(Level::Info, &format!("{} is open: {:.1} bps", symbol.name, spread.unwrap_or_default()));
                host::gauge("symbols_shut", f64::from(self.shut));
            }
            _ => {}
        }
        match spread {
            None => odd,
            Some(spread) if spread > self.limits.close_above_bps => WIDE,
            Some(_) if symbol.gate.is_open() => KEEP,
            Some(_) => SHUT,
        }
    }
}

export_column_filter!(SpreadGuard);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quotegate_plugin_sdk::QuoteView;
    use quotegate_plugin_sdk::testing::{Call, filter_columns, quote, recorded};

    use super::*;

    const CONFIG: &str = r#"{"close_above_bps": 30, "open_below_bps": 15, "open_after": 2}"#;

    /// A quote around 1,000 dollars with this spread.
    fn spread(symbol: &str, bps: f64) -> QuoteView<'_> {
        quote(symbol).bid(1000.0 - bps / 20.0).ask(1000.0 + bps / 20.0)
    }

    fn verdicts(quotes: &[QuoteView<'_>]) -> Vec<&'static str> {
        let codes = filter_columns::<SpreadGuard>(CONFIG, quotes).unwrap();
        codes.iter().map(|&code| if code == 0 { "kept" } else { SpreadGuard::REASONS[usize::from(code) - 1] }).collect()
    }

    #[test]
    fn a_shut_symbol_opens_only_after_quiet_quotes_in_a_row() {
        let spreads = [20.0, 40.0, 20.0, 10.0, 20.0, 10.0, 10.0, 20.0];
        let quotes = spreads.map(|bps| spread("SPY", bps));
        assert_eq!(verdicts(&quotes), ["kept", "wide", "shut", "shut", "shut", "shut", "kept", "kept"]);
    }

    #[test]
    fn symbols_do_not_shut_each_other() {
        let quotes = [spread("SPY", 40.0), spread("QQQ", 10.0), spread("SPY", 10.0), spread("QQQ", 10.0)];
        assert_eq!(verdicts(&quotes), ["wide", "kept", "shut", "kept"]);
    }

    #[test]
    fn a_quote_without_a_spread_is_refused_shuts_nothing_and_is_not_quiet() {
        let (one_sided, crossed) = (quote("SPY").bid(1000.0), quote("SPY").bid(1000.0).ask(999.0));
        let quiet = spread("SPY", 10.0);
        assert_eq!(
            verdicts(&[quiet, one_sided, quiet, crossed, quiet]),
            ["kept", "one_sided", "kept", "crossed", "kept"]
        );
        let shut = [spread("SPY", 40.0), quiet, crossed, quiet, quiet];
        assert_eq!(verdicts(&shut), ["wide", "shut", "crossed", "shut", "kept"]);
    }

    #[test]
    fn the_host_is_told_when_a_symbol_shuts_and_opens_and_not_at_every_quote() {
        recorded();
        let spreads = [40.0, 50.0, 10.0, 10.0, 10.0];
        verdicts(&spreads.map(|bps| spread("SPY", bps)));
        let told = recorded();
        let gauges = told.iter().filter(|call| matches!(call, Call::Gauge(..)));
        let gauge = |value| Call::Gauge("symbols_shut".into(), value);
        assert_eq!(gauges.collect::<Vec<_>>(), [&gauge(1.0), &gauge(0.0)]);
        assert!(told.contains(&Call::Log(Level::Info, "SPY is shut: 40.0 bps".into())), "{told:?}");
        assert!(told.contains(&Call::Count("shut".into(), 1)) && told.contains(&Call::Count("opened".into(), 1)));
    }
}
