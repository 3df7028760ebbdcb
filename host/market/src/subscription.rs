use std::collections::BTreeSet;

use crate::Symbol;

/// The quotes that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Those of every symbol: `*`.
    All,
    /// Those of these symbols; with none, the session stays connected and silent.
    Symbols(BTreeSet<Symbol>),
}

impl Default for Subscription {
    fn default() -> Self {
        Self::Symbols(BTreeSet::new())
    }
}
