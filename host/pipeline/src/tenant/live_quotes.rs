//! A tenant's newest quotes, for the page.
//!
//! The tenant publishes on request, so this costs nothing while nobody watches. Each publication copies only what changed,
//! and at most [`LiveQuotes::CAPACITY`] symbols.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quotegate_market::{Quote, Symbol};
use quotegate_pace::LatestTable;
use tokio::sync::Notify;

/// A tenant's newest quotes as others read them. Only its task writes them.
#[derive(Debug, Default)]
pub struct LiveQuotes {
    requested: Notify,
    published: Mutex<Published>,
}

#[derive(Debug, Default)]
struct Published {
    version: u64,
    symbols: usize,
    rows: Vec<Option<LiveQuote>>,
}

/// A symbol's newest quote.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveQuote {
    /// Its symbol.
    pub symbol: Symbol,
    /// The newest that passed the tenant's filters.
    pub quote: Quote,
    version: u64,
}

/// What changed since a version.
#[derive(Debug)]
pub struct LiveQuoteChanges {
    /// The rows that changed.
    pub rows: Vec<LiveQuote>,
    /// How many symbols the tenant has seen. Those beyond [`LiveQuotes::CAPACITY`] have no row.
    pub symbols: usize,
    /// The version that the changes lead to.
    pub version: u64,
}

impl LiveQuotes {
    /// At most this many symbols have rows: those whose quotes arrived first.
    pub const CAPACITY: usize = 512;

    /// Asks the tenant to publish what has changed. It does so once it has taken the waiting quotes.
    pub fn request(&self) {
        self.requested.notify_one();
    }

    /// The rows that changed after `version`. After 0, all rows.
    pub fn changed_since(&self, version: u64) -> LiveQuoteChanges {
        let published = self.published.lock();
        let rows = published.rows.iter().flatten().filter(|row| row.version > version).cloned().collect();
        LiveQuoteChanges { rows, symbols: published.symbols, version: published.version }
    }

    pub(super) async fn requested(&self) {
        self.requested.notified().await;
    }
}

/// The task's side: which symbols have changed since the last publication. `None` while nobody asks.
#[derive(Debug, Default)]
pub(super) struct ChangeTracker(Option<Tracked>);

#[derive(Debug)]
struct Tracked {
    /// One bit per slot.
    changed: [u64; LiveQuotes::CAPACITY / 64],
    until: Instant,
}

impl ChangeTracker {
    /// Changes are tracked for this long after a request. A reader requests more often.
    const TIMEOUT: Duration = Duration::from_secs(3);

    /// Records quotes that arrived.
    pub(super) fn record(&mut self, slots: &[u32], now: Instant) {
        let Some(tracked) = &mut self.0 else { return };
        if tracked.until < now {
            self.0 = None;
            return;
        }
        for slot in slots {
            let slot = *slot as usize;
            if let Some(bits) = tracked.changed.get_mut(slot / 64) {
                *bits |= 1 << (slot % 64);
            }
        }
    }

    /// Publishes what has changed, or everything if nobody asked for a while.
    pub(super) fn publish(&mut self, live: &LiveQuotes, table: &LatestTable, symbols: &[Symbol], now: Instant) {
        let all = Tracked { changed: [u64::MAX; LiveQuotes::CAPACITY / 64], until: now };
        let lapsed = self.0.take_if(|tracked| tracked.until < now).is_some();
        let tracked = if lapsed { self.0.insert(all) } else { self.0.get_or_insert(all) };
        tracked.until = now + Self::TIMEOUT;
        let mut published = live.published.lock();
        let published = &mut *published;
        published.symbols = symbols.len();
        published.rows.resize(symbols.len().min(LiveQuotes::CAPACITY), None);
        published.version += 1;
        for (word, bits) in tracked.changed.iter_mut().enumerate() {
            while *bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                let (Some(row), Some(quote)) = (published.rows.get_mut(slot), table.latest(slot as u32)) else {
                    continue;
                };
                if row.as_ref().is_none_or(|row| row.quote != *quote) {
                    *row = Some(LiveQuote { symbol: symbols[slot].clone(), quote: *quote, version: published.version });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_pace::Backoff;

    const SECOND: Duration = Duration::from_secs(1);

    struct Fixture {
        table: LatestTable,
        symbols: Vec<Symbol>,
        tracker: ChangeTracker,
        live: LiveQuotes,
        now: Instant,
    }

    impl Fixture {
        fn new(symbols: usize) -> Self {
            Self {
                table: LatestTable::new(SECOND, Backoff::new(SECOND, SECOND).unwrap()),
                symbols: (0..symbols).map(|at| Symbol::new(&format!("S{at}")).unwrap()).collect(),
                tracker: ChangeTracker::default(),
                live: LiveQuotes::default(),
                now: Instant::now(),
            }
        }

        fn quote(&mut self, slot: u32, event_time: i64) {
            self.table.accept(slot, &Quote { event_time, ..Quote::default() }, self.now);
            self.tracker.record(&[slot], self.now);
        }

        /// Publishes, and returns what has changed since `version`.
        fn publish(&mut self, version: u64) -> (Vec<String>, LiveQuoteChanges) {
            self.tracker.publish(&self.live, &self.table, &self.symbols, self.now);
            let changes = self.live.changed_since(version);
            (changes.rows.iter().map(|row| row.symbol.to_string()).collect(), changes)
        }
    }

    #[test]
    fn the_first_publication_has_everything_and_the_next_what_changed() {
        let mut fixture = Fixture::new(3);
        fixture.quote(0, 1);
        fixture.quote(2, 1);
        let (names, first) = fixture.publish(0);
        assert_eq!((names, first.symbols), (vec!["S0".to_owned(), "S2".to_owned()], 3));
        fixture.quote(2, 5);
        // Older than the latest: nothing changes.
        fixture.quote(0, 0);
        let (names, second) = fixture.publish(first.version);
        assert_eq!(names, ["S2"]);
        assert_eq!(second.rows[0].quote.event_time, 5);
        assert_eq!(fixture.publish(second.version).0, Vec::<String>::new());
        assert_eq!(fixture.publish(0).0, ["S0", "S2"]);
    }

    #[test]
    fn nothing_is_tracked_without_requests_and_nothing_is_missing_after() {
        let mut fixture = Fixture::new(1);
        let version = fixture.publish(0).1.version;
        fixture.now += 2 * ChangeTracker::TIMEOUT;
        fixture.quote(0, 7);
        assert!(fixture.tracker.0.is_none());
        assert_eq!(fixture.publish(version).0, ["S0"]);
    }

    #[test]
    fn live_quotes_are_bounded() {
        let mut fixture = Fixture::new(LiveQuotes::CAPACITY + 10);
        for slot in 0..LiveQuotes::CAPACITY as u32 + 10 {
            fixture.quote(slot, 1);
        }
        let (names, changes) = fixture.publish(0);
        assert_eq!((names.len(), changes.symbols), (LiveQuotes::CAPACITY, LiveQuotes::CAPACITY + 10));
        fixture.quote(LiveQuotes::CAPACITY as u32 + 3, 2);
        assert_eq!(fixture.publish(changes.version).0, Vec::<String>::new());
    }
}
