//! The thread pool of a session: the calling thread and its workers run a list of steps, each cut
//! into chunks that whoever is free claims.
//!
//! A step is over when all its chunks are done, not when all threads have arrived, so a thread
//! that the system has not scheduled holds nobody up. A thread without work spins briefly, because
//! the next step mostly comes within microseconds, and then parks, because the processors may
//! belong to others.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::thread::{JoinHandle, Thread};

use crate::{Error, Result};

/// A list of steps to run.
pub trait Work: Sync {
    /// Number of steps.
    fn n_steps(&self) -> usize;
    /// Chunks of a step for `n_threads` threads, fewer than 65,536; none skips the step.
    fn n_chunks(&self, step: usize, n_threads: usize) -> usize;
    /// Does one chunk of those that `n_chunks` gave for `n_threads`, on thread `thread`. Chunks of a step run at the same time, steps one after another.
    fn chunk(&self, step: usize, chunk: usize, n_threads: usize, thread: usize);
}

/// How often a thread without work looks for some before it parks; tens of microseconds.
const SPINS: u32 = 1000;

/// The calling thread and `n_threads - 1` workers.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// High 48 bits: number of the step since the pool was made. Low 16: chunks not yet claimed.
    state: AtomicU64,
    /// Chunks of the current step that are done.
    done: AtomicU32,
    /// Threads that take part in the current run.
    active: AtomicU32,
    /// The current step. Written only while no chunk is claimed or claimable, read only by threads
    /// that hold a claim.
    job: UnsafeCell<Job>,
    /// Set once the last step of a run is done.
    finished: AtomicBool,
    /// Chunks still to be claimed do nothing.
    aborted: AtomicBool,
    /// A chunk panicked.
    panicked: AtomicBool,
    shutdown: AtomicBool,
    /// One per thread, the caller first: it is parked or about to park.
    asleep: Vec<AtomicBool>,
    /// Workers to wake; set once.
    workers: once_cell::sync::OnceCell<Vec<Thread>>,
}

struct Job {
    work: *const dyn Work,
    step: usize,
    n_steps: usize,
    n_chunks: usize,
    n_threads: usize,
    caller: Option<Thread>,
}

// SAFETY: `job` is the only part that is not Sync by itself. It is written by `run` before the
// first step is published and by the thread that finishes a step's last chunk, and read by threads
// that have claimed a chunk of the published step: the publication (release store of `state`) and
// the claim (acquire) order the two, and no step is replaced before all its claims are done.
unsafe impl Sync for Shared {}
// SAFETY: the raw pointer in `job` is dereferenced only during `run`, which borrows the work.
unsafe impl Send for Shared {}

/// Work of the idle pool; never called.
struct Nothing;
impl Work for Nothing {
    fn n_steps(&self) -> usize {
        0
    }
    fn n_chunks(&self, _: usize, _: usize) -> usize {
        0
    }
    fn chunk(&self, _: usize, _: usize, _: usize, _: usize) {}
}

impl Pool {
    /// A pool of `n_threads` threads, the caller of [`Pool::run`] among them.
    pub fn new(n_threads: usize) -> Result<Pool> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            done: AtomicU32::new(0),
            active: AtomicU32::new(0),
            job: UnsafeCell::new(Job {
                work: &Nothing,
                step: 0,
                n_steps: 0,
                n_chunks: 0,
                n_threads: 0,
                caller: None,
            }),
            finished: AtomicBool::new(true),
            aborted: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            shutdown: AtomicBool::new(false),
            asleep: (0..n_threads).map(|_| AtomicBool::new(false)).collect(),
            workers: once_cell::sync::OnceCell::new(),
        });
        let mut pool = Pool { shared, workers: Vec::new() };
        for id in 1..n_threads {
            let shared = pool.shared.clone();
            let worker = std::thread::Builder::new()
                .name(format!("rf-cpu-{id}"))
                .spawn(move || shared.work_until_shutdown(id))
                .map_err(|e| Error::Backend(format!("cannot start compute thread {id}: {e}")))?;
            pool.workers.push(worker);
        }
        let threads = pool.workers.iter().map(|w| w.thread().clone()).collect();
        pool.shared.workers.set(threads).map_err(|_| Error::Internal("pool made twice".into()))?;
        Ok(pool)
    }

    /// Threads, the caller's among them.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs all steps of `work` on the first `n_threads` threads. `abort` is asked now and then on
    /// the calling thread; once it says yes the remaining chunks are skipped and the result is
    /// [`Error::Aborted`].
    pub fn run(
        &mut self,
        work: &dyn Work,
        n_threads: usize,
        mut abort: Option<crate::backend::AbortCheck<'_>>,
    ) -> Result<()> {
        let shared = &*self.shared;
        let n_threads = n_threads.clamp(1, self.n_threads());
        shared.finished.store(false, Relaxed);
        shared.aborted.store(false, Relaxed);
        shared.panicked.store(false, Relaxed);
        shared.active.store(n_threads as u32, Relaxed);
        // SAFETY: the previous run is over, so no thread holds a claim and none can be made before
        // `publish_from`. The lifetime is cut off, but `work` outlives this call, and no chunk
        // runs after `finished`.
        unsafe {
            let work = std::mem::transmute::<*const (dyn Work + '_), *const (dyn Work + 'static)>(work);
            let caller = Some(std::thread::current());
            *shared.job.get() =
                Job { work, step: 0, n_steps: work_len(work), n_chunks: 0, n_threads, caller };
            shared.publish_from(0);
        }
        let mut seen_epoch = u64::MAX;
        while !shared.finished.load(Acquire) {
            let state = shared.state.load(Acquire);
            if let Some(abort) = abort.as_mut()
                && state >> 16 != seen_epoch
            {
                seen_epoch = state >> 16;
                if !shared.aborted.load(Relaxed) && abort() {
                    shared.aborted.store(true, Relaxed);
                }
            }
            if !shared.try_chunk(state, 0) {
                shared.wait(state, 0);
            }
        }
        if shared.panicked.load(Relaxed) {
            return Err(Error::Internal("a compute kernel panicked".into()));
        }
        if shared.aborted.load(Relaxed) {
            return Err(Error::Aborted("stopped by the abort callback".into()));
        }
        Ok(())
    }
}

