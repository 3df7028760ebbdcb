use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_market::Quote;

use crate::Backoff;

/// The newest accepted quote of each of a tenant's symbols, and when it may be written.
///
/// A symbol is **dirty** while its latest quote is not written. It is **due** when it is dirty, has no write in flight,
/// and its interval (or the delay after a failed write) has passed. Due symbols are written in the order in which they
/// became due. A symbol is the tenant's slot number, dense from 0.
#[derive(Debug)]
pub struct LatestTable {
    interval: Duration,
    retry: Backoff,
    /// First writes are not due before this.
    not_before: Option<Instant>,
    slots: Vec<Option<Slot>>,
    /// Dirty but not yet due; each slot at most once, and never also in `due`.
    waiting: BinaryHeap<Reverse<(Instant, u32)>>,
    due: VecDeque<u32>,
    in_flight: usize,
}

#[derive(Debug)]
struct Slot {
    quote: Quote,
    dirty: bool,
    in_flight: bool,
    /// The time of the last attempt, when its interval began.
    attempted: Option<Instant>,
    /// The same for the attempt before, in case that nothing came of the last one.
    attempted_before: Option<Instant>,
    /// When the delay after a failed write ends.
    retry_at: Option<Instant>,
    /// Failed attempts since the last settled one.
    failures: u32,
}

/// The result of [`LatestTable::accept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Its symbol was clean and is now dirty.
    Dirty,
    /// It replaced a quote that was waiting, which will never be written.
    Conflated,
    /// Its exchange time is before that of the latest quote: it was dropped.
    Older,
}

/// The outcome of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Do not try again: it was written, there was nothing to write, or it was refused for good.
    Settled,
    /// Try again later, unless a newer quote comes first.
    Retry {
        /// Use the longest delay at once, because the sink reported overload.
        longest_delay: bool,
    },
    /// Not written yet, because another host has written the document too recently. Not a failure.
    TooEarly {
        /// Try again after this time.
        wait: Duration,
        /// Other documents of the quote may have been written, so the interval counts from this attempt, too.
        attempted: bool,
    },
}

impl LatestTable {
    /// An empty table. Attempts for one symbol are at least `interval` apart; failed ones are delayed by `retry`.
    pub fn new(interval: Duration, retry: Backoff) -> Self {
        Self {
            interval,
            retry,
            not_before: None,
            slots: Vec::new(),
            waiting: BinaryHeap::new(),
            due: VecDeque::new(),
            in_flight: 0,
        }
    }

    /// Delays first writes until `at`: for a tenant that was added again, whose symbols may have just been written.
    pub fn hold_until(&mut self, at: Instant) {
        self.not_before = Some(at);
    }

