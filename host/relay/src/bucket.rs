//! One bucket on the reader's side: the newest quote of each symbol, and what waits to be published.

use std::collections::HashMap;

use quotegate_market::{Quote, QuoteColumns, Symbol};

/// Its symbols, numbered in the order of their first quotes.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    names: Vec<Symbol>,
    indexes: HashMap<Symbol, u16>,
    /// Of `names`, how many have been named in this epoch.
    announced: usize,
    /// By index: what a snapshot contains. In rows, because each quote overwrites one.
    latest: Vec<Quote>,
    waiting: QuoteColumns,
    /// The first rows of `waiting` that have been published.
    sent: usize,
    /// Conflate beyond this. Never below [`Bucket::CAPACITY`].
    capacity: usize,
    newest: Vec<u32>,
    /// Batches published in this epoch.
    sequence: u64,
}

/// What the next batch contains.
#[derive(Debug)]
pub(crate) struct Next<'a> {
    pub(crate) sequence: u64,
    pub(crate) first_name: u16,
    pub(crate) names: &'a [Symbol],
    pub(crate) quotes: &'a QuoteColumns,
    pub(crate) rows: std::ops::Range<usize>,
}

impl Bucket {
    /// Rows that may wait before they conflate. All buckets together: 15 MB.
    const CAPACITY: usize = 4096;
    /// The most rows and names of one message: below 80 kB.
    const BATCH_ROWS: usize = 1024;
    /// Indexes are 16 bits on the wire.
    const SYMBOLS: usize = 1 << 16;

    /// The symbol's index, which is new if it is. `None` if there is no room.
    pub(crate) fn index(&mut self, symbol: &Symbol) -> Option<u16> {
        if let Some(index) = self.indexes.get(symbol) {
            return Some(*index);
        }
        let index = self.names.len();
        if index >= Self::SYMBOLS {
            return None;
        }
        self.names.push(symbol.clone());
        self.indexes.insert(symbol.clone(), index as u16);
        // Without a time, so any quote is newer.
        self.latest.push(Quote { event_time: i64::MIN, ..Quote::default() });
        Some(index as u16)
    }

    /// A quote of the symbol with this index.
    #[inline]
    pub(crate) fn put(&mut self, index: u16, quote: &Quote) {
        self.waiting.push(u32::from(index), quote);
        let latest = &mut self.latest[usize::from(index)];
        if quote.event_time >= latest.event_time {
            *latest = *quote;
        }
    }

    /// Conflates what waits if it is too much. Returns how many quotes were replaced.
    pub(crate) fn conflate_beyond_capacity(&mut self) -> usize {
        let capacity = self.capacity.max(Self::CAPACITY);
        if self.waiting.len() <= capacity {
            return 0;
        }
        for row in self.sent..self.waiting.len() {
            self.waiting.copy_row(row, row - self.sent);
        }
        self.waiting.truncate(self.waiting.len() - self.sent);
        self.sent = 0;
        let removed = self.waiting.conflate(&mut self.newest);
        self.capacity = capacity.max(2 * self.waiting.len());
        removed
    }

    /// Quotes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// The next batch, if anything waits.
    pub(crate) fn next(&self) -> Option<Next<'_>> {
        if self.waiting() == 0 {
            return None;
        }
        let names = self.announced..self.names.len().min(self.announced + Self::BATCH_ROWS);
        // Rows follow once all symbols are named.
        let all_named = names.end == self.names.len();
        let rows = if all_named { self.waiting().min(Self::BATCH_ROWS) } else { 0 };
        Some(Next {
            sequence: self.sequence,
            first_name: self.announced as u16,
            names: &self.names[names],
            quotes: &self.waiting,
            rows: self.sent..self.sent + rows,
        })
    }

    /// The next batch, with this many names and rows, has been published.
    pub(crate) fn published(&mut self, names: usize, rows: usize) {
        self.sequence += 1;
        self.announced += names;
        self.sent += rows;
        if self.waiting() == 0 {
            self.waiting.clear();
            self.sent = 0;
        }
    }

    /// Batches published in this epoch.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The symbols and their newest quotes.
    pub(crate) fn snapshot(&self) -> (&[Symbol], QuoteColumns) {
        let mut quotes = QuoteColumns::with_capacity(self.latest.len());
        for (index, quote) in self.latest.iter().enumerate() {
            quotes.push(index as u32, quote);
        }
        (&self.names, quotes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(event_time: i64) -> Quote {
        Quote { event_time, ..Quote::default() }
    }

    fn bucket(symbols: usize) -> Bucket {
        let mut bucket = Bucket::default();
        for number in 0..symbols {
            bucket.index(&Symbol::new(&format!("Q{number}")).unwrap()).unwrap();
        }
        bucket
    }

    #[test]
    fn rows_and_names_are_sent_once_and_in_order() {
        let mut bucket = bucket(2500);
        for index in 0..2500 {
            bucket.put(index, &quote(i64::from(index)));
        }
        let (mut names, mut rows) = (Vec::new(), Vec::new());
        while let Some(next) = bucket.next() {
            assert!(next.rows.is_empty() || names.len() + next.names.len() == 2500, "a row before its name");
            assert_eq!(usize::from(next.first_name), names.len());
            let sent = (next.names.len(), next.rows.len());
            names.extend_from_slice(next.names);
            rows.extend_from_slice(&next.quotes.event_time[next.rows]);
            bucket.published(sent.0, sent.1);
        }
        assert_eq!((names.len(), rows), (2500, (0..2500).collect()));
        bucket.put(7, &quote(1));
        let next = bucket.next().unwrap();
        assert_eq!((next.sequence, next.names.len(), next.rows), (bucket.sequence(), 0, 0..1));
    }

    #[test]
    fn a_snapshot_keeps_the_newest_by_the_exchanges_time() {
        let mut bucket = bucket(1);
        for event_time in [5, 9, 7] {
            bucket.put(0, &quote(event_time));
        }
        assert_eq!(bucket.snapshot().1.event_time, [9]);
    }

    #[test]
    fn what_the_broker_does_not_take_conflates_by_symbol() {
        let mut bucket = bucket(3);
        let (mut put, mut conflated, mut most) = (0, 0, 0);
        for event_time in 0..20_000 {
            bucket.put((event_time % 3) as u16, &quote(event_time));
            put += 1;
            if put == 10 {
                bucket.published(3, 4);
            }
            conflated += bucket.conflate_beyond_capacity();
            most = most.max(bucket.waiting());
        }
        assert_eq!(bucket.waiting() + conflated + 4, put);
        assert!(most <= Bucket::CAPACITY, "{most}");
        let next = bucket.next().unwrap();
        assert!(next.quotes.event_time.ends_with(&[19_997, 19_998, 19_999]));
    }
}
