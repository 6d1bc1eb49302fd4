//! Where the proxy puts the values of a hook: a bump arena, emptied when the hook returns.
//!
//! A view is two allocations per hook. From here they cost an addition each, and nothing is freed one
//! by one. What does not fit (a large body) comes from the global allocator and goes back at the end.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;

use super::Single;

const SIZE: usize = 16 * 1024;

#[repr(C, align(16))]
struct Space([u8; SIZE]);

struct Arena {
    used: usize,
    large: Vec<(*mut u8, Layout)>,
}

/// Apart from `ARENA`, so that it is all zero and takes no room in the file.
static SPACE: Single<Space> = Single::new(Space([0; SIZE]));
static ARENA: Single<Arena> = Single::new(Arena { used: 0, large: Vec::new() });

/// A fill level to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    used: usize,
    large: usize,
}

/// `cabi_realloc`. The proxy asks for new memory only, except where a string's encoding changes; then
/// the old range is copied and left behind.
///
/// # Safety
/// `old` is null or a range of `old_size` bytes given out before; `align` is a power of two.
pub unsafe fn realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: no other reference into the arena is held while the proxy allocates.
    let new = unsafe { ARENA.get() }.take(size, align);
    if old_size > 0 {
        // SAFETY: `new` is fresh, both ranges are at least this long.
        unsafe { ptr::copy_nonoverlapping(old, new, old_size.min(size)) };
    }
    new
}

/// The fill level now.
pub(super) fn mark() -> Mark {
    // SAFETY: the reference ends here.
    let arena = unsafe { ARENA.get() };
    Mark { used: arena.used, large: arena.large.len() }
}

/// Gives back what was taken since the mark; no reference to it may be left.
pub(super) fn release(mark: Mark) {
    // SAFETY: the reference ends here.
    let arena = unsafe { ARENA.get() };
    arena.used = mark.used;
    arena.free_large(mark.large);
}

/// Gives everything back.
pub(super) fn reset() {
    release(Mark { used: 0, large: 0 });
}

impl Arena {
    fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        if size == 0 {
            return ptr::without_provenance_mut(align);
        }
        let start = self.used.next_multiple_of(align);
        match start.checked_add(size) {
            Some(end) if end <= SIZE => {
                self.used = end;
                // SAFETY: start < end <= SIZE; the range overlaps none given out since the last reset.
                unsafe { SPACE.0.get().cast::<u8>().add(start) }
            }
            _ => self.take_large(size, align),
        }
    }

    fn take_large(&mut self, size: usize, align: usize) -> *mut u8 {
        let Ok(layout) = Layout::from_size_align(size, align) else { core::arch::wasm32::unreachable() };
        // SAFETY: size is not zero.
        let new = unsafe { alloc(layout) };
        if new.is_null() {
            core::arch::wasm32::unreachable() // out of memory: this exchange's fault
        }
        self.large.push((new, layout));
        new
    }

    fn free_large(&mut self, keep: usize) {
        for (old, layout) in self.large.drain(keep.min(self.large.len())..) {
            // SAFETY: allocated with this layout by `take_large`, freed once.
            unsafe { dealloc(old, layout) };
        }
    }
}
