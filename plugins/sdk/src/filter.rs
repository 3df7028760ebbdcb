use serde::de::DeserializeOwned;

use crate::quotes::{Column, Columns, QuoteColumns, QuoteView};

/// What a filter says of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The quote passes.
    Keep,
    /// The quote is refused for this reason, one of [`Filter::REASONS`].
    Refuse(&'static str),
}

/// A filter that looks at one quote after the other. It may keep state: it sees its tenant's quotes in order.
pub trait Filter: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;
    /// Names of the reasons to refuse a quote, at most 255: letters, digits, - and _, at most 64 characters.
    const REASONS: &'static [&'static str];
    /// What [`Self::judge`] reads of a quote, beside its symbol; all else is 0 or none there. The host sends nothing else,
    /// so fewer are faster.
    const COLUMNS: &'static [Column] = &Column::ALL;

    /// Called once, first.
    ///
    /// # Errors
    /// A sentence that names the setting and the remedy.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// The verdict on the next quote.
    fn judge(&mut self, quote: &QuoteView<'_>) -> Verdict;
}

/// A filter that looks at whole columns, for speed.
pub trait ColumnFilter: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;
    /// As [`Filter::REASONS`].
    const REASONS: &'static [&'static str];

    /// Called once, first.
    ///
    /// # Errors
    /// A sentence that names the setting and the remedy.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// The columns that [`Self::judge`] reads; the others are empty. Fewer are faster.
    fn columns(&self) -> Columns;

    /// Takes the name of the next symbol number, counted from 0, before the first quote that has it.
    fn learn_symbol(&mut self, name: &str);

    /// One byte a quote: 0 keeps it, another number refuses it for that reason, the first is 1.
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
