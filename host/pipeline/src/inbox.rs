//! Where quotes wait for a tenant. Only here do the reader's thread and a tenant share a lock on the path of a quote.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use quotegate_market::{QuoteColumns, Symbol};
use tokio::sync::Notify;

/// Quotes on their way from the router to one tenant.
///
/// The router never waits here. If the tenant lags, its waiting quotes conflate: beyond `capacity`, only the newest quote
/// of each symbol stays. So memory is bounded by the tenant's symbols, and other tenants are not affected.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    capacity: usize,
    /// For conflation: the newest row of each slot. Kept to save the allocation.
    newest: Vec<u32>,
    closed: bool,
}

/// Quotes that a tenant takes together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The quotes; `symbol` is the tenant's slot.
    pub quotes: QuoteColumns,
    /// Names of the slots first used in this batch, in slot order.
    pub new_symbols: Vec<Symbol>,
    /// Quotes that newer ones of their symbol replaced while they waited.
    pub conflated: u64,
}

impl Inbox {
    /// 64 frames of 64 quotes. A tenant that keeps up never gets near it.
    pub const CAPACITY: usize = 4096;

    /// An empty inbox that notifies `wake` whenever something arrives.
    pub fn new(capacity: usize, wake: Arc<Notify>) -> Self {
        let waiting = Waiting { batch: Batch::default(), capacity, newest: Vec::new(), closed: false };
        Self { waiting: Mutex::new(waiting), wake }
    }

    /// Moves everything out of `quotes` and `new_symbols`, which are empty afterwards.
    pub fn deliver(&self, quotes: &mut QuoteColumns, new_symbols: &mut Vec<Symbol>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.batch.quotes.is_empty() {
                mem::swap(&mut waiting.batch.quotes, quotes);
            } else {
                waiting.batch.quotes.append(quotes);
            }
            waiting.batch.new_symbols.append(new_symbols);
            if waiting.batch.quotes.len() > waiting.capacity {
                waiting.conflate();
            }
        }
        quotes.clear();
        self.wake.notify_one();
    }

    /// Replaces the content of `batch` with everything that waits. False if no quotes waited.
    pub fn take(&self, batch: &mut Batch) -> bool {
        batch.quotes.clear();
        batch.new_symbols.clear();
        batch.conflated = 0;
        let mut waiting = self.waiting.lock();
        let any = !waiting.batch.quotes.is_empty();
        mem::swap(&mut waiting.batch, batch);
        any
    }

    /// Signals that no more quotes will arrive.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.wake.notify_one();
    }

    /// True when it is closed and no quotes wait.
    pub fn is_finished(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.closed && waiting.batch.quotes.is_empty()
    }
}

impl Waiting {
    /// Keeps the newest quote of each symbol, in order. Each call either at least halves what waits, or raises the capacity
    /// towards twice the number of the tenant's symbols, so the cost per quote is constant.
    fn conflate(&mut self) {
        const NONE: u32 = u32::MAX;
        let quotes = &mut self.batch.quotes;
        let before = quotes.len();
        self.newest.fill(NONE);
        for row in 0..before {
            let slot = quotes.symbol[row] as usize;
            if slot >= self.newest.len() {
                self.newest.resize(slot + 1, NONE);
            }
            let held = self.newest[slot];
            if held == NONE || quotes.event_time[row] >= quotes.event_time[held as usize] {
                self.newest[slot] = row as u32;
            }
        }
        let mut kept = 0;
        for row in 0..before {
            if self.newest[quotes.symbol[row] as usize] == row as u32 {
                quotes.copy_row(row, kept);
                kept += 1;
            }
        }
        quotes.truncate(kept);
        self.batch.conflated += (before - kept) as u64;
        self.capacity = self.capacity.max(2 * kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quotegate_market::Quote;
    use std::collections::HashMap;

    fn columns(rows: &[(u32, i64)]) -> QuoteColumns {
        let mut columns = QuoteColumns::default();
        for &(slot, event_time) in rows {
            columns.push(slot, &Quote { event_time, ..Quote::default() });
        }
        columns
    }

    fn inbox(capacity: usize) -> Inbox {
        Inbox::new(capacity, Arc::new(Notify::new()))
    }

    #[test]
    fn quotes_arrive_in_order_while_there_is_room() {
        let inbox = inbox(10);
        inbox.deliver(&mut columns(&[(0, 1), (1, 2)]), &mut Vec::new());
        inbox.deliver(&mut columns(&[(0, 3)]), &mut Vec::new());
        let mut batch = Batch::default();
        assert!(inbox.take(&mut batch));
        assert_eq!((batch.quotes, batch.conflated), (columns(&[(0, 1), (1, 2), (0, 3)]), 0));
        assert!(!inbox.take(&mut Batch::default()));
    }

    proptest! {
        /// Invariant 4: bounded by the symbols, the newest of each symbol stays, and every other quote is counted.
        #[test]
        fn a_lagging_tenant_keeps_the_newest_of_each_symbol(
            frames in prop::collection::vec(prop::collection::vec((0_u32..20, 0_i64..1000), 1..40), 1..60),
            capacity in 1_usize..100,
        ) {
            let inbox = inbox(capacity);
            let mut newest = HashMap::new();
            let mut sent = 0;
            let mut most = 0;
            for frame in &frames {
                for (slot, event_time) in frame {
                    let held = newest.entry(*slot).or_insert(*event_time);
                    *held = (*held).max(*event_time);
                    sent += 1;
                }
                inbox.deliver(&mut columns(frame), &mut Vec::new());
                most = most.max(inbox.waiting.lock().batch.quotes.len());
            }
            let mut batch = Batch::default();
            inbox.take(&mut batch);
            let mut got = HashMap::new();
            for row in 0..batch.quotes.len() {
                let quote = batch.quotes.quote(row);
                let held = got.entry(batch.quotes.symbol[row]).or_insert(quote.event_time);
                *held = (*held).max(quote.event_time);
            }
            prop_assert_eq!(got, newest);
            prop_assert_eq!(batch.quotes.len() as u64 + batch.conflated, sent);
            prop_assert!(most <= capacity.max(2 * 20), "{} quotes waited", most);
        }
    }
}
