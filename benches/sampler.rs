//! Speed of sampling from a row of 152,064 logits, beside what reading the row costs.
//!
//! `cargo bench --bench sampler`: microseconds of one token with each chain, and of the pass that no
//! selection can do without: the maximum of the row, with the widest vectors.

use std::time::Instant;

use rocmforge::sampler::{Chain, Dist, Greedy, MinP, Temperature, TopK, TopP, Typical};

const N_VOCAB: usize = 152_064;
/// As many rows as leave the caches of a core no row to keep from one token to the next.
const N_ROWS: usize = 8;

/// Rows as models give them: most logits near their mean, a few likely words far above.
fn rows() -> Vec<Vec<f32>> {
    let mut state = 1u64;
    let mut unit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f32 / (1u64 << 53) as f32
    };
    let mut normal = || (0..12).map(|_| unit()).sum::<f32>() - 6.0;
    (0..N_ROWS)
        .map(|_| {
            let mut row: Vec<f32> = (0..N_VOCAB).map(|_| 2.0 * normal()).collect();
            for i in 0..50 {
                row[(i * 2_654_435_761usize) % N_VOCAB] = 16.0 - 0.15 * i as f32;
            }
            row
        })
        .collect()
}

/// Microseconds of the median call, each on the next row.
fn time(rows: &[Vec<f32>], mut f: impl FnMut(&[f32])) -> f64 {
    rows.iter().for_each(|row| f(row));
    let mut times: Vec<f64> = (0..2000)
        .map(|i| {
            let start = Instant::now();
            f(&rows[i % rows.len()]);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The largest of a row: what any selection has to read.
fn maximum(row: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(row: &[f32]) -> f32 {
            use std::arch::x86_64::*;
            let mut max = [_mm256_set1_ps(f32::NEG_INFINITY); 8];
            for chunk in row.as_chunks::<64>().0 {
                for (i, m) in max.iter_mut().enumerate() {
                    // SAFETY: eight of the 64 elements, from i * 8 on.
                    *m = _mm256_max_ps(*m, unsafe { _mm256_loadu_ps(chunk.as_ptr().add(i * 8)) });
                }
            }
            let max = max.into_iter().reduce(|a, b| _mm256_max_ps(a, b)).unwrap_or(_mm256_setzero_ps());
            let mut lanes = [0.0; 8];
            // SAFETY: room for eight.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), max) };
            lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just said that it runs AVX2.
            return unsafe { avx2(row) };
        }
    }
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn main() {
    let rows = rows();
    let bound = time(&rows, |row| {
        std::hint::black_box(maximum(row));
    });
    let gbs = |us: f64| (N_VOCAB * 4) as f64 / us * 1e-3;
    println!("{:44} {bound:8.1} us  {:5.1} GB/s", "reading the row once (maximum)", gbs(bound));
    let report = |name: &str, mut chain: Chain| {
        let us = time(&rows, |row| {
            chain.sample(row).expect("a token");
        });
        println!("{name:44} {us:8.1} us  {:5.2} x the bound", us / bound);
    };
    let make = |build: &dyn Fn(&mut Chain)| {
        let mut chain = Chain::new();
        build(&mut chain);
        chain
    };
    let temp = || Temperature::new(0.8).expect("finite");
    let top_p = || TopP::new(0.95, 1).expect("finite");
    let min_p = || MinP::new(0.05, 1).expect("finite");
    report("greedy", make(&|c| c.push(Greedy)));
    report(
        "top-k 40, top-p, temperature, dist",
        make(&|c| {
            c.push(TopK::new(40));
            c.push(top_p());
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
    report(
        "top-k 40, top-p, min-p, temperature, dist",
        make(&|c| {
            c.push(TopK::new(40));
            c.push(top_p());
            c.push(min_p());
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
    report(
        "min-p, temperature, dist",
        make(&|c| {
            c.push(min_p());
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
    report(
        "top-p, temperature, dist",
        make(&|c| {
            c.push(top_p());
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
    report(
        "typical, temperature, dist",
        make(&|c| {
            c.push(Typical::new(0.95, 1).expect("finite"));
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
    report(
        "temperature, dist",
        make(&|c| {
            c.push(temp());
            c.push(Dist::new(1));
        }),
    );
}