/// # Safety
/// `work` must be alive.
unsafe fn work_len(work: *const dyn Work) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*work).n_steps() }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker only returns; its panics were caught and reported by `run`.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn work_until_shutdown(&self, id: usize) {
        while !self.shutdown.load(Acquire) {
            let state = self.state.load(Acquire);
            if !self.try_chunk(state, id) {
                self.wait(state, id);
            }
        }
    }

    /// Claims and does a chunk of the step in `state`. False if there is none to be had.
    fn try_chunk(&self, state: u64, id: usize) -> bool {
        // `active` was stored before this state was; if it has changed since, so has the state, and
        // the claim fails.
        if state & 0xffff == 0 || id >= self.active.load(Relaxed) as usize {
            return false;
        }
        if self.state.compare_exchange(state, state - 1, AcqRel, Relaxed).is_err() {
            return true;
        }
        // SAFETY: a chunk of the current step is ours, so `job` stays as it is until it is done.
        let job = unsafe { &*self.job.get() };
        let (step, n_chunks, n_threads) = (job.step, job.n_chunks, job.n_threads);
        if !self.aborted.load(Relaxed) && !self.panicked.load(Relaxed) {
            let chunk = n_chunks - (state & 0xffff) as usize;
            // SAFETY: as above; `run` keeps the work alive until the last chunk is done.
            let work = unsafe { &*job.work };
            let run = std::panic::AssertUnwindSafe(|| work.chunk(step, chunk, n_threads, id));
            if std::panic::catch_unwind(run).is_err() {
                self.panicked.store(true, Relaxed);
            }
        }
        if self.done.fetch_add(1, AcqRel) as usize + 1 == n_chunks {
            // SAFETY: every chunk of the step is done and none is left to claim.
            unsafe { self.publish_from(step + 1) };
        }
        true
    }

    /// Makes the first step at or after `step` that has chunks claimable, or ends the run.
    ///
    /// # Safety
    /// No chunk is claimed or claimable, and the run is not over.
    unsafe fn publish_from(&self, mut step: usize) {
        // SAFETY: the caller's promise makes this thread the only one that looks at `job`.
        let job = unsafe { &mut *self.job.get() };
        let epoch = (self.state.load(Relaxed) >> 16).wrapping_add(1);
        while step < job.n_steps {
            // SAFETY: the run is not over, so the work is alive.
            let n_chunks = unsafe { (*job.work).n_chunks(step, job.n_threads) };
            if n_chunks > 0 {
                debug_assert!(n_chunks <= 0xffff, "chunks of a step fit 16 bits");
                (job.step, job.n_chunks) = (step, n_chunks);
                let n_threads = job.n_threads;
                // A handle of its own: once the step is public, `job` belongs to those who claim.
                let caller = if self.asleep[0].load(Relaxed) { job.caller.clone() } else { None };
                self.done.store(0, Relaxed);
                self.state.store(epoch << 16 | n_chunks as u64, SeqCst);
                // One chunk is for this thread; nobody need wake for a step that has no other.
                self.wake(n_chunks - 1, n_threads, caller);
                return;
            }
            step += 1;
        }
        let caller = job.caller.take();
        self.state.store(epoch << 16, Relaxed);
        self.finished.store(true, SeqCst);
        if self.asleep[0].load(SeqCst)
            && let Some(caller) = caller
        {
            caller.unpark();
        }
    }

    /// Wakes up to `n` parked threads: the caller, if it is one, then workers among the first
    /// `n_threads`.
    fn wake(&self, mut n: usize, n_threads: usize, caller: Option<Thread>) {
        if n > 0
            && let Some(caller) = caller
        {
            caller.unpark();
            n -= 1;
        }
        let Some(workers) = self.workers.get() else { return };
        let asleep = (1..n_threads).filter(|&id| self.asleep[id].load(SeqCst));
        for id in asleep.take(n) {
            workers[id - 1].unpark();
        }
    }

    /// Waits until the state is no longer `seen`: spins, then parks.
    fn wait(&self, seen: u64, id: usize) {
        let stay = || {
            self.state.load(SeqCst) == seen
                && !self.shutdown.load(SeqCst)
                && !(id == 0 && self.finished.load(SeqCst))
        };
        for _ in 0..SPINS {
            if !stay() {
                return;
            }
            std::hint::spin_loop();
        }
        self.asleep[id].store(true, SeqCst);
        if stay() {
            std::thread::park();
        }
        self.asleep[id].store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

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
            for round in 0..200 {
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
        let work = Steps::new(vec![4; 100]);
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
}
