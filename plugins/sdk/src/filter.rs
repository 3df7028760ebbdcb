use serde::de::DeserializeOwned;

use crate::quotes::{Column, Columns, QuoteColumns, QuoteView};

/// A filter's verdict on a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The quote passes.
    Keep,
    /// The quote is refused for this reason, one of [`Filter::REASONS`].
    Refuse(&'static str),
}

/// A filter that judges one quote at a time. It may keep state: it sees its tenant's quotes in order.
pub trait Filter: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;
    /// Names of the reasons for refusing a quote, at most 255: letters, digits, - and _, at most 64 characters.
    const REASONS: &'static [&'static str];
    /// The columns that [`Self::judge`] reads besides the symbol. The host sends only these, so fewer are faster; all other
    /// fields of the quote are 0 or none.
    const COLUMNS: &'static [Column] = &Column::ALL;

    /// Called once, before anything else.
    ///
    /// # Errors
    /// A sentence that names the bad setting and how to fix it.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// The verdict on the next quote.
    fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict;
}

/// A filter that judges whole columns, for speed.
pub trait ColumnFilter: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;
    /// See [`Filter::REASONS`].
    const REASONS: &'static [&'static str];

    /// Called once, before anything else.
    ///
    /// # Errors
    /// A sentence that names the bad setting and how to fix it.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// The columns that [`Self::judge`] reads; the others are empty. Fewer are faster.
    fn columns(&self) -> Columns;

    /// Receives the name of the next symbol number, counted from 0, before the first quote with that number.
    fn learn_symbol(&mut self, name: &str);

    /// Returns one byte per quote: 0 keeps it, any other number refuses it for that reason, counted from 1.
    fn judge(&mut self, quotes: &QuoteColumns) -> Vec<u8>;
}

/// A [`Filter`] as a [`ColumnFilter`].
#[derive(Debug)]
pub struct Rows<F> {
    filter: F,
    names: Vec<Box<str>>,
}

impl<F: Filter> ColumnFilter for Rows<F> {
    type Config = F::Config;
    const REASONS: &'static [&'static str] = F::REASONS;

    fn new(tenant: &str, config: Self::Config) -> Result<Self, String> {
        Ok(Self { filter: F::new(tenant, config)?, names: Vec::new() })
    }

    fn columns(&self) -> Columns {
        Columns::default().with(F::COLUMNS)
    }

    fn learn_symbol(&mut self, name: &str) {
        self.names.push(name.into());
    }

    fn judge(&mut self, quotes: &QuoteColumns) -> Vec<u8> {
        let Self { filter, names } = self;
        let judge = |(row, &number): (usize, &u32)| {
            let name = names.get(number as usize).map_or("", |name| name);
            code(F::REASONS, filter.judge(&quotes.view(row, name)))
        };
        quotes.symbol.iter().enumerate().map(judge).collect()
    }
}

/// A reason that is not in the list is 255, which the host reports as a number.
fn code(reasons: &[&str], verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Keep => 0,
        Verdict::Refuse(reason) => {
            let at = reasons.iter().position(|known| *known == reason);
            at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(u8::MAX)
        }
    }
}
