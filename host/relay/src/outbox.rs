//! Where quotes wait for the publisher's task. Only here do the feed's thread and that task share a lock.

use std::mem;

use parking_lot::Mutex;
use quotegate_market::{QuoteColumns, Symbol, SymbolTable};
use tokio::sync::Notify;

/// Quotes on their way from the feed to the publisher's task. The feed never waits here: if the task lags, quotes conflate
/// by symbol.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    content: Content,
    /// [`SymbolTable::serial`] of the feed's table.
    table: u64,
    /// Symbols of that table that have been passed on.
    known: usize,
    /// Conflate beyond this. Never below [`Outbox::CAPACITY`].
    capacity: usize,
    newest: Vec<u32>,
    /// The task must be woken.
    asleep: bool,
}

/// What the task takes at once.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// With the ids of the feed's table.
    pub(crate) quotes: QuoteColumns,
    /// The symbols with the ids that follow those that are known.
    pub(crate) new_symbols: Vec<Symbol>,
    /// Ids mean other symbols than before: the feed has started again, with a new table.
    pub(crate) restarted: bool,
    /// Quotes that the feed delivered.
    pub(crate) received: u64,
    /// Of these, quotes that newer ones replaced while they waited.
    pub(crate) conflated: u64,
    /// Of these, quotes that waited when the feed started again.
    pub(crate) dropped: u64,
}

impl Outbox {
    /// About 30 ms at two million quotes per second; the task takes what waits every few milliseconds.
    const CAPACITY: usize = 65_536;

    /// Called by the feed.
    pub(crate) fn put(&self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        let wakes = {
            let mut waiting = self.waiting.lock();
            if waiting.table != symbols.serial() {
                waiting.table = symbols.serial();
                waiting.restart();
            }
            if waiting.known < symbols.len() {
                let known = mem::replace(&mut waiting.known, symbols.len());
                waiting.content.new_symbols.extend_from_slice(&symbols.symbols()[known..]);
            }
            waiting.content.quotes.append(quotes);
            waiting.content.received += quotes.len() as u64;
            waiting.conflate_beyond_capacity();
            mem::take(&mut waiting.asleep)
        };
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Replaces `content` with everything that waits. If nothing does, the next quote wakes the task.
    pub(crate) fn take(&self, content: &mut Content) -> bool {
        content.quotes.clear();
        content.new_symbols.clear();
        (content.restarted, content.received, content.conflated, content.dropped) = (false, 0, 0, 0);
        let mut waiting = self.waiting.lock();
        mem::swap(&mut waiting.content, content);
        waiting.asleep = content.quotes.is_empty();
        !waiting.asleep
    }

    /// Forgets what the task knows: the next quotes come with all symbols again.
    pub(crate) fn forget(&self) {
        let mut waiting = self.waiting.lock();
        waiting.restart();
    }

    /// Until a quote arrives after [`Outbox::take`] found none.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Waiting {
    fn restart(&mut self) {
        self.known = 0;
        let content = &mut self.content;
        content.dropped += content.quotes.len() as u64;
        content.quotes.clear();
        content.new_symbols.clear();
        content.restarted = true;
    }

    /// As in a tenant's inbox, each call at least halves what waits or raises the capacity, so the cost per quote is constant.
    fn conflate_beyond_capacity(&mut self) {
        let capacity = self.capacity.max(Outbox::CAPACITY);
        if self.content.quotes.len() > capacity {
            let removed = self.content.quotes.conflate(&mut self.newest);
            self.content.conflated += removed as u64;
            self.capacity = capacity.max(2 * self.content.quotes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_market::Quote;

    fn put(outbox: &Outbox, symbols: &mut SymbolTable, name: &str, event_time: i64) {
        let mut quotes = QuoteColumns::default();
        let id = symbols.intern(name.as_bytes()).unwrap();
        quotes.push(id.0, &Quote { event_time, ..Quote::default() });
        outbox.put(&quotes, symbols);
    }

    #[test]
    fn symbols_are_passed_on_once_and_again_after_the_feed_restarts() {
        let (outbox, mut content) = (Outbox::default(), Content::default());
        let mut first = SymbolTable::default();
        put(&outbox, &mut first, "A", 1);
        put(&outbox, &mut first, "B", 2);
        assert!(outbox.take(&mut content) && content.restarted);
        assert_eq!((content.new_symbols.len(), &content.quotes.symbol[..], content.received), (2, &[0, 1][..], 2));
        put(&outbox, &mut first, "B", 3);
        let mut second = SymbolTable::default();
        put(&outbox, &mut second, "B", 4);
        assert!(outbox.take(&mut content) && content.restarted);
        assert_eq!((content.new_symbols[0].as_str(), content.quotes.event_time[0]), ("B", 4));
        assert_eq!((content.received, content.dropped), (2, 1));
        assert!(!outbox.take(&mut content));
    }

    #[test]
    fn a_task_that_does_not_take_them_finds_the_newest_quote_of_each_symbol() {
        let (outbox, mut content, mut symbols) = (Outbox::default(), Content::default(), SymbolTable::default());
        for number in 0..3 * Outbox::CAPACITY as i64 {
            put(&outbox, &mut symbols, if number % 2 == 0 { "A" } else { "B" }, number);
        }
        assert!(outbox.take(&mut content));
        assert!(content.quotes.len() <= Outbox::CAPACITY);
        assert_eq!(content.quotes.len() as u64 + content.conflated, content.received);
        assert_eq!(content.quotes.event_time.last(), Some(&(3 * Outbox::CAPACITY as i64 - 1)));
    }
}
