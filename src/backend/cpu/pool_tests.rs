//! The pool on real threads. Every interleaving of a few steps: `tools/testkit/tests/pool_model`.

use super::pool::{Pool, Work};
use crate::Error;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Miri takes a thousand times as long.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };

/// Steps of which each checks that the one before it is complete.
struct Steps {
    chunks: Vec<usize>,
    done: Vec<AtomicUsize>,
    too_early: AtomicUsize,
    panic_at: Option<usize>,
    slow_thread: Option<usize>,
}

impl Steps {
    fn new(chunks: Vec<usize>) -> Self {
        let done = chunks.iter().map(|_| AtomicUsize::new(0)).collect();
        Steps { chunks, done, too_early: AtomicUsize::new(0), panic_at: None, slow_thread: None }
    }
}

impl Work for Steps {
    fn n_steps(&self) -> usize {
        self.chunks.len()
    }
    fn n_chunks(&self, step: usize, _: usize) -> usize {
        self.chunks[step]
    }
    fn chunk(&self, step: usize, chunk: usize, n_threads: usize, thread: usize) {
        assert!(chunk < self.chunks[step] && thread < n_threads);
        if (0..step).any(|s| self.done[s].load(Relaxed) != self.chunks[s]) {
            self.too_early.fetch_add(1, Relaxed);
        }
        if self.slow_thread == Some(thread) {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        if self.panic_at == Some(step) {
            panic!("asked to");
        }
        self.done[step].fetch_add(1, Relaxed);
    }
}

fn check(work: &Steps) {
    for (s, (done, n)) in work.done.iter().zip(&work.chunks).enumerate() {
        assert_eq!(done.load(Relaxed), *n, "chunks of step {s}");
    }
    assert_eq!(work.too_early.load(Relaxed), 0, "chunks that ran before the step before was done");
}

#[test]
fn every_chunk_runs_once_and_in_order() {
    for n_threads in [1, 2, 3, 8] {
        let mut pool = Pool::new(n_threads).unwrap();
        for round in 0..ROUNDS {
            let work = Steps::new((0..50).map(|s| (s * 7 + round) % 19).collect());
            pool.run(&work, n_threads, None).unwrap();
            check(&work);
        }
    }
}

#[test]
fn fewer_threads_than_the_pool_has() {
    let mut pool = Pool::new(8).unwrap();
    for n_threads in [1, 5, 8, 2, 100] {
        let work = Steps::new(vec![16; 40]);
        pool.run(&work, n_threads, None).unwrap();
        check(&work);
    }
}

#[test]
fn threads_that_slept_come_back() {
    let mut pool = Pool::new(3).unwrap();
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let mut work = Steps::new(vec![6; 10]);
        work.slow_thread = Some(1);
        pool.run(&work, 3, None).unwrap();
        check(&work);
    }
}

#[test]
fn no_work_is_fine() {
    let mut pool = Pool::new(2).unwrap();
    pool.run(&Steps::new(vec![]), 2, None).unwrap();
    pool.run(&Steps::new(vec![0, 0, 0]), 2, None).unwrap();
}

#[test]
fn abort_skips_the_rest_and_the_pool_goes_on() {
    let mut pool = Pool::new(2).unwrap();
    // Only the calling thread asks; the other shall not have done all before it comes to that.
    let mut work = Steps::new(vec![4; 100]);
    work.slow_thread = Some(1);
    let mut asked = 0;
    let mut abort = || {
        asked += 1;
        asked > 3
    };
    let e = pool.run(&work, 2, Some(&mut abort)).unwrap_err();
    assert!(matches!(e, Error::Aborted(_)));
    assert!(work.done[99].load(Relaxed) == 0);
    let work = Steps::new(vec![4; 10]);
    pool.run(&work, 2, None).unwrap();
    check(&work);
}

#[test]
fn a_panic_is_an_error_and_the_pool_goes_on() {
    let mut pool = Pool::new(2).unwrap();
    let mut work = Steps::new(vec![4; 10]);
    work.panic_at = Some(5);
    assert!(matches!(pool.run(&work, 2, None).unwrap_err(), Error::Internal(_)));
    assert_eq!(work.done[9].load(Relaxed), 0);
    let work = Steps::new(vec![4; 10]);
    pool.run(&work, 2, None).unwrap();
    check(&work);
}
