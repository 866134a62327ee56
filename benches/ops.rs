//! Speed of the f32 kernels against the limits of the machine, one thread.
//!
//! `cargo bench --bench ops -- [isa] [filter]`: prints GFLOP/s of attention over prompts beside
//! the f32 FMA peak measured first, and GB/s of generation and of row operations.

use std::time::Instant;

use rocmforge::backend::cpu::{Isa, ops::*};
use rocmforge::graph::RopeStyle;

/// Seconds of the fastest of many calls: what the kernel takes when nothing else runs.
fn time(mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    let mut calls = 0;
    while calls < 5 || begin.elapsed().as_millis() < 150 {
        let start = thread_seconds();
        f();
        best = best.min(thread_seconds() - start);
        calls += 1;
    }
    best
}

/// Seconds of processor time of this thread, so that others on the machine count less.
fn thread_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// f32 operations per second of independent chains of FMAs on one core, with the widest vectors.
#[cfg(target_arch = "x86_64")]
fn fma_peak() -> f64 {
    use std::arch::asm;
    const N: u64 = 20_000;
    macro_rules! chains {
        ($reg:literal, $lanes:literal) => {
            (N * 12 * 2 * $lanes) as f64
                / time(|| {
                    // SAFETY: the machine has the instructions; only declared registers change.
                    unsafe {
                        asm!(
                            "2:",
                            concat!("vfmadd231ps ", $reg, "0, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "1, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "2, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "3, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "4, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "5, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "6, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "7, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "8, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "9, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "10, ", $reg, "12, ", $reg, "12"),
                            concat!("vfmadd231ps ", $reg, "11, ", $reg, "12, ", $reg, "12"),
                            "dec {n}",
                            "jnz 2b",
                            n = inout(reg) N => _,
                            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        )
                    }
                })
        };
    }
    match Isa::available().last() {
        Some(Isa::Avx512) => chains!("zmm", 16),
        Some(Isa::Avx2) => chains!("ymm", 8),
        _ => f64::NAN,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fma_peak() -> f64 {
    f64::NAN
}

struct Layer {
    ty: KvType,
    shape: AttnShape,
    q: Vec<f32>,
    k: Vec<u8>,
    v: Vec<u8>,
    mask: Vec<u64>,
    words: usize,
    out: Vec<f32>,
    scratch: Vec<u8>,
}

impl Layer {
    /// `sees` says of each cell, besides that it comes before the token, whether it is seen.
    fn new(
        ty: KvType,
        (n_head, n_head_kv, dim): (usize, usize, usize),
        n_tokens: usize,
        n_kv: usize,
        sees: impl Fn(usize) -> bool,
    ) -> Layer {
        let scale = 1.0 / (dim as f32).sqrt();
        let shape = AttnShape { n_head, n_head_kv, head_dim_k: dim, head_dim_v: dim, n_cells: n_kv, scale };
        let words = n_kv.div_ceil(64);
        let mut mask = vec![0u64; n_tokens * words];
        for t in 0..n_tokens {
            for c in (0..n_kv - n_tokens + t + 1).filter(|&c| sees(c)) {
                mask[t * words + c / 64] |= 1 << (c % 64);
            }
        }
        // Numbers of about 1, varied: any two bytes are one, but a block begins with a scale.
        let rows = n_head_kv * n_kv;
        let cache: Vec<u8> = (0..rows * ty.row_bytes(dim) / 2)
            .flat_map(|i| {
                let scale = ty == KvType::Q8_0 && i % 17 == 0;
                let half = if scale { 0x2000 } else { 0x3800 + (i * 37 % 1024) as u16 };
                half.to_le_bytes()
            })
            .collect();
        Layer {
            ty,
            shape,
            q: (0..n_tokens * n_head * dim).map(|i| (i % 17) as f32 * 0.1 - 0.8).collect(),
            k: cache.clone(),
            v: cache,
            mask,
            words,
            out: vec![0.0; n_tokens * n_head * dim],
            scratch: vec![0; attention_scratch_bytes(&shape)],
        }
    }

    fn run(&mut self, isa: Isa, n_tokens: usize) {
        let s = self.shape;
        let a = Attention {
            shape: s,
            type_k: self.ty,
            type_v: self.ty,
            q: self.q.as_ptr(),
            q_stride: s.n_head * s.head_dim_k,
            k: self.k.as_ptr(),
            v: self.v.as_ptr(),
            mask: &self.mask,
            mask_words: self.words,
            n_kv: s.n_cells,
            out: self.out.as_mut_ptr(),
            out_stride: s.n_head * s.head_dim_v,
        };
        // SAFETY: the set is available and the buffers have the stated shapes.
        unsafe { attention(isa, &a, 0..n_tokens, 0..s.n_head, &mut self.scratch) }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let isas: Vec<Isa> = Isa::available()
        .iter()
        .copied()
        .filter(|i| !args.iter().any(|a| a.starts_with('=')) || args.contains(&format!("={i:?}")))
        .collect();
    let wanted = |name: &str| {
        let mut filters = args.iter().filter(|a| !a.starts_with('=')).peekable();
        filters.peek().is_none() || filters.any(|f| name.contains(f.as_str()))
    };
    let peak = fma_peak();
    println!("f32 FMA peak of one core: {:.0} GFLOP/s", peak / 1e9);

    // Name, query heads, key heads, head size.
    let models = [
        ("qwen2-0.5b", 14, 2, 64),
        ("tinyllama", 32, 4, 64),
        ("llama3-8b", 32, 8, 128),
        ("llama2-7b", 32, 32, 128),
    ];
    for &isa in &isas {
        for (model, n_head, n_head_kv, dim) in models {
            if wanted("prompt") {
                for n in [512, 1024, 2048, 4096] {
                    // Heads of two key heads are enough to measure; a micro-batch of 512.
                    let heads = 2 * n_head / n_head_kv;
                    let tokens = n.min(512);
                    let mut layer = Layer::new(KvType::F16, (heads, 2, dim), tokens, n, |_| true);
                    let seconds = time(|| layer.run(isa, tokens));
                    let seen = (tokens * (n - tokens) + tokens * (tokens + 1) / 2) as f64;
                    let flops = seen * (heads * dim * 4) as f64 / seconds;
                    println!(
                        "prompt {isa:?} {model:10} {n:5} cells: {:6.1} GFLOP/s, {:3.0} % of peak",
                        flops / 1e9,
                        100.0 * flops / peak
                    );
                }
            }
            let heads = (n_head, n_head_kv, dim);
            if wanted("token") {
                for ty in [KvType::F16, KvType::Q8_0] {
                    for n in [128, 1024, 16384] {
                        let mut layer = Layer::new(ty, heads, 1, n, |_| true);
                        let seconds = time(|| layer.run(isa, 1));
                        let bytes = (2 * n_head_kv * n * ty.row_bytes(dim)) as f64;
                        println!(
                            "token  {isa:?} {model:10} {ty:?} {n:5} cells: {:6.1} GB/s, {:6.1} us ({:.1} MB)",
                            bytes / seconds / 1e9,
                            seconds * 1e6,
                            bytes / 1e6
                        );
                    }
                }
            }
            if wanted("sparse") {
                // The same 2048 cells seen, in one run and among others.
                for (n, what) in
                    [(2048, "in one run"), (4096, "half"), (8192, "a quarter"), (16384, "an eighth")]
                {
                    let part = n / 2048;
                    let scattered = |c: usize| (c * 2_654_435_761) % (part << 16) < 1 << 16;
                    let layouts: [(&str, &dyn Fn(usize) -> bool); 3] = [
                        ("every nth", &|c| c % part == 0),
                        ("at random", &scattered),
                        ("runs of 256", &|c| c / 256 % part == 0),
                    ];
                    for (layout, sees) in layouts {
                        let mut layer = Layer::new(KvType::F16, heads, 1, n, sees);
                        let seconds = time(|| layer.run(isa, 1));
                        println!("sparse {isa:?} {model:10} {what:10} {layout:11}: {:6.1} us", seconds * 1e6);
                    }
                }
            }
        }
        if wanted("rows") {
            rows(isa);
        }
    }
}

/// Row operations on rows of 4096, in cache.
fn rows(isa: Isa) {
    const N: usize = 4096;
    let (a, b) = (vec![0.5f32; N], vec![0.25f32; N]);
    let mut y = vec![0f32; N];
    let report = |name: &str, rows: usize, seconds: f64| {
        println!(
            "rows   {isa:?} {name:10} {:6.1} GB/s, {:.3} ns/element",
            (rows * N * 4) as f64 / seconds / 1e9,
            seconds / N as f64 * 1e9
        );
    };
    let (pa, pb, py) = (a.as_ptr(), b.as_ptr(), y.as_mut_ptr());
    // SAFETY: the set is available; all rows hold `N`.
    unsafe {
        report("add", 3, time(|| add(isa, py, pa, pb, N)));
        report("mul", 3, time(|| mul(isa, py, pa, pb, N)));
        report("swiglu", 3, time(|| swiglu(isa, py, pa, pb, N)));
        report("geglu", 3, time(|| geglu(isa, py, pa, pb, N)));
        report("rms_norm", 3, time(|| rms_norm(isa, py, pa, pb, 1e-5, N)));
        report("to f16", 2, time(|| f32_to_f16(isa, py.cast(), pa, N)));
        report("rope norm", 3, time(|| rope(isa, RopeStyle::Norm, py, pa, pb, N / 128, 128, 128)));
        report("rope neox", 3, time(|| rope(isa, RopeStyle::Neox, py, pa, pb, N / 128, 128, 128)));
    }
}
