//! How fast this machine reads memory: the roof of generation, which reads every weight once a
//! token.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// The buffer, in 64-bit words: 512 MiB, far more than a last-level cache keeps.
const WORDS: usize = 512 << 17;
/// Words between two looks at the clock: 4 MiB.
const CHUNK: usize = 4 << 17;
/// How long every thread reads.
const TIME: Duration = Duration::from_millis(300);

/// Bytes per second that `n_threads` threads read together, each summing its part of a buffer again
/// and again.
pub fn measure(n_threads: usize) -> Outcome<f64> {
    let mut buffer: Vec<u64> = Vec::new();
    buffer
        .try_reserve_exact(WORDS)
        .map_err(|_| Failure::Failed("no memory for the bandwidth test (512 MiB)".into()))?;
    // Written, so that every page is a page of its own.
    buffer.resize(WORDS, 1);
    let mut parts = buffer.chunks(WORDS.div_ceil(n_threads.max(1)));
    let Some(own) = parts.next() else { return Ok(0.0) };
    thread::scope(|scope| {
        let workers: Result<Vec<_>, _> =
            parts.map(|part| thread::Builder::new().spawn_scoped(scope, move || read(part))).collect();
        let workers =
            workers.map_err(|e| Failure::Failed(format!("cannot start {n_threads} threads: {e}")))?;
        let rate = read(own);
        Ok(rate + workers.into_iter().filter_map(|w| w.join().ok()).sum::<f64>())
    })
}

/// Bytes per second that this thread reads from `words`.
fn read(words: &[u64]) -> f64 {
    let start = Instant::now();
    let mut n_bytes = 0;
    for chunk in words.chunks(CHUNK).cycle() {
        black_box(sum(black_box(chunk)));
        n_bytes += size_of_val(chunk);
        if start.elapsed() >= TIME {
            break;
        }
    }
    n_bytes as f64 / start.elapsed().as_secs_f64()
}

/// Several sums at once, so that additions do not wait for each other.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let (chunks, rest) = words.as_chunks::<32>();
    for chunk in chunks {
        for (s, w) in sums.iter_mut().zip(chunk) {
            *s = s.wrapping_add(*w);
        }
    }
    rest.iter().chain(&sums).fold(0, |a, w| a.wrapping_add(*w))
}
