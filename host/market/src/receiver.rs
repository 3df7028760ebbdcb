use crate::{QuoteColumns, SymbolTable};

/// Takes the quotes of the feed.
pub trait QuoteReceiver: Send {
    /// Called on the reader's task with all quotes that were ready, so it must be quick and must not block. `symbols`
    /// says what the symbol column means; a number keeps its meaning for the feed's life.
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable);
}
