use std::mem;

use parking_lot::Mutex;
use quotegate_market::Quote;

/// A quote that waits, and the tenant's slot of its symbol. Not in columns: a tenant's memory is rarely in the caches when a
/// quote arrives, and this is one cache line instead of eleven.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Row {
    pub(super) slot: u32,
    pub(super) quote: Quote,
}

/// Quotes that wait, in blocks that all inboxes share: a tenant has only the memory of what waits for it now, however much
/// that was before, and taking everything is exchanging one pointer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The block with the newest rows.
    last: Option<Box<Block>>,
    len: usize,
}

#[derive(Debug, Default)]
struct Block {
    rows: [Row; Block::ROWS],
    previous: Option<Box<Block>>,
}

impl Block {
    /// With what else is in a block, 2 KB.
    const ROWS: usize = 31;
}

/// Blocks that no inbox uses. Beyond this many, 32 MB, they are freed.
#[expect(clippy::vec_box, reason = "blocks move between tenants without a copy")]
static FREE: Mutex<Vec<Box<Block>>> = Mutex::new(Vec::new());
const MOST_FREE: usize = 1 << 14;

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, row: Row) {
        let at = self.len % Block::ROWS;
        if at == 0 {
            self.add_block();
        }
        if let Some(block) = &mut self.last {
            block.rows[at] = row;
            self.len += 1;
        }
    }

    #[cold]
    fn add_block(&mut self) {
        let free = FREE.lock().pop();
        let mut block = free.unwrap_or_default();
        block.previous = self.last.take();
        self.last = Some(block);
    }

    /// The newest block.
    fn remove_block(&mut self) -> Option<Box<Block>> {
        let mut block = self.last.take()?;
        self.last = block.previous.take();
        Some(block)
    }

    /// The newest rows, so many of them, in any order.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = &Row> {
        let in_last = (self.len.max(1) - 1) % Block::ROWS + 1;
        let blocks = std::iter::successors(self.last.as_deref(), |block| block.previous.as_deref());
        let rows = blocks.enumerate().flat_map(move |(at, block)| {
            let filled = if at == 0 { in_last } else { Block::ROWS };
            block.rows[..filled].iter().rev()
        });
        rows.take(count)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // Not by recursion, however many blocks there are.
        while self.remove_block().is_some() {}
    }
}

/// What was taken from [`Rows`].
#[derive(Debug, Default)]
pub(super) struct TakenRows {
    /// Oldest first, all but the last one full.
    #[expect(clippy::vec_box, reason = "blocks move between tenants without a copy")]
    blocks: Vec<Box<Block>>,
    len: usize,
}

impl TakenRows {
    /// Replaces the content.
    pub(super) fn take(&mut self, rows: &mut Rows) {
        self.free();
        self.len = mem::take(&mut rows.len);
        self.blocks.extend(std::iter::from_fn(|| rows.remove_block()));
        self.blocks.reverse();
    }

    /// All rows, oldest first, as slices.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[Row]> {
        let filled = |at: usize| (self.len - at * Block::ROWS).min(Block::ROWS);
        self.blocks.iter().enumerate().map(move |(at, block)| &block.rows[..filled(at)])
    }

    pub(super) fn get(&self, at: u32) -> &Row {
        &self.blocks[at as usize / Block::ROWS].rows[at as usize % Block::ROWS]
    }

    /// Lets others have the memory.
    pub(super) fn free(&mut self) {
        self.len = 0;
        if self.blocks.is_empty() {
            return;
        }
        let mut free = FREE.lock();
        let room = (MOST_FREE - free.len()).min(self.blocks.len());
        free.extend(self.blocks.drain(..room));
        drop(free);
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(counts in prop::collection::vec(0_u32..100, 1..8), newest in 0_usize..100) {
            let mut taken = TakenRows::default();
            for count in counts {
                let mut rows = Rows::default();
                (0..count).for_each(|slot| rows.push(Row { slot, quote: Quote::default() }));
                let found: Vec<u32> = rows.newest(newest).map(|row| row.slot).collect();
                prop_assert_eq!(found, (0..count).rev().take(newest).collect::<Vec<_>>());
                prop_assert_eq!((rows.len(), rows.is_empty()), (count as usize, count == 0));
                taken.take(&mut rows);
                prop_assert!(rows.is_empty());
                let slots: Vec<u32> = taken.slices().flatten().map(|row| row.slot).collect();
                prop_assert!((0..count).all(|at| taken.get(at).slot == at));
                prop_assert_eq!(slots, (0..count).collect::<Vec<_>>());
            }
        }
    }
}
