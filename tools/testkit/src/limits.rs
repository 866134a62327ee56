//! What this machine can do at most: the roofs that speeds are reported against.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use rocmforge::backend::hip::device::Device;
use rocmforge::backend::hip::memory::Memory;
use rocmforge::backend::hip::module::Kernels;
use rocmforge::backend::hip::stream::{Event, Stream};

/// How long each thread measures, in seconds.
const TIME: f64 = 0.3;

/// Bytes that `n_threads` threads read a second, all streaming at once from a buffer far larger than
/// a last-level cache.
pub fn read_bandwidth(n_threads: usize) -> f64 {
    let words = vec![1u64; 64 << 20];
    let parts: Vec<&[u64]> = words.chunks(words.len().div_ceil(n_threads.max(1))).collect();
    together(n_threads, |thread| {
        let mut bytes = 0;
        for chunk in parts[thread].chunks(1 << 19) {
            black_box(sum(black_box(chunk)));
            bytes += size_of_val(chunk);
        }
        bytes
    })
}

/// Several sums at once, so that additions do not wait for each other.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in words.as_chunks::<32>().0 {
        for (s, w) in sums.iter_mut().zip(chunk) {
            *s = s.wrapping_add(*w);
        }
    }
    sums.iter().fold(0, |a, w| a.wrapping_add(*w))
}

/// Bytes that GPU `index` reads a second, from memory far larger than its caches, by the kernel of
/// `tools/testkit/kernels`, which lies in the folder of `ROCMFORGE_KERNELS`.
pub fn gpu_read_bandwidth(index: usize) -> Result<f64, String> {
    const BYTES: usize = 4 << 30;
    const ROUNDS: usize = 8;
    let measure = || {
        let device = Device::open(index)?;
        let bytes = BYTES.min(device.free_bytes()? as usize / 2) / 16 * 16;
        let memory = Memory::new(&device, bytes + 16, "measuring")?;
        let read = Kernels::new(device.clone()).function("read", "read")?;
        let stream = Stream::new(&device)?;
        let (begin, end) = (Event::timed(&device)?, Event::timed(&device)?);
        let mut best = f32::INFINITY;
        // As many blocks as fill a GPU depends on it: the best of a few.
        for blocks in [2, 4, 8, 16].map(|n| n * device.info().n_cu) {
            let args = [memory.ptr(), bytes as u64 / 16, memory.ptr() + bytes as u64, u64::from(blocks)];
            // SAFETY: the kernel reads and writes within the memory, which lives until the stream is done.
            unsafe {
                stream.fill(memory.ptr(), 0, bytes)?;
                for _ in 0..ROUNDS {
                    begin.record(&stream)?;
                    stream.launch(&read, [blocks, 1, 1], 512, 0, bytemuck::bytes_of(&args))?;
                    end.record(&stream)?;
                    end.synchronize()?;
                    best = best.min(end.elapsed(&begin)?);
                }
            }
        }
        Ok(bytes as f64 / (f64::from(best) * 1e-3))
    };
    measure().map_err(|e: rocmforge::Error| e.to_string())
}

/// Operations a second (a multiplication and an addition are two) of 8-bit dot products on
/// registers, by the widest instruction that the processor has for them; `None` where that is not
/// known here.
pub fn int8_peak(n_threads: usize) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the processor has the instructions.
        return Some(together(n_threads, |_| unsafe { vnni(1 << 16) }));
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        return Some(together(n_threads, |_| unsafe { avx2(1 << 16) }));
    }
    let _ = n_threads;
    None
}

/// `rounds` times twelve independent dot products; how many operations that was.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni(rounds: usize) -> usize {
    use std::arch::x86_64::*;
    let mut sums = [_mm512_setzero_si512(); 12];
    let (a, b) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(2)));
    for _ in 0..rounds {
        for s in &mut sums {
            *s = _mm512_dpbusd_epi32(*s, a, b);
        }
        black_box(());
    }
    black_box(sums);
    rounds * sums.len() * 128
}

/// As [`vnni`], in three instructions a dot product.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(rounds: usize) -> usize {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_setzero_si256(); 8];
    let (a, b) = (black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(2)));
    let ones = _mm256_set1_epi16(1);
    for _ in 0..rounds {
        for s in &mut sums {
            let pairs = _mm256_maddubs_epi16(black_box(a), b);
            *s = _mm256_add_epi32(*s, _mm256_madd_epi16(pairs, ones));
        }
    }
    black_box(sums);
    rounds * sums.len() * 64
}

/// What `n_threads` threads do a second, each calling `work` (which tells how much it did) again
/// and again.
fn together(n_threads: usize, work: impl Fn(usize) -> usize + Sync) -> f64 {
    let start = Barrier::new(n_threads.max(1));
    let run = |thread| {
        start.wait();
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed().as_secs_f64() < TIME {
            done += work(thread);
        }
        done as f64 / begin.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> = (0..n_threads.max(1)).map(|t| scope.spawn(move || run(t))).collect();
        workers.into_iter().filter_map(|w| w.join().ok()).sum()
    })
}
