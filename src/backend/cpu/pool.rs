//! The thread pool of a session: the calling thread and its workers run a list of steps, each cut
//! into chunks that whoever is free claims.
//!
//! A step is over when all its chunks are done, not when all threads have arrived, so a thread
//! that the system has not scheduled holds nobody up. A thread without work spins briefly, because
//! the next step mostly comes within microseconds, and then parks, because the processors may
//! belong to others.
//!
//! All synchronisation goes through [`super::sync`], for which `tools/testkit/tests/pool_model` puts a model
//! that tries every interleaving; change nothing here without running it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::{Arc, OnceLock};

use super::sync::{AtomicBool, AtomicU32, AtomicU64, Builder, JoinHandle, Thread, UnsafeCell};
use super::sync::{current, park, spin_loop, spins};
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
    workers: OnceLock<Vec<Thread>>,
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
            workers: OnceLock::new(),
        });
        let mut pool = Pool { shared, workers: Vec::new() };
        for id in 1..n_threads {
            let shared = pool.shared.clone();
            let worker = Builder::new()
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
            let caller = Some(current());
            let job = Job { work, step: 0, n_steps: work_len(work), n_chunks: 0, n_threads, caller };
            shared.job.with_mut(|at| *at = job);
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
        let (work, step, n_chunks, n_threads) = self.job.with(|job| unsafe {
            let job = &*job;
            (job.work, job.step, job.n_chunks, job.n_threads)
        });
        if !self.aborted.load(Relaxed) && !self.panicked.load(Relaxed) {
            let chunk = n_chunks - (state & 0xffff) as usize;
            // SAFETY: as above; `run` keeps the work alive until the last chunk is done.
            let work = unsafe { &*work };
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
    unsafe fn publish_from(&self, step: usize) {
        let epoch = (self.state.load(Relaxed) >> 16).wrapping_add(1);
        // What is needed of `job` is taken out of it here: once the step is public, `job` belongs
        // to those who claim.
        // SAFETY: the caller's promise makes this thread the only one that looks at `job`, and the
        // work is alive, because the run is not over.
        let (n_chunks, n_threads, caller) = self.job.with_mut(|job| unsafe {
            let job = &mut *job;
            let next = (step..job.n_steps)
                .map(|step| (step, (*job.work).n_chunks(step, job.n_threads)))
                .find(|(_, n_chunks)| *n_chunks > 0);
            let (step, n_chunks) = next.unwrap_or((job.n_steps, 0));
            (job.step, job.n_chunks) = (step, n_chunks);
            // The caller's handle is counted, so it is cloned only for a caller that sleeps.
            let caller = match n_chunks {
                0 => job.caller.take(),
                _ if self.asleep[0].load(Relaxed) => job.caller.clone(),
                _ => None,
            };
            (n_chunks, job.n_threads, caller)
        });
        if n_chunks > 0 {
            debug_assert!(n_chunks <= 0xffff, "chunks of a step fit 16 bits");
            self.done.store(0, Relaxed);
            self.state.store(epoch << 16 | n_chunks as u64, SeqCst);
            // One chunk is for this thread; nobody need wake for a step that has no other.
            self.wake(n_chunks - 1, n_threads, caller);
            return;
        }
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
        for _ in 0..spins(SPINS) {
            if !stay() {
                return;
            }
            spin_loop();
        }
        self.asleep[id].store(true, SeqCst);
        if stay() {
            park();
        }
        self.asleep[id].store(false, Release);
    }
}
