//! An allocator that remembers the largest request of each thread, to show that numbers in a
//! file do not size memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Largest;

#[global_allocator]
static ALLOCATOR: Largest = Largest;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` and returns what it gives and the size of its largest allocation.
pub fn largest<T>(f: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let out = f();
    (out, LARGEST.get())
}

fn note(size: usize) {
    // Fails while a thread ends, when nobody measures any more.
    let _ = LARGEST.try_with(|l| l.set(l.get().max(size)));
}

// SAFETY: every call goes to the system's allocator unchanged; noting a size does not allocate.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
