//! Speed of the weight products against the limits of this machine, measured in the same run.
//!
//!     cargo bench --bench matmul [-- FILTER [SECONDS [COLUMNS,COLUMNS...]]]
//!
//! For each type and instruction set that match FILTER, with one thread and with all:
//! generation (one column, weights far larger than the caches) in GB/s of weights read and as a
//! share of plain reads; prompts (256 columns) in 10^9 multiplications and additions a second and,
//! where the peak is known, as a share of its 8-bit dot products. With a list of columns,
//! microseconds of a product with a matrix of 4 MiB instead, on one thread.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rocmforge::backend::cpu::Isa;
use rocmforge::backend::cpu::matmul::{
    ActKind, Acts, ROW_TILE, Weight, act_kind, act_row_bytes, matmul, quantize_act, scratch_bytes,
};
use rocmforge::quant::GgmlType;
use rocmforge_testkit::limits;

const K: usize = 2048;
/// Weights of a bandwidth measurement: far more than a last-level cache.
const BYTES: usize = 256 << 20;
const COLUMNS: usize = 256;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let filter = args.next().unwrap_or_default();
    let seconds: f64 = args.next().and_then(|s| s.parse().ok()).unwrap_or(0.5);
    let sweep: Vec<usize> =
        args.next().map_or(vec![], |s| s.split(',').map(|n| n.parse().unwrap()).collect());
    let all = std::thread::available_parallelism().map_or(1, |n| n.get());
    let counts: Vec<usize> = if all == 1 { vec![1] } else { vec![1, all] };
    let last = counts.len() - 1;

    let (mut reads, mut dots) = (Vec::new(), Vec::new());
    if sweep.is_empty() {
        for &threads in &counts {
            reads.push(limits::read_bandwidth(threads) * 1e-9);
            dots.push(limits::int8_peak(threads).unwrap_or(f64::NAN) * 1e-9);
        }
        println!("threads {counts:?}; plain reads, GB/s: {reads:.1?}; 8-bit dot products, GOPS: {dots:.0?}");
        println!("k = {K}; generation: n = 1; prompt: n = {COLUMNS}");
        println!(
            "{:<6} {:<7} {:>8} {:>8} {:>8}  {:>8} {:>8} {:>8}",
            "type", "isa", "GB/s 1T", "GB/s nT", "share", "GOPS 1T", "GOPS nT", "share"
        );
    }
    for &ty in GgmlType::ALL.iter().filter(|ty| ty.is_computable()) {
        for &isa in Isa::available().iter().rev() {
            let name = format!("{}/{isa:?}", ty.name());
            if !name.contains(&filter) || (filter.is_empty() && isa == Isa::Scalar) {
                continue;
            }
            if !sweep.is_empty() {
                let each: Vec<f64> =
                    sweep.iter().map(|&n| 4e6 / bench(isa, ty, n, 4 << 20, 1, seconds).0 * 1e6).collect();
                println!("{name}: {each:.0?} us");
                continue;
            }
            let one: Vec<f64> =
                counts.iter().map(|&t| bench(isa, ty, 1, BYTES, t, seconds).0 * 1e-9).collect();
            let many: Vec<f64> =
                counts.iter().map(|&t| bench(isa, ty, COLUMNS, 4 << 20, t, seconds).1 * 1e-9).collect();
            println!(
                "{:<6} {:<7} {:>8.2} {:>8.2} {:>7.0}%  {:>8.1} {:>8.1} {:>7.0}%",
                ty.name(),
                format!("{isa:?}"),
                one[0],
                one[last],
                100.0 * one[last] / reads[last],
                many[0],
                many[last],
                100.0 * many[last] / dots[last]
            );
        }
    }
    let x = vec![0.5f32; 4864];
    let mut out = vec![0; act_row_bytes(x.len())];
    for &isa in Isa::available() {
        let start = Instant::now();
        for _ in 0..1000 {
            quantize_act(isa, black_box(&x), black_box(&mut out));
        }
        println!("quantize_act {isa:?}: {:.2} ns a block", start.elapsed().as_secs_f64() * 1e9 / 152e3);
    }
}

