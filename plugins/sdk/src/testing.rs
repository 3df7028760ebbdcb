//! Quotes and a fake host for native tests.

use std::cell::RefCell;

use crate::config::in_words;
use crate::host::Level;
use crate::{ColumnFilter, Conditions, Document, Filter, Map, QuoteColumns, QuoteView, Rows, Verdict};

/// A quote of this symbol without bid or ask: `quote("SPY").bid(1.0).ask(1.1)`.
pub fn quote(symbol: &str) -> QuoteView<'_> {
    QuoteView { symbol, ..QuoteView::default() }
}

impl QuoteView<'_> {
    /// Sets the bid in USD.
    #[must_use]
    pub fn bid(mut self, price: f64) -> Self {
        self.bid_price = price;
        self
    }

    /// Sets the ask in USD.
    #[must_use]
    pub fn ask(mut self, price: f64) -> Self {
        self.ask_price = price;
        self
    }

    /// Sets the sizes at bid and ask.
    #[must_use]
    pub fn sizes(mut self, bid: f64, ask: f64) -> Self {
        (self.bid_size, self.ask_size) = (bid, ask);
        self
    }

    /// Sets the exchanges of bid and ask.
    #[must_use]
    pub fn exchanges(mut self, bid: char, ask: char) -> Self {
        (self.bid_exchange, self.ask_exchange) = (Some(bid), Some(ask));
        self
    }

    /// Sets the condition letters.
    #[must_use]
    pub fn conditions(mut self, letters: &str) -> Self {
        self.conditions = Conditions::new(letters);
        self
    }

    /// Sets the exchange time, in nanoseconds since 1970 UTC.
    #[must_use]
    pub fn at(mut self, event_time: i64) -> Self {
        self.event_time = event_time;
        self
    }
}

/// Creates a filter with this config and returns its verdicts on these quotes, in order.
///
/// # Errors
/// The error of [`Filter::new`], or that the config does not match its type.
///
/// # Panics
/// If a reason is not in [`Filter::REASONS`].
pub fn filter<F: Filter>(config: &str, quotes: &[QuoteView<'_>]) -> Result<Vec<Verdict>, String> {
    let codes = filter_columns::<Rows<F>>(config, quotes)?;
    let verdict = |code: u8| match code {
        0 => Verdict::Keep,
        code => match F::REASONS.get(usize::from(code) - 1) {
            Some(reason) => Verdict::Refuse(reason),
            None => panic!("the filter gave a reason that is not in REASONS"),
        },
    };
    Ok(codes.into_iter().map(verdict).collect())
}

/// Creates a column filter with this config and returns its verdict bytes for these quotes, in order.
///
/// # Errors
/// Same as [`filter`].
pub fn filter_columns<F: ColumnFilter>(config: &str, quotes: &[QuoteView<'_>]) -> Result<Vec<u8>, String> {
    let mut filter = F::new("test", read(config)?)?;
    let mut names: Vec<&str> = Vec::new();
    let mut columns = QuoteColumns::default();
    for quote in quotes {
        let number = names.iter().position(|name| *name == quote.symbol).unwrap_or_else(|| {
            filter.learn_symbol(quote.symbol);
            names.push(quote.symbol);
            names.len() - 1
        });
        columns.push(u32::try_from(number).unwrap_or(u32::MAX), quote);
    }
    columns.keep_only(filter.columns());
    Ok(filter.judge(&columns))
}

/// Creates a map with this config and returns its documents for one quote.
///
/// # Errors
/// The error of [`Map::new`], or that the config does not match its type.
pub fn map<M: Map>(config: &str, quote: &QuoteView<'_>) -> Result<Vec<Document>, String> {
    Ok(M::new("test", read(config)?)?.map(quote, &[]))
}

fn read<T: serde::de::DeserializeOwned>(config: &str) -> Result<T, String> {
    serde_json::from_str(config).map_err(|problem| format!("The config does not fit: {}.", in_words(&problem)))
}

/// A call to a function in [`crate::host`].
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A log line.
    Log(Level, String),
    /// A counter and the amount added.
    Count(String, u64),
    /// A gauge and its value.
    Gauge(String, f64),
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// The calls to host functions on this thread since the last call of this function.
pub fn recorded() -> Vec<Call> {
    CALLS.take()
}

pub(crate) mod host_calls {
    use super::{CALLS, Call, Level};

    pub(crate) fn log(level: Level, text: &str) {
        CALLS.with_borrow_mut(|calls| calls.push(Call::Log(level, text.into())));
    }

    pub(crate) fn count(name: &str, delta: u64) {
        CALLS.with_borrow_mut(|calls| calls.push(Call::Count(name.into(), delta)));
    }

    pub(crate) fn gauge(name: &str, value: f64) {
        CALLS.with_borrow_mut(|calls| calls.push(Call::Gauge(name.into(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    /// Refuses a bid that is lower than the one before.
    struct Rising(f64);

    impl Filter for Rising {
        type Config = serde_json::Map<String, serde_json::Value>;
        const REASONS: &'static [&'static str] = &["other", "fell"];

        fn new(_tenant: &str, _config: Self::Config) -> Result<Self, String> {
            Ok(Self(0.0))
        }

        fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict {
            if quote.bid_price < self.0 {
                crate::host::count(quote.symbol, 1);
                return Verdict::Refuse("fell");
            }
            self.0 = quote.bid_price;
            Verdict::Keep
        }
    }

    #[test]
    fn a_filter_keeps_its_state_from_quote_to_quote_and_its_calls_are_recorded() {
        let quotes = [2.0, 1.0, 3.0].map(|bid| quote("SPY").bid(bid));
        let verdicts = filter::<Rising>("{}", &quotes).unwrap();
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Refuse("fell"), Verdict::Keep]);
        assert_eq!(recorded(), [Call::Count("SPY".into(), 1)]);
    }

    /// Reads the bid without asking for it.
    struct Careless;

    impl Filter for Careless {
        type Config = serde_json::Map<String, serde_json::Value>;
        const REASONS: &'static [&'static str] = &["low"];
        const COLUMNS: &'static [Column] = &[Column::AskPrice];

        fn new(_tenant: &str, _config: Self::Config) -> Result<Self, String> {
            Ok(Self)
        }

        fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict {
            if quote.bid_price < 1.0 && quote.ask_price > 1.0 { Verdict::Refuse("low") } else { Verdict::Keep }
        }
    }

    #[test]
    fn a_column_that_was_not_asked_for_is_missing_here_as_it_is_in_the_host() {
        let verdicts = filter::<Careless>("{}", &[quote("SPY").bid(5.0).ask(6.0)]).unwrap();
        assert_eq!(verdicts, [Verdict::Refuse("low")]);
    }

    #[test]
    fn a_config_that_does_not_fit_is_an_error() {
        assert!(filter::<Rising>("[]", &[]).unwrap_err().starts_with("The config does not fit"));
    }
}
