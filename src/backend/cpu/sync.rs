//! What the thread pool synchronises with: the standard library's, under names for which
//! `tools/testkit/tests/pool_model` has a model of its own.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
pub(super) use std::thread::{Builder, JoinHandle, Thread, current, park};

/// How often to spin of `n` times; the model spins less, since it tries every length of a wait.
#[inline(always)]
pub(super) const fn spins(n: u32) -> u32 {
    n
}

/// A [`std::cell::UnsafeCell`] whose uses are bounded, so that the model sees overlapping ones.
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Runs `f`, which only reads.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Runs `f`, which may write.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
