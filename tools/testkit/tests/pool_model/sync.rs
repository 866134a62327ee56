//! What `src/backend/cpu/sync.rs` gives the pool, as loom models it.

use std::cell::Cell;
use std::sync::atomic::Ordering::{self, SeqCst};

use loom::sync::atomic::fence;
pub use loom::thread::{Builder, JoinHandle, Thread, current, park};

/// A wait of any length is covered by waits of no turns: what can happen while a thread spins can
/// happen before it begins to park.
pub fn spins(_: u32) -> u32 {
    0
}

pub fn spin_loop() {
    unreachable!("no turns are asked for");
}

pub struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        UnsafeCell(loom::cell::UnsafeCell::new(value))
    }

    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// What makes accesses sequentially consistent. loom takes such an access for an acquiring or releasing
/// one; only its fences are what they are called. So the order between different places, on which
/// parking relies, is written as fences, in either of the two ways that compilers know: after every
/// store, or before every load. What is right is right under both; each shows accesses that are too
/// weak which the other makes up for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fences {
    AfterStores,
    BeforeLoads,
}

thread_local! {
    /// loom runs all threads of a model on the one that called it.
    pub static FENCES: Cell<Fences> = const { Cell::new(Fences::AfterStores) };
}

fn fence_if(order: Ordering, here: Fences) {
    if order == SeqCst && FENCES.get() == here {
        fence(SeqCst);
    }
}

macro_rules! atomics {
    ($($name:ident: $value:ty),+) => {
        $(pub struct $name(loom::sync::atomic::$name);

        #[allow(dead_code, reason = "the pool uses a part of each")]
        impl $name {
            #[track_caller]
            pub fn new(value: $value) -> Self {
                $name(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                fence_if(order, Fences::BeforeLoads);
                self.0.load(order)
            }

            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
                fence_if(order, Fences::AfterStores);
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                assert_ne!(success, SeqCst, "not modelled");
                self.0.compare_exchange(old, new, success, failure)
            }
        })+
    };
}
atomics!(AtomicBool: bool, AtomicU32: u32, AtomicU64: u64);

impl AtomicU32 {
    #[track_caller]
    pub fn fetch_add(&self, n: u32, order: Ordering) -> u32 {
        assert_ne!(order, SeqCst, "not modelled");
        self.0.fetch_add(n, order)
    }
}
