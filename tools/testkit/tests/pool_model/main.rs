//! The thread pool under a model checker: loom runs each case in every order that its threads and
//! the memory model allow, and fails on a lost wake-up (a deadlock), on a data race, and on a chunk
//! that is done twice, never, or before the step before it.
//!
//! The pool's own source is compiled here, over [`sync`] in place of the library's module of that
//! name. Each of these changes to it made cases fail:
//!
//! | change | what loom found |
//! |---|---|
//! | parking without another look at the state | deadlock |
//! | not waking the caller at the end of a run | deadlock |
//! | `asleep` or `finished` stored with less than `SeqCst`, or `asleep[0]` loaded so at the end | deadlock |
//! | `done` counted with less than `AcqRel` | race on the job |
//! | `finished` loaded with less than `Acquire` in `run` | race on the job |
//! | a step ended when one chunk is still to be done | a chunk left out, or done before its step |
//!
//! That a step is published with `SeqCst` is for speed only: a worker that misses it is not waited for.

#[path = "../../../../src/backend/cpu/pool.rs"]
#[allow(dead_code, missing_docs)]
mod pool;
mod sync;

/// What the pool's source finds under `crate`.
mod backend {
    pub use rocmforge::backend::AbortCheck;
}

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use pool::{Pool, Work};
use rocmforge::{Error, Result};
use sync::{FENCES, Fences};

/// Steps that write down what they do where a race would be seen: a chunk writes its own cell and
/// reads those of the step before.
struct Steps {
    cells: Vec<Vec<UnsafeCell<u32>>>,
    panic_at: Option<(usize, usize)>,
    /// Chunks that were begun.
    begun: AtomicUsize,
}

// SAFETY: that no two threads use a cell at the same time is what loom checks.
unsafe impl Sync for Steps {}

impl Steps {
    fn new(chunks: &[usize]) -> Steps {
        let cells = chunks.iter().map(|&n| (0..n).map(|_| UnsafeCell::new(0)).collect()).collect();
        Steps { cells, panic_at: None, begun: AtomicUsize::new(0) }
    }

    /// How often chunk `chunk` of `step` was done.
    fn done(&self, step: usize, chunk: usize) -> u32 {
        // SAFETY: the pointer is good for the call.
        self.cells[step][chunk].with(|n| unsafe { *n })
    }

    fn all_done_once(&self) {
        for (step, chunks) in self.cells.iter().enumerate() {
            for chunk in 0..chunks.len() {
                assert_eq!(self.done(step, chunk), 1, "chunk {chunk} of step {step}");
            }
        }
    }
}

impl Work for Steps {
    fn n_steps(&self) -> usize {
        self.cells.len()
    }

    fn n_chunks(&self, step: usize, _: usize) -> usize {
        self.cells[step].len()
    }

    fn chunk(&self, step: usize, chunk: usize, n_threads: usize, thread: usize) {
        assert!(thread < n_threads, "a thread that was to stay out took part");
        self.begun.fetch_add(1, Relaxed);
        if self.panic_at == Some((step, chunk)) {
            // Says nothing, unlike a panic, each of the many times.
            std::panic::resume_unwind(Box::new("asked to"));
        }
        if let Some(before) = step.checked_sub(1) {
            assert!((0..self.cells[before].len()).all(|chunk| self.done(before, chunk) == 1));
        }
        // SAFETY: as above.
        self.cells[step][chunk].with_mut(|n| unsafe { *n += 1 });
    }
}

/// Runs `case` in every order that needs at most `preemptions` threads to be interrupted.
fn every_order(preemptions: usize, case: fn()) {
    for fences in [Fences::AfterStores, Fences::BeforeLoads] {
        FENCES.set(fences);
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.max_branches = 100_000;
        model.check(case);
    }
}

fn run(pool: &mut Pool, n_threads: usize, chunks: &[usize]) -> Result<()> {
    let work = Steps::new(chunks);
    let result = pool.run(&work, n_threads, None);
    if result.is_ok() {
        work.all_done_once();
    }
    result
}

#[test]
fn two_threads_two_steps() {
    every_order(2, || {
        let mut pool = Pool::new(2).unwrap();
        run(&mut pool, 2, &[2, 2]).unwrap();
    });
}

#[test]
fn three_threads() {
    every_order(1, || {
        let mut pool = Pool::new(3).unwrap();
        run(&mut pool, 3, &[2, 3]).unwrap();
    });
}

/// Threads that parked after one run, or are about to, find the next.
#[test]
fn one_run_after_another() {
    every_order(2, || {
        let mut pool = Pool::new(2).unwrap();
        run(&mut pool, 2, &[2]).unwrap();
        run(&mut pool, 2, &[1, 2]).unwrap();
    });
}

#[test]
fn a_panic_ends_the_run_and_the_next_one_works() {
    every_order(2, || {
        let mut pool = Pool::new(2).unwrap();
        let mut work = Steps::new(&[2, 2]);
        work.panic_at = Some((0, 1));
        let e = pool.run(&work, 2, None).unwrap_err();
        assert!(matches!(e, Error::Internal(_)), "{e}");
        assert_eq!((work.done(1, 0), work.done(1, 1)), (0, 0));
        run(&mut pool, 2, &[2]).unwrap();
    });
}

#[test]
fn an_abort_ends_the_run_and_the_next_one_works() {
    every_order(2, || {
        let mut pool = Pool::new(2).unwrap();
        let work = Steps::new(&[2, 2]);
        // Steps that the workers finish before the caller looks are not asked about.
        let mut asked = false;
        let mut abort = || {
            asked = true;
            true
        };
        let result = pool.run(&work, 2, Some(&mut abort));
        assert_eq!(matches!(result, Err(Error::Aborted(_))), asked);
        assert!(result.is_err() || work.begun.load(Relaxed) == 4);
        run(&mut pool, 2, &[2]).unwrap();
    });
}

/// A thread that a run leaves out stays out, and comes back.
#[test]
fn fewer_threads_than_the_pool_has() {
    every_order(2, || {
        let mut pool = Pool::new(2).unwrap();
        run(&mut pool, 1, &[2]).unwrap();
        run(&mut pool, 2, &[2]).unwrap();
        run(&mut pool, 1, &[1]).unwrap();
    });
}

/// A larger pool takes the place of one whose threads may be parked, as when a context is given
/// more threads.
#[test]
fn a_pool_is_replaced() {
    every_order(1, || {
        let mut pool = Pool::new(2).unwrap();
        run(&mut pool, 2, &[1]).unwrap();
        pool = Pool::new(3).unwrap();
        run(&mut pool, 3, &[2]).unwrap();
    });
}

#[test]
fn dropped_without_a_run() {
    every_order(4, || drop(Pool::new(3).unwrap()));
}

#[test]
fn nothing_to_do() {
    every_order(3, || {
        let mut pool = Pool::new(2).unwrap();
        run(&mut pool, 2, &[]).unwrap();
        run(&mut pool, 2, &[0, 0]).unwrap();
        run(&mut pool, 2, &[0, 1]).unwrap();
    });
}
