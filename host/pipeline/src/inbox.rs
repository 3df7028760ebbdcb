//! Where quotes wait for a tenant. Only here do the reader's thread and a tenant share a lock on the path of a quote.

mod rows;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use tokio::sync::Notify;

use self::rows::{Row, Rows, TakenRows};
use crate::budget::now;

/// Quotes on their way from the router to one tenant.
///
/// The router never waits here. If the tenant lags, its waiting quotes conflate: beyond `capacity`, only the newest quote
/// of each symbol stays. So memory is bounded by the tenant's symbols, and other tenants are not affected.
///
/// A wake-up costs as much as fifty quotes. So a tenant is woken only for a quote that can be written at once, or when many
/// wait. It looks by itself for the others.
///
/// In this order, and aligned, so that what every delivery needs is one cache line: it is rarely in the caches.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    rows: Rows,
    attention: Attention,
    capacity: usize,
    rare: Box<Rare>,
}

/// What most deliveries do not touch.
#[derive(Debug)]
struct Rare {
    new_symbols: Vec<Symbol>,
    /// How many slots there are.
    slots: usize,
    conflated: u64,
    /// For conflation: the newest row of each slot. Kept to save the allocation.
    newest: Vec<u32>,
    closed: bool,
    /// By slot: from when on a quote of it can be written at once; `None` if no quote can change when it is written next.
    writable_from: Vec<Option<Instant>>,
    /// Before the tenant's first turn. For slots that have never been written.
    created: Instant,
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
    /// While the quotes are put into columns.
    rows: TakenRows,
}

/// Whether the tenant must be woken for quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// It runs or is about to, and looks again before it rests.
    Awake,
    /// It looks by itself at this time at the latest, so quotes that cannot be written before wait for it.
    LooksAt(Instant),
    /// It looks by itself, early enough for every quote of its slots.
    LooksInTime,
    /// Every quote must wake it.
    Asleep,
}

impl Inbox {
    /// 64 frames of 64 quotes. A tenant that keeps up never gets near it.
    pub const CAPACITY: usize = 4096;
    /// So many waiting quotes wake the tenant even if it cannot write them: enough that the wake-up costs little per quote,
    /// few enough to stay in the CPU caches.
    const WAKE_ROWS: usize = 256;

    /// An empty inbox that notifies `wake` whenever something arrives.
    pub fn new(capacity: usize, wake: Arc<Notify>) -> Self {
        let rare = Rare {
            new_symbols: Vec::new(),
            slots: 0,
            conflated: 0,
            newest: Vec::new(),
            closed: false,
            writable_from: Vec::new(),
            created: now(),
        };
        let waiting = Waiting { rows: Rows::default(), attention: Attention::Asleep, capacity, rare: Box::new(rare) };
        Self { waiting: Mutex::new(waiting), wake }
    }

    /// Loads what [`Self::deliver`] needs into the processor's caches. Unlike deliveries, such loads overlap.
    pub fn prefetch(&self) {
        std::hint::black_box(self.waiting.is_locked());
    }

    /// Adds the next slot, before the first quote of it arrives.
    pub fn add_slot(&self, symbol: Symbol) {
        let mut waiting = self.waiting.lock();
        waiting.rare.new_symbols.push(symbol);
        waiting.rare.slots += 1;
        if waiting.attention == Attention::LooksInTime {
            waiting.attention = Attention::Asleep;
        }
    }

    /// Adds quotes with their slots.
    pub fn deliver(&self, quotes: impl Iterator<Item = (u32, Quote)>) {
        let wakes = {
            let mut waiting = self.waiting.lock();
            let before = waiting.rows.len();
            quotes.for_each(|(slot, quote)| waiting.rows.push(Row { slot, quote }));
            let wakes = waiting.must_wake(waiting.attention, waiting.rows.len() - before);
            if waiting.rows.len() > waiting.capacity {
                waiting.conflate();
            }
            if wakes {
                waiting.attention = Attention::Awake;
            }
            wakes
        };
        if wakes {
            self.wake.notify_one();
        }
    }

