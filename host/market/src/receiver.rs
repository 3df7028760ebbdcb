use crate::{QuoteColumns, SymbolTable};

/// Takes the quotes of the feed.
pub trait QuoteReceiver: Send {
    /// Called on the reader's task with all quotes that are ready, so it must be fast and must not block. `symbols` maps
    /// the symbol column to symbols; an id keeps its symbol for as long as the feed runs.
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable);
}
