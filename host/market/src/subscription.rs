use std::collections::BTreeSet;

use crate::Symbol;

/// Which quotes to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Every symbol: `*`.
    All,
    /// These symbols. If the set is empty, the feed stays connected and silent.
    Symbols(BTreeSet<Symbol>),
}

impl Default for Subscription {
    fn default() -> Self {
        Self::Symbols(BTreeSet::new())
    }
}