    /// The tenant rests until a quote must wake it, and looks by itself at `looks_at`. `writable_from`: from when on a quote
    /// of each of these slots can be written at once, or `None` if none can change when the slot is written next. Returns
    /// false if a quote that waits must wake the tenant already: then it has to take the quotes first.
    pub fn rest(&self, looks_at: Option<Instant>, writable_from: impl Iterator<Item = (u32, Option<Instant>)>) -> bool {
        let mut waiting = self.waiting.lock();
        let rare = &mut *waiting.rare;
        for (slot, from) in writable_from {
            let slot = slot as usize;
            if slot >= rare.writable_from.len() {
                rare.writable_from.resize(slot + 1, Some(rare.created));
            }
            rare.writable_from[slot] = from;
        }
        let attention = match looks_at {
            None => Attention::Asleep,
            Some(at) if rare.none_is_writable_before(at) => Attention::LooksInTime,
            Some(at) => Attention::LooksAt(at),
        };
        let rests = waiting.rows.is_empty() || !waiting.must_wake(attention, waiting.rows.len());
        waiting.attention = if rests { attention } else { Attention::Awake };
        rests
    }

    /// Forgets from when on quotes can be written: until it is set again, every quote wakes the tenant.
    pub fn forget_writable_from(&self) {
        self.waiting.lock().rare.writable_from.clear();
    }

    /// Replaces the content of `batch` with everything that waits. False if no quotes waited.
    pub fn take(&self, batch: &mut Batch) -> bool {
        batch.quotes.clear();
        batch.new_symbols.clear();
        let mut rows = {
            let mut waiting = self.waiting.lock();
            waiting.attention = Attention::Awake;
            if waiting.rows.is_empty() {
                return false;
            }
            batch.new_symbols.append(&mut waiting.rare.new_symbols);
            batch.conflated = mem::take(&mut waiting.rare.conflated);
            mem::take(&mut waiting.rows)
        };
        batch.rows.take(&mut rows);
        for rows in batch.rows.slices() {
            batch.quotes.extend(rows.iter().map(|row| (row.slot, &row.quote)));
        }
        batch.rows.free();
        true
    }

    /// Signals that no more quotes will arrive.
    pub fn close(&self) {
        self.waiting.lock().rare.closed = true;
        self.wake.notify_one();
    }

    /// True when it is closed and no quotes wait.
    pub fn is_finished(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.rare.closed && waiting.rows.is_empty()
    }
}

impl Rare {
    /// With more slots, looking at all of them before each rest costs more than it saves.
    const MOST_SLOTS: usize = 64;

    /// True if it is certain that no quote can be written before the tenant looks at `at`.
    fn none_is_writable_before(&self, at: Instant) -> bool {
        let soon = |from: &Option<Instant>| from.is_some_and(|from| from <= at + Waiting::LATE);
        let known = self.writable_from.len();
        known <= Self::MOST_SLOTS && known >= self.slots && !self.writable_from.iter().any(soon)
    }
}

impl Waiting {
    /// A timer may be this late. Quotes must be taken before their symbols become due, because the order in which those
    /// become due is the order of the writes.
    const LATE: Duration = Duration::from_millis(10);

    /// Whether the newest quotes, so many of them, must wake the tenant.
    fn must_wake(&self, attention: Attention, newest: usize) -> bool {
        let looks_at = match attention {
            Attention::Awake => return false,
            Attention::Asleep => return true,
            Attention::LooksInTime => return self.rows.len() >= Inbox::WAKE_ROWS,
            Attention::LooksAt(at) => at + Self::LATE,
        };
        if self.rows.len() >= Inbox::WAKE_ROWS {
            return true;
        }
        let never_written = Some(self.rare.created);
        let from = |row: &Row| self.rare.writable_from.get(row.slot as usize).copied().unwrap_or(never_written);
        self.rows.newest(newest).any(|row| from(row).is_some_and(|from| from <= looks_at))
    }