    /// Changes the interval, also for symbols that are already dirty.
    pub fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.interval = interval;
        self.due(now);
        // Symbols that were already due stay ahead of those that become due by this change.
        let due = std::mem::take(&mut self.due);
        let mut waiting = std::mem::take(&mut self.waiting).into_sorted_vec();
        waiting.reverse();
        for slot in due.into_iter().chain(waiting.into_iter().map(|Reverse((_, slot))| slot)) {
            let at = self.allowed_at(slot).unwrap_or(now);
            self.schedule(slot, at, now);
        }
    }

    /// Stores a quote unless it is older than the latest. Equal exchange times count as newer, because exchanges repeat
    /// them within a burst.
    pub fn accept(&mut self, slot: u32, quote: &Quote, now: Instant) -> Accepted {
        let index = slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let Some(held) = &mut self.slots[index] else {
            self.slots[index] = Some(Slot {
                quote: *quote,
                dirty: true,
                in_flight: false,
                attempted: None,
                attempted_before: None,
                retry_at: None,
                failures: 0,
            });
            let at = self.allowed_at(slot).unwrap_or(now);
            self.schedule(slot, at, now);
            return Accepted::Dirty;
        };
        if quote.event_time < held.quote.event_time {
            return Accepted::Older;
        }
        held.quote = *quote;
        if held.dirty {
            return Accepted::Conflated;
        }
        held.dirty = true;
        if !held.in_flight {
            let at = self.allowed_at(slot).unwrap_or(now);
            self.schedule(slot, at, now);
        }
        Accepted::Dirty
    }

    /// The number of due symbols.
    pub fn due(&mut self, now: Instant) -> usize {
        while let Some(Reverse((at, slot))) = self.waiting.peek().copied() {
            if at > now {
                break;
            }
            self.waiting.pop();
            self.due.push_back(slot);
        }
        self.due.len()
    }

    /// When the next waiting symbol becomes due.
    pub fn next_due_at(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the symbol that has been due longest, to write it. Its interval starts now, and it is in flight until
    /// [`LatestTable::resolve`].
    pub fn take_due(&mut self, now: Instant) -> Option<(u32, Quote)> {
        self.due(now);
        let slot = self.due.pop_front()?;
        let held = self.slots[slot as usize].as_mut()?;
        held.dirty = false;
        held.in_flight = true;
        held.attempted_before = held.attempted.replace(now);
        held.retry_at = None;
        self.in_flight += 1;
        Some((slot, held.quote))
    }

    /// Reports the outcome of the attempt for `slot`; ignored if the slot is not in flight. Returns true if the attempt
    /// failed and will not be retried, because a newer quote has arrived.
    pub fn resolve(&mut self, slot: u32, resolution: Resolution, now: Instant, rng: &mut Rng) -> bool {
        let Some(held) = self.slots.get_mut(slot as usize).and_then(Option::as_mut).filter(|held| held.in_flight)
        else {
            return false;
        };
        held.in_flight = false;
        self.in_flight -= 1;
        let conflated = held.dirty && resolution != Resolution::Settled;
        match resolution {
            Resolution::Settled => held.failures = 0,
            Resolution::Retry { longest_delay } => {
                let mut backoff = self.retry.clone().after(held.failures);
                let delay = if longest_delay { backoff.longest_delay(rng) } else { backoff.next_delay(rng) };
                held.failures = held.failures.saturating_add(1);
                held.dirty = true;
                held.retry_at = Some(now + delay);
            }
            Resolution::TooEarly { wait, attempted } => {
                if !attempted {
                    held.attempted = held.attempted_before;
                }
                held.dirty = true;
                held.retry_at = Some(now + wait);
            }
        }
        if held.dirty {
            let at = self.allowed_at(slot).unwrap_or(now);
            self.schedule(slot, at, now);
        }
        conflated
    }

    /// From when on a new quote of `slot` would be due at once. `None` while the slot is dirty or in flight: then a new
    /// quote does not change when it is due.
    pub fn writable_from(&self, slot: u32, now: Instant) -> Option<Instant> {
        let held = self.slots.get(slot as usize).and_then(Option::as_ref);
        let clean = held.is_none_or(|held| !held.dirty && !held.in_flight);
        clean.then(|| self.allowed_at(slot).unwrap_or(now))
    }

    /// The latest quote of `slot`.
    pub fn latest(&self, slot: u32) -> Option<&Quote> {
        self.slots.get(slot as usize)?.as_ref().map(|held| &held.quote)
    }

    /// True if nothing is dirty or in flight.
    pub fn is_settled(&self) -> bool {
        self.dirty() == 0 && self.in_flight == 0
    }

    /// The number of symbols that are dirty and not in flight.
    pub fn dirty(&self) -> usize {
        self.waiting.len() + self.due.len()
    }

    /// The number of symbols in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// When the slot may be written; `None` means now.
    fn allowed_at(&self, slot: u32) -> Option<Instant> {
        let held = self.slots.get(slot as usize)?.as_ref()?;
        let interval = held.attempted.map_or(self.not_before, |at| Some(at + self.interval));
        interval.max(held.retry_at)
    }

    fn schedule(&mut self, slot: u32, at: Instant, now: Instant) {
        if at <= now {
            // Keep the order: whatever is already due goes into the queue first.
            self.due(now);
            self.due.push_back(slot);
        } else {
            self.waiting.push(Reverse((at, slot)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn table() -> (LatestTable, Rng, Instant) {
        let retry = Backoff::new(SECOND, 8 * SECOND).unwrap();
        (LatestTable::new(SECOND, retry), Rng::with_seed(7), Instant::now())
    }

    fn quote(event_time: i64) -> Quote {
        Quote { bid_price: event_time as f64, event_time, ..Quote::default() }
    }

    #[test]
    fn a_first_quote_is_due_at_once_and_the_next_after_the_interval() {
        let (mut table, mut rng, now) = table();
        table.accept(0, &quote(1), now);
        assert_eq!(table.take_due(now), Some((0, quote(1))));
        table.resolve(0, Resolution::Settled, now, &mut rng);
        table.accept(0, &quote(2), now);
        assert_eq!((table.due(now), table.next_due_at()), (0, Some(now + SECOND)));
        assert_eq!(table.take_due(now + SECOND), Some((0, quote(2))));
    }

    #[test]
    fn a_new_quote_matters_only_while_its_symbol_is_clean() {
        let (mut table, mut rng, now) = table();
        table.accept(0, &quote(1), now);
        assert_eq!(table.writable_from(0, now), None, "dirty");
        table.take_due(now);
        assert_eq!(table.writable_from(0, now), None, "in flight");
        table.resolve(0, Resolution::Settled, now, &mut rng);
        assert_eq!(table.writable_from(0, now), Some(now + SECOND));
    }

    #[test]
    fn a_newer_quote_replaces_one_waiting_for_retry() {
        let (mut table, mut rng, now) = table();
        table.accept(0, &quote(1), now);
        table.take_due(now);
        let retry = Resolution::Retry { longest_delay: false };
        assert!(!table.resolve(0, retry, now, &mut rng));
        assert_eq!(table.accept(0, &quote(2), now), Accepted::Conflated);
        assert_eq!(table.take_due(now + 20 * SECOND), Some((0, quote(2))));
        assert!(!table.is_settled());
        table.resolve(0, Resolution::Settled, now + 20 * SECOND, &mut rng);
        assert!(table.is_settled());
    }

    #[test]
    fn an_attempt_that_was_too_early_is_repeated_when_its_time_has_come() {
        let (mut table, mut rng, now) = table();
        table.accept(0, &quote(1), now);
        table.take_due(now);
        let wait = SECOND / 4;
        assert!(!table.resolve(0, Resolution::TooEarly { wait, attempted: false }, now, &mut rng));
        table.accept(0, &quote(2), now);
        assert_eq!((table.due(now), table.next_due_at()), (0, Some(now + wait)));
        assert_eq!(table.take_due(now + wait), Some((0, quote(2))));
        // Part of it was written.
        table.resolve(0, Resolution::TooEarly { wait, attempted: true }, now + wait, &mut rng);
        assert_eq!(table.next_due_at(), Some(now + wait + SECOND));
    }

    #[test]
    fn a_new_interval_applies_to_waiting_symbols() {
        let (mut table, mut rng, now) = table();
        for slot in 0..3 {
            table.accept(slot, &quote(1), now);
        }
        for slot in 0..2 {
            table.take_due(now);
            table.resolve(slot, Resolution::Settled, now, &mut rng);
            table.accept(slot, &quote(2), now);
        }
        table.set_interval(60 * SECOND, now);
        // Slot 2 was never written, so it owes nothing.
        assert_eq!(table.take_due(now + SECOND), Some((2, quote(1))));
        assert_eq!((table.due(now + 59 * SECOND), table.next_due_at()), (0, Some(now + 60 * SECOND)));
        table.set_interval(2 * SECOND, now + 59 * SECOND);
        assert_eq!(table.due(now + 59 * SECOND), 2);
        table.set_interval(120 * SECOND, now + 59 * SECOND);
        assert_eq!((table.due(now + 119 * SECOND), table.due(now + 120 * SECOND)), (0, 2));
    }

    #[test]
    fn a_held_table_delays_only_first_writes() {
        let (mut table, mut rng, now) = table();
        table.hold_until(now + 5 * SECOND);
        table.accept(0, &quote(1), now);
        assert_eq!((table.due(now), table.next_due_at()), (0, Some(now + 5 * SECOND)));
        table.take_due(now + 5 * SECOND);
        table.resolve(0, Resolution::Settled, now + 5 * SECOND, &mut rng);
        table.accept(0, &quote(2), now + 5 * SECOND);
        assert_eq!(table.take_due(now + 6 * SECOND), Some((0, quote(2))));
    }

    #[test]
    fn a_symbol_has_at_most_one_write_in_flight() {
        let (mut table, mut rng, now) = table();
        table.accept(0, &quote(1), now);
        table.take_due(now);
        table.accept(0, &quote(2), now);
        assert_eq!(table.take_due(now + 60 * SECOND), None);
        table.resolve(0, Resolution::Settled, now + 60 * SECOND, &mut rng);
        assert_eq!(table.take_due(now + 60 * SECOND), Some((0, quote(2))));
    }

    #[test]
    fn an_older_quote_is_dropped() {
        let (mut table, _, now) = table();
        table.accept(0, &quote(5), now);
        assert_eq!(table.accept(0, &quote(4), now), Accepted::Older);
        assert_eq!(table.take_due(now), Some((0, quote(5))));
    }

    #[test]
    fn the_longest_due_symbol_is_written_first() {
        let (mut table, mut rng, now) = table();
        for slot in 0..3 {
            table.accept(slot, &quote(1), now);
        }
        for _ in 0..3 {
            let (slot, _) = table.take_due(now).unwrap();
            table.resolve(slot, Resolution::Settled, now, &mut rng);
        }
        for (after, slot) in [(0, 2), (1, 0), (2, 1)] {
            table.accept(slot, &quote(2), now + after * SECOND / 10);
        }
        // All three became due at the same instant, a fresh one after them.
        table.accept(3, &quote(1), now + 2 * SECOND);
        let order: Vec<_> = std::iter::from_fn(|| table.take_due(now + 2 * SECOND)).map(|(slot, _)| slot).collect();
        assert_eq!(order.last(), Some(&3));
    }
}
