//! A tenant's newest quotes, for people who look at them.
//!
//! The tenant publishes when it is asked, so nothing is done while nobody looks; then only what has changed since is
//! copied, and no more than [`Board::MOST`] symbols however many there are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quotegate_market::{Quote, Symbol};
use quotegate_pace::LatestTable;
use tokio::sync::Notify;

/// Where a tenant's newest quotes can be read. Written by its task alone.
#[derive(Debug, Default)]
pub struct Board {
    asked: Notify,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    version: u64,
    symbols: usize,
    rows: Vec<Option<BoardRow>>,
}

/// A symbol's newest quote.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardRow {
    /// Whose.
    pub symbol: Symbol,
    /// The newest that passed the tenant's filters.
    pub quote: Quote,
    version: u64,
}

/// What changed on a board.
#[derive(Debug)]
pub struct BoardChanges {
    /// The rows that changed.
    pub rows: Vec<BoardRow>,
    /// All symbols that the tenant has seen; more than [`Board::MOST`] are not on the board.
    pub symbols: usize,
    /// For the next question.
    pub version: u64,
}

impl Board {
    /// The symbols on a board: those of which quotes came first.
    pub const MOST: usize = 512;

    /// Asks the tenant to publish what has changed. It does so when it has taken the quotes that wait for it.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// The rows that changed after `version`; all of them after 0.
    pub fn changed_since(&self, version: u64) -> BoardChanges {
        let shown = self.lock();
        let rows = shown.rows.iter().flatten().filter(|row| row.version > version).cloned().collect();
        BoardChanges { rows, symbols: shown.symbols, version: shown.version }
    }

    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant's side: which symbols have changed since the board was last written. `None` while nobody asks.
#[derive(Debug, Default)]
pub(super) struct Watched(Option<Watch>);

#[derive(Debug)]
struct Watch {
    /// A bit a slot.
    changed: [u64; Board::MOST / 64],
    until: Instant,
}

impl Watched {
    /// Changes are noted for so long after a question. Who looks asks more often.
    const LEASE: Duration = Duration::from_secs(3);

    /// Notes quotes that came.
    pub(super) fn note(&mut self, slots: &[u32], now: Instant) {
        let Some(watch) = &mut self.0 else { return };
        if watch.until < now {
            self.0 = None;
            return;
        }
        for slot in slots {
            let slot = *slot as usize;
            if let Some(bits) = watch.changed.get_mut(slot / 64) {
                *bits |= 1 << (slot % 64);
            }
        }
    }

    /// Writes what has changed to the board: everything, if nobody asked for a while.
    pub(super) fn publish(&mut self, board: &Board, table: &LatestTable, symbols: &[Symbol], now: Instant) {
        let all = Watch { changed: [u64::MAX; Board::MOST / 64], until: now };
        let lapsed = self.0.take_if(|watch| watch.until < now).is_some();
        let watch = if lapsed { self.0.insert(all) } else { self.0.get_or_insert(all) };
        watch.until = now + Self::LEASE;
        let mut shown = board.lock();
        let shown = &mut *shown;
        shown.symbols = symbols.len();
        shown.rows.resize(symbols.len().min(Board::MOST), None);
        shown.version += 1;
        for (word, bits) in watch.changed.iter_mut().enumerate() {
            while *bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                let (Some(row), Some(quote)) = (shown.rows.get_mut(slot), table.latest(slot as u32)) else { continue };
                if row.as_ref().is_none_or(|row| row.quote != *quote) {
                    *row = Some(BoardRow { symbol: symbols[slot].clone(), quote: *quote, version: shown.version });
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

    struct Room {
        table: LatestTable,
        symbols: Vec<Symbol>,
        watched: Watched,
        board: Board,
        now: Instant,
    }

    impl Room {
        fn new(symbols: usize) -> Self {
            Self {
                table: LatestTable::new(SECOND, Backoff::new(SECOND, SECOND).unwrap()),
                symbols: (0..symbols).map(|at| Symbol::new(&format!("S{at}")).unwrap()).collect(),
                watched: Watched::default(),
                board: Board::default(),
                now: Instant::now(),
            }
        }

        fn quote(&mut self, slot: u32, event_time: i64) {
            self.table.accept(slot, &Quote { event_time, ..Quote::default() }, self.now);
            self.watched.note(&[slot], self.now);
        }

        /// What has changed on the board since `version`, published now.
        fn look(&mut self, version: u64) -> (Vec<String>, BoardChanges) {
            self.watched.publish(&self.board, &self.table, &self.symbols, self.now);
            let changes = self.board.changed_since(version);
            (changes.rows.iter().map(|row| row.symbol.to_string()).collect(), changes)
        }
    }

    #[test]
    fn the_first_look_shows_everything_and_the_next_what_changed() {
        let mut room = Room::new(3);
        room.quote(0, 1);
        room.quote(2, 1);
        let (names, first) = room.look(0);
        assert_eq!((names, first.symbols), (vec!["S0".to_owned(), "S2".to_owned()], 3));
        room.quote(2, 5);
        // Older than the latest: nothing changes.
        room.quote(0, 0);
        let (names, second) = room.look(first.version);
        assert_eq!(names, ["S2"]);
        assert_eq!(second.rows[0].quote.event_time, 5);
        assert_eq!(room.look(second.version).0, Vec::<String>::new());
        assert_eq!(room.look(0).0, ["S0", "S2"]);
    }

    #[test]
    fn nothing_is_noted_while_nobody_looks_and_nothing_is_missing_after() {
        let mut room = Room::new(1);
        let version = room.look(0).1.version;
        room.now += 2 * Watched::LEASE;
        room.quote(0, 7);
        assert!(room.watched.0.is_none());
        assert_eq!(room.look(version).0, ["S0"]);
    }

    #[test]
    fn a_board_is_bounded() {
        let mut room = Room::new(Board::MOST + 10);
        for slot in 0..Board::MOST as u32 + 10 {
            room.quote(slot, 1);
        }
        let (names, changes) = room.look(0);
        assert_eq!((names.len(), changes.symbols), (Board::MOST, Board::MOST + 10));
        room.quote(Board::MOST as u32 + 3, 2);
        assert_eq!(room.look(changes.version).0, Vec::<String>::new());
    }
}
