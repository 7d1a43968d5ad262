//! The allocator of the component: small blocks by moving a pointer, large ones from another allocator.
//!
//! Normalising makes thousands of small blocks for a batch and gives all of them back. So a small block is cut off a chunk, and a chunk
//! counts its blocks; when the last one comes back, the whole chunk is free again.
//!
//! Invariant: a block is given out once until it comes back; a chunk is used anew only when none of its blocks is in use. One block that
//! lives long keeps its chunk from being used anew, which costs [`CHUNK`] at most; few blocks outlive a batch.

#![allow(unsafe_code, reason = "an allocator hands out memory by pointer")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;

/// Bytes of a chunk, and what it is aligned to, so that a block's chunk is found from its address.
const CHUNK: usize = 64 * 1024;
/// The largest block that is cut off a chunk.
const SMALL: usize = 2 * 1024;
/// Blocks begin at multiples of this.
const ALIGN: usize = 8;
/// What a chunk keeps at its beginning.
const HEADER: usize = 16;

/// The beginning of a chunk.
#[repr(C)]
struct Chunk {
    /// Blocks in use.
    blocks: usize,
    /// The next chunk that is free; meaningful only while this one is free.
    next: *mut Chunk,
}

/// Small blocks from chunks, the rest from `B`.
pub struct Chunks<B> {
    large: B,
    state: UnsafeCell<State>,
}

struct State {
    /// The chunk that blocks are cut off; null at first.
    current: *mut Chunk,
    /// Where its next block begins, as a distance from its beginning.
    used: usize,
    /// The first of the free chunks.
    free: *mut Chunk,
}

// SAFETY: a component has one thread, so `state` is never used by two at a time. The type is used as a static only there; tests
// use it in one thread.
unsafe impl<B: Sync> Sync for Chunks<B> {}

impl<B> Chunks<B> {
    /// An allocator without chunks yet.
    pub const fn new(large: B) -> Self {
        let state = State { current: ptr::null_mut(), used: CHUNK, free: ptr::null_mut() };
        Self { large, state: UnsafeCell::new(state) }
    }
}

#[inline]
fn is_small(layout: &Layout) -> bool {
    layout.size() <= SMALL && layout.align() <= ALIGN
}

#[inline]
fn chunk_of(block: *mut u8) -> *mut Chunk {
    block.map_addr(|address| address & !(CHUNK - 1)).cast()
}

const fn chunk_layout() -> Layout {
    match Layout::from_size_align(CHUNK, CHUNK) {
        Ok(layout) => layout,
        Err(_) => panic!("the size of a chunk is a power of two"),
    }
}

impl<B: GlobalAlloc> Chunks<B> {
    /// Makes a free chunk the current one. False if there is no memory.
    #[cold]
    fn renew(&self, state: &mut State) -> bool {
        let mut chunk = state.free;
        if chunk.is_null() {
            // SAFETY: the layout has a size.
            chunk = unsafe { self.large.alloc(chunk_layout()) }.cast();
            if chunk.is_null() {
                return false;
            }
        } else {
            // SAFETY: a chunk in the list of free ones is ours, and its header was written when it was put there.
            state.free = unsafe { (*chunk).next };
        }
        // SAFETY: the chunk is ours, none of its blocks is in use, and it is large enough and aligned for a header.
        unsafe { chunk.write(Chunk { blocks: 0, next: ptr::null_mut() }) };
        state.current = chunk;
        state.used = HEADER;
        true
    }
}