/// Bytes of weights and operations a second.
fn bench(isa: Isa, ty: GgmlType, n: usize, bytes: usize, threads: usize, seconds: f64) -> (f64, f64) {
    let row_bytes = ty.row_bytes(K).unwrap();
    let n_rows = (bytes / row_bytes) / (threads * ROW_TILE) * (threads * ROW_TILE);
    let data = weights(ty, n_rows * row_bytes);
    let w = Weight { ty, data: &data, k: K, n_rows };
    let x: Vec<f32> = (0..n * K).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 504.0).collect();
    let (stride, acts) = match act_kind(ty) {
        ActKind::F32 => (K * 4, bytemuck::cast_slice(&x).to_vec()),
        ActKind::Q8 => {
            let stride = act_row_bytes(K);
            let mut acts = vec![0; stride * n];
            for (x, out) in x.chunks(K).zip(acts.chunks_mut(stride)) {
                quantize_act(isa, x, out);
            }
            (stride, acts)
        }
    };
    let acts: Vec<u64> = bytemuck::cast_slice(&acts).to_vec();
    let x = Acts { data: bytemuck::cast_slice(&acts), row_bytes: stride, n };
    let mut dst = vec![0f32; n_rows * n];
    let dst = Dst(dst.as_mut_ptr());
    let rate = parallel(threads, seconds, n_rows, |rows| {
        let mut scratch = vec![0; scratch_bytes(ty, K, n)];
        let dst = &dst;
        // SAFETY: dst holds n columns of n_rows; threads have disjoint rows.
        unsafe { matmul(isa, &w, rows, &x, dst.0, n_rows, &mut scratch) };
    });
    (rate * row_bytes as f64, rate * (2 * K * n) as f64)
}

struct Dst(*mut f32);
// SAFETY: threads write disjoint elements.
unsafe impl Sync for Dst {}

/// Runs `work` on equal parts of `0..total` again and again; units a second, of the best run.
fn parallel(threads: usize, seconds: f64, total: usize, work: impl Fn(Range<usize>) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let part = total / threads;
    let limit = Duration::from_secs_f64(seconds);
    let best = std::thread::scope(|s| {
        let run = |i: usize| {
            let (barrier, work) = (&barrier, &work);
            move || {
                let start = Instant::now();
                let mut best = f64::MAX;
                // The first thread decides when to stop; the others learn it at the barrier.
                for round in 0.. {
                    barrier.wait();
                    let begin = Instant::now();
                    work(i * part..(i + 1) * part);
                    barrier.wait();
                    best = best.min(begin.elapsed().as_secs_f64());
                    let done = round >= 2 && start.elapsed() > limit;
                    if i == 0 {
                        STOP.store(done, std::sync::atomic::Ordering::SeqCst);
                    }
                    barrier.wait();
                    if STOP.load(std::sync::atomic::Ordering::SeqCst) {
                        return best;
                    }
                }
                best
            }
        };
        let others: Vec<_> = (1..threads).map(|i| s.spawn(run(i))).collect();
        let best = run(0)();
        others.into_iter().for_each(|t| {
            t.join().unwrap();
        });
        best
    });
    (part * threads) as f64 / best
}

static STOP: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Arbitrary quants and sane floats: subnormal and overflowing products would be slow.
fn weights(ty: GgmlType, bytes: usize) -> Vec<u8> {
    let mut state = ty as u32 + 1;
    (0..bytes)
        .map(|i| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            match ty {
                GgmlType::F32 if i % 4 == 3 => 0x3e,
                GgmlType::BF16 if i % 2 == 1 => 0x3e,
                GgmlType::MXFP4 if i % 17 == 0 => 0x7a,
                // No f16 field can be infinite or NaN, whichever bytes it is made of.
                _ => (state >> 24) as u8 & 0x5b,
            }
        })
        .collect()
}
