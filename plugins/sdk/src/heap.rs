//! The heap of a plugin: free lists by size, which is all that its short-lived lists and texts need.
//!
//! Each call of the host brings a list for every column and takes lists back, so a plugin spends much of its time
//! in its allocator. The one that Rust brings for WebAssembly splits and joins blocks at every step; here a block is taken
//! from a list and put back. What is too large or too strictly aligned for that goes to Rust's own.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// The smallest block, and the strictest alignment that lists serve.
const SMALLEST: usize = 16;
/// Blocks of 16, 32, … bytes; the largest has 64 KiB.
const CLASSES: usize = 13;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// New blocks come at least so many bytes at a time.
const CHUNK: usize = 4096;

/// The allocator.
pub(crate) struct Heap {
    /// The first free block of each size; each free block begins with the address of the next.
    free: UnsafeCell<[*mut u8; CLASSES]>,
}

// SAFETY: a plugin has one thread. Threads are off in the host's engine, and nothing here blocks or is interrupted
// between two instructions in favour of other code of the plugin.
unsafe impl Sync for Heap {}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self { free: UnsafeCell::new([null_mut(); CLASSES]) }
    }

    /// Gets blocks from Rust's allocator: one for now, the rest for the list. Null if there are none.
    #[cold]
    fn refill(&self, class: usize) -> *mut u8 {
        let size = SMALLEST << class;
        let bytes = size.max(CHUNK);
        // SAFETY: the size is not zero, and it and the alignment are powers of two far below the limit.
        let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(bytes, SMALLEST)) };
        if chunk.is_null() {
            return chunk;
        }
        let mut next = null_mut();
        for at in (size..bytes).step_by(size).rev() {
            // SAFETY: `at` is within the chunk, with `size` bytes behind it that nobody else has, aligned for an address.
            unsafe {
                let block = chunk.add(at);
                block.cast::<*mut u8>().write(next);
                next = block;
            }
        }
        // SAFETY: as for `Sync`: nobody else looks at the lists now. The list was empty, or this was not called.
        unsafe { (*self.free.get())[class] = next };
        chunk
    }
}

/// Which list serves this layout.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(SMALLEST);
    let fits = size <= LARGEST && layout.align() <= SMALLEST;
    fits.then(|| (usize::BITS - (size - 1).leading_zeros()) as usize - SMALLEST.trailing_zeros() as usize)
}

// SAFETY: a block is at least as large as asked for, aligned to 16 bytes or by Rust's allocator, and in nobody else's
// hands: it leaves its list before it is given, and comes back only through `dealloc`, by the same class since the layout
// is the same.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: as for `Sync`; a block on the list is free and begins with the address of the next.
        unsafe {
            let first = &mut (*self.free.get())[class];
            let block = *first;
            if block.is_null() {
                return self.refill(class);
            }
            *first = block.cast::<*mut u8>().read();
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class(layout) else {
            // SAFETY: the caller's promise, and `alloc` sent this layout there too.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: as for `Sync`; the block is the caller's no more, and large enough for an address.
        unsafe {
            let first = &mut (*self.free.get())[class];
            block.cast::<*mut u8>().write(*first);
            *first = block;
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is not zero and does not overflow with the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: the caller's promise, and `alloc` sent this layout there too.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            _ => {
                // SAFETY: both blocks have as many bytes as are copied, and are not the same.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random requests, each block filled with its own number, which must be there still when it is grown or given back.
    #[test]
    fn blocks_are_aligned_and_nobody_elses() {
        let heap = Heap::new();
        let mut random = fastrand::Rng::with_seed(5);
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let some_size = |random: &mut fastrand::Rng| {
            let limit = 1 << random.u32(0..18);
            random.usize(1..=limit)
        };
        for step in 0..20_000_u32 {
            let number = step.to_le_bytes()[0];
            if held.is_empty() || random.u8(..) < 140 {
                let size = some_size(&mut random);
                let layout = Layout::from_size_align(size, 1 << random.u32(0..6)).unwrap();
                // SAFETY: the size is not zero.
                let block = unsafe { heap.alloc(layout) };
                assert!(!block.is_null() && block.addr() % layout.align() == 0);
                // SAFETY: the block has this size.
                unsafe { block.write_bytes(number, size) };
                held.push((block, layout, number));
                continue;
            }
            let (block, layout, number) = held.swap_remove(random.usize(..held.len()));
            // SAFETY: the block is held and has this size.
            let content = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            assert!(content.iter().all(|byte| *byte == number));
            if random.bool() {
                // SAFETY: the block is held, and given back once.
                unsafe { heap.dealloc(block, layout) };
                continue;
            }
            let size = some_size(&mut random);
            // SAFETY: the block is held, the size is not zero.
            let moved = unsafe { heap.realloc(block, layout, size) };
            // SAFETY: the block has the new size, and the smaller of both was copied.
            let content = unsafe { std::slice::from_raw_parts(moved, layout.size().min(size)) };
            assert!(content.iter().all(|byte| *byte == number));
            // SAFETY: the block has this size.
            unsafe { moved.write_bytes(number, size) };
            held.push((moved, Layout::from_size_align(size, layout.align()).unwrap(), number));
        }
        for (block, layout, _) in held {
            // SAFETY: the block is held, and given back once.
            unsafe { heap.dealloc(block, layout) };
        }
    }
}