// SAFETY: blocks don't overlap, since `used` of the current chunk goes back only to the beginning of its last block, when that is given
// back, and a chunk starts anew only when all of its blocks came back. They are aligned to ALIGN because chunks, HEADER and all sizes cut
// off are multiples of it. Whether a block is small follows from its layout alone, so it goes back to where it came from.
unsafe impl<B: GlobalAlloc> GlobalAlloc for Chunks<B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_small(&layout) {
            // SAFETY: passed on as it came.
            return unsafe { self.large.alloc(layout) };
        }
        // SAFETY: one thread, and no call in here comes back to this allocator.
        let state = unsafe { &mut *self.state.get() };
        let size = (layout.size() + ALIGN - 1) & !(ALIGN - 1);
        if state.used + size > CHUNK && !self.renew(state) {
            return ptr::null_mut();
        }
        // SAFETY: `used` and the block behind it are within the current chunk, which is ours.
        unsafe {
            let block = state.current.cast::<u8>().add(state.used);
            state.used += size;
            (*state.current).blocks += 1;
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_small(&layout) {
            // SAFETY: passed on as it came.
            return unsafe { self.large.dealloc(block, layout) };
        }
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.state.get() };
        let chunk = chunk_of(block);
        // SAFETY: the block was cut off this chunk, so its header is there and counts the block.
        unsafe {
            (*chunk).blocks -= 1;
            if (*chunk).blocks > 0 {
                // The last block of the chunk leaves its room for the next one.
                let offset = block.addr() & (CHUNK - 1);
                let room = (layout.size() + ALIGN - 1) & !(ALIGN - 1);
                if chunk == state.current && offset + room == state.used {
                    state.used = offset;
                }
                return;
            }
            if chunk == state.current {
                state.used = HEADER;
            } else {
                (*chunk).next = state.free;
                state.free = chunk;
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller says that the size fits the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if !is_small(&layout) && !is_small(&wanted) {
            // SAFETY: passed on as it came.
            return unsafe { self.large.realloc(block, layout, size) };
        }
        if is_small(&layout) && is_small(&wanted) {
            // SAFETY: as in `alloc`.
            let state = unsafe { &mut *self.state.get() };
            let room = (layout.size() + ALIGN - 1) & !(ALIGN - 1);
            if size <= room {
                return block;
            }
            // The last block of the chunk grows where it is.
            let offset = block.addr() & (CHUNK - 1);
            let end = offset + ((size + ALIGN - 1) & !(ALIGN - 1));
            if chunk_of(block) == state.current && offset + room == state.used && end <= CHUNK {
                state.used = end;
                return block;
            }
        }
        // SAFETY: the new block is another one, and both are at least as long as what is copied.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Take(usize),
        Give(prop::sample::Index),
        Resize(prop::sample::Index, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = || prop_oneof![8 => 1..300_usize, 1 => 1..(3 * SMALL)];
        prop_oneof![
            5 => size().prop_map(Step::Take),
            4 => any::<prop::sample::Index>().prop_map(Step::Give),
            2 => (any::<prop::sample::Index>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
        ]
    }

    /// A block that is filled with a byte of its own.
    struct Block {
        pointer: *mut u8,
        layout: Layout,
        fill: u8,
    }

    impl Block {
        fn bytes(&self) -> &[u8] {
            // SAFETY: the block is in use and was filled.
            unsafe { std::slice::from_raw_parts(self.pointer, self.layout.size()) }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn blocks_in_use_keep_their_bytes(steps in prop::collection::vec(step(), 1..600)) {
            let chunks = Chunks::new(System);
            let mut blocks: Vec<Block> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let fill = (number % 251) as u8;
                match step {
                    Step::Take(size) => {
                        let layout = Layout::from_size_align(size, 8).unwrap();
                        // SAFETY: the size isn't zero, and what is written is the block.
                        let pointer = unsafe { chunks.alloc(layout) };
                        prop_assert!(!pointer.is_null() && pointer.addr() % 8 == 0);
                        unsafe { pointer.write_bytes(fill, size) };
                        blocks.push(Block { pointer, layout, fill });
                    }
                    Step::Give(which) if !blocks.is_empty() => {
                        let block = blocks.swap_remove(which.index(blocks.len()));
                        prop_assert!(block.bytes().iter().all(|b| *b == block.fill));
                        // SAFETY: the block is in use, and is not used again.
                        unsafe { chunks.dealloc(block.pointer, block.layout) };
                    }
                    Step::Resize(which, size) if !blocks.is_empty() => {
                        let index = which.index(blocks.len());
                        let block = &mut blocks[index];
                        let kept = block.layout.size().min(size);
                        // SAFETY: the block is in use, the size isn't zero, and what is written is the block.
                        block.pointer = unsafe { chunks.realloc(block.pointer, block.layout, size) };
                        block.layout = Layout::from_size_align(size, 8).unwrap();
                        let start = unsafe { std::slice::from_raw_parts(block.pointer, kept) };
                        prop_assert!(start.iter().all(|b| *b == block.fill));
                        unsafe { block.pointer.write_bytes(block.fill, size) };
                    }
                    _ => {}
                }
                prop_assert!(blocks.iter().all(|block| block.bytes().iter().all(|b| *b == block.fill)));
            }
            for block in blocks {
                // SAFETY: as above.
                unsafe { chunks.dealloc(block.pointer, block.layout) };
            }
        }
    }

    #[test]
    fn what_is_given_back_at_once_takes_no_room() {
        let chunks = Chunks::new(System);
        let layout = Layout::from_size_align(1_000, 8).unwrap();
        // SAFETY: every block is given back once.
        let used = unsafe {
            let kept = chunks.alloc(layout);
            for _ in 0..1_000 {
                let (first, second) = (chunks.alloc(layout), chunks.alloc(layout));
                chunks.dealloc(second, layout);
                chunks.dealloc(first, layout);
            }
            let last = chunks.alloc(layout);
            let used = [kept, last].map(|block| chunk_of(block).addr());
            chunks.dealloc(last, layout);
            chunks.dealloc(kept, layout);
            used
        };
        assert_eq!(used[0], used[1]);
    }

    #[test]
    fn a_batch_that_comes_back_leaves_its_chunks_for_the_next() {
        let chunks = Chunks::new(System);
        let layout = Layout::from_size_align(100, 8).unwrap();
        let batch = || {
            // SAFETY: every block is given back once.
            let blocks: Vec<*mut u8> = (0..5_000).map(|_| unsafe { chunks.alloc(layout) }).collect();
            blocks.iter().for_each(|block| unsafe { chunks.dealloc(*block, layout) });
            let mut used: Vec<usize> = blocks.into_iter().map(|block| chunk_of(block).addr()).collect();
            used.sort_unstable();
            used.dedup();
            used
        };
        assert_eq!(batch(), batch());
    }
}
