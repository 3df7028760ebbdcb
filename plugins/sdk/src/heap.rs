//! The heap of a plugin: free lists by size, which is all that its short-lived lists and strings need.
//!
//! Each call by the host passes a list per column and takes lists back, so a plugin spends much of its time in its
//! allocator. Rust's default allocator for WebAssembly splits and joins blocks at every step; this one takes a block from
//! a list and puts it back. Blocks that are too large or too strictly aligned go to Rust's allocator.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// The smallest block, and the strictest alignment that the lists support.
const SMALLEST: usize = 16;
/// Blocks of 16, 32, … bytes; the largest is 64 KiB.
const CLASSES: usize = 13;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// New blocks are requested at least this many bytes at a time. A plugin uses most sizes, and a host runs thousands of
/// plugins, so a list should take a small part of a page, not a whole one.
const CHUNK: usize = 512;

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
            // SAFETY: `at` is within the chunk, with `size` bytes behind it that nothing else uses, aligned for an address.
            unsafe {
                let block = chunk.add(at);
                block.cast::<*mut u8>().write(next);
                next = block;
            }
        }
        // SAFETY: as for `Sync`: nothing else accesses the lists now. The list was empty, or this was not called.
        unsafe { (*self.free.get())[class] = next };
        chunk
    }
}

/// The list for this layout.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(SMALLEST);
    let fits = size <= LARGEST && layout.align() <= SMALLEST;
    fits.then(|| (usize::BITS - (size - 1).leading_zeros()) as usize - SMALLEST.trailing_zeros() as usize)
}

// SAFETY: a block is at least as large as requested, aligned to 16 bytes or by Rust's allocator, and not used by anything
// else: it leaves its list before it is returned, and comes back only through `dealloc`, to the same list since the
// layout is the same.
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
        // SAFETY: as for `Sync`; the caller no longer uses the block, and it is large enough for an address.
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