    /// Keeps the newest quote of each symbol, in order. Each call either at least halves what waits, or raises the capacity
    /// towards twice the number of the tenant's symbols, so the cost per quote is constant.
    fn conflate(&mut self) {
        const NONE: u32 = u32::MAX;
        let before = self.rows.len();
        let mut taken = TakenRows::default();
        taken.take(&mut self.rows);
        let newest = &mut self.rare.newest;
        newest.fill(NONE);
        let rows = || (0..).zip(taken.slices().flatten());
        for (at, Row { slot, quote }) in rows() {
            let slot = *slot as usize;
            if slot >= newest.len() {
                newest.resize(slot + 1, NONE);
            }
            let held = newest[slot];
            if held == NONE || quote.event_time >= taken.get(held).quote.event_time {
                newest[slot] = at;
            }
        }
        for (_, row) in rows().filter(|(at, row)| newest[row.slot as usize] == *at) {
            self.rows.push(*row);
        }
        taken.free();
        let kept = self.rows.len();
        self.rare.conflated += (before - kept) as u64;
        self.capacity = self.capacity.max(2 * kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);

    fn columns(rows: &[(u32, i64)]) -> QuoteColumns {
        let mut columns = QuoteColumns::default();
        for &(slot, event_time) in rows {
            columns.push(slot, &Quote { event_time, ..Quote::default() });
        }
        columns
    }

    fn arrive(inbox: &Inbox, rows: &[(u32, i64)]) {
        let quote = |event_time| Quote { event_time, ..Quote::default() };
        inbox.deliver(rows.iter().map(|&(slot, event_time)| (slot, quote(event_time))));
    }

    fn inbox(capacity: usize) -> Inbox {
        Inbox::new(capacity, Arc::new(Notify::new()))
    }

    #[test]
    fn quotes_arrive_in_order_while_there_is_room() {
        let inbox = inbox(10);
        arrive(&inbox, &[(0, 1), (1, 2)]);
        arrive(&inbox, &[(0, 3)]);
        let mut batch = Batch::default();
        assert!(inbox.take(&mut batch));
        assert_eq!((batch.quotes, batch.conflated), (columns(&[(0, 1), (1, 2), (0, 3)]), 0));
        assert!(!inbox.take(&mut Batch::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn quotes_that_cannot_be_written_before_the_tenant_looks_do_not_wake_it() {
        let (wake, begin) = (Arc::new(Notify::new()), now());
        let inbox = Inbox::new(10_000, wake.clone());
        let add_slot = |name| inbox.add_slot(Symbol::new(name).unwrap());
        ["S0", "S1"].into_iter().for_each(add_slot);
        let woken = async || timeout(Duration::ZERO, wake.notified()).await.is_ok();
        let rest = |seconds| inbox.rest(Some(begin + seconds * SECOND), std::iter::empty());
        let deliver = |slot, count| {
            let rows: Vec<_> = (0..count).map(|_| (slot, 1)).collect();
            arrive(&inbox, &rows);
        };
        deliver(0, 1);
        assert!(woken().await, "nobody looks by itself yet");
        deliver(0, 1);
        assert!(!woken().await, "it is about to look already");
        inbox.take(&mut Batch::default());
        deliver(0, 1);
        assert!(!woken().await && !rest(2), "it must look once more before it rests");
        inbox.take(&mut Batch::default());

        let writable_from = [(0, Some(begin + 3 * SECOND)), (1, None)];
        assert!(inbox.rest(Some(begin + 2 * SECOND), writable_from.into_iter()));
        deliver(0, 3);
        deliver(1, 3);
        assert!(!woken().await, "slot 0 too early, slot 1 dirty");
        assert!(!rest(3), "a timer may be late");
        inbox.take(&mut Batch::default());
        assert!(rest(2));
        add_slot("S2");
        deliver(2, 1);
        assert!(woken().await, "slot 2 was never written");

        inbox.take(&mut Batch::default());
        assert!(rest(2));
        deliver(1, Inbox::WAKE_ROWS - 1);
        assert!(!woken().await);
        deliver(1, 1);
        assert!(woken().await, "too many wait");
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
                arrive(&inbox, frame);
                most = most.max(inbox.waiting.lock().rows.len());
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
