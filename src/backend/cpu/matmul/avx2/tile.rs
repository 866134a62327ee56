//! Many columns: 16 rows at a time are unpacked into a tile of interleaved bytes and multiplied
//! with all columns.
//!
//! A tile covers `PANEL` values of k. For each 32 of them it holds eight steps of four k, each
//! step being two vectors (rows 0..8, rows 8..16) whose 32-bit lanes are a row's four quants, and
//! then pairs of f32 vectors: the scales, and where the form has them the second halves' scales,
//! the minima and the second halves' minima. A sum holds 8 rows of one column; nothing is ever
//! added across lanes.
//!
//! The f32 sums stay in memory: integer sums and operands take all the registers.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::offset_of;

use super::super::Job;
use super::super::act::{B16, BLOCK, Columns, D, GROUP, GROUP_BYTES, S};
use super::{Group, Kernel, products};

/// Rows of a tile.
const ROWS: usize = 16;
/// Values of k in a tile: keeps it in the L2 cache.
const PANEL: usize = 2048;
/// The most columns of one pass.
const COLS: usize = 4;
/// Bytes of 32 k: quants, then scales and minima.
const STEP: usize = ROWS * BLOCK + 8 * 32;
/// Where the scales of a step are: first halves (or all), second halves, and minima likewise.
const SCALES: [usize; 2] = [ROWS * BLOCK, ROWS * BLOCK + 64];
const MINIMA: [usize; 2] = [ROWS * BLOCK + 128, ROWS * BLOCK + 192];
/// Where the stage is that unpacking writes first, and where the sums are.
const STAGE: usize = PANEL / BLOCK * STEP;
const SUMS: usize = STAGE + 8 * size_of::<Group>();
/// Bytes of a tile, the stage and the sums.
pub(in super::super) const SCRATCH: usize = SUMS + COLS * 64;

/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<const HALF: bool, const CHUNK: usize>(kernel: &Kernel, job: &Job) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    // With chunks of two, operands of two steps are live at a time.
    let most = if CHUNK == 2 { 3 } else { 4 };
    for r in (0..job.rows).step_by(ROWS) {
        let live = ROWS.min(job.rows - r);
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            // SAFETY: rows r..r + live and k0..k0 + len are inside the weights, the tile inside
            // the scratch, the columns inside activations and dst.
            unsafe {
                let w = job.w.add(r * job.w_stride + k0 / GROUP * group_bytes);
                pack(kernel, job, w, live, len);
                let mut t = 0;
                while t < job.n {
                    let c = most.min(job.n - t);
                    match c {
                        1 => columns::<HALF, CHUNK, 1>(job, r, live, t, k0, len),
                        2 => columns::<HALF, CHUNK, 2>(job, r, live, t, k0, len),
                        3 => columns::<HALF, CHUNK, 3>(job, r, live, t, k0, len),
                        _ => columns::<HALF, CHUNK, 4>(job, r, live, t, k0, len),
                    }
                    t += c;
                }
            }
            k0 += PANEL;
        }
    }
}

/// Unpacks `len` values of `live` rows at `w` into the tile. Rows beyond repeat the last one.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack(kernel: &Kernel, job: &Job, w: *const u8, live: usize, len: usize) {
    let half = kernel.form.half;
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    // SAFETY: groups stay within the rows; tile and stage are parts of the scratch. A last group
    // that is not whole writes only steps of its live blocks.
    unsafe {
        let stage = job.scratch.add(STAGE).cast::<Group>();
        for g in 0..len.div_ceil(GROUP) {
            let blocks = (GROUP / BLOCK).min(len / BLOCK - g * (GROUP / BLOCK));
            let n = blocks * BLOCK / kernel.block_len;
            for part in 0..2 {
                for i in 0..8 {
                    let row = (part * 8 + i).min(live - 1);
                    (kernel.unpack)(w.add(row * job.w_stride + g * group_bytes), n, stage.add(i));
                }
                let tile = job.scratch.add(g * (GROUP / BLOCK) * STEP + part * 32);
                for b in 0..blocks {
                    for (i, &v) in
                        transposed(stage.cast::<u8>().add(b * 32), size_of::<Group>()).iter().enumerate()
                    {
                        _mm256_store_si256(tile.add(b * STEP + i * 64).cast(), v);
                    }
                }
                for (from, to) in [(offset_of!(Group, s), SCALES), (offset_of!(Group, m), MINIMA)] {
                    let from = stage.cast::<u8>().add(from);
                    let first = transposed(from, size_of::<Group>());
                    if half {
                        let second = transposed(from.add(32), size_of::<Group>());
                        for b in 0..blocks {
                            let all = if b < 4 { &first } else { &second };
                            for h in 0..2 {
                                _mm256_store_si256(tile.add(b * STEP + to[h]).cast(), all[b % 4 * 2 + h]);
                            }
                        }
                    } else {
                        for b in 0..blocks {
                            _mm256_store_si256(tile.add(b * STEP + to[0]).cast(), first[b]);
                        }
                    }
                }
            }
        }
    }
}

/// The 8 x 8 matrix of 32-bit elements at `p`, rows `stride` bytes apart, transposed.
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn transposed(p: *const u8, stride: usize) -> [__m256i; 8] {
    // SAFETY: 32 bytes in each row.
    let row = |i: usize| unsafe { _mm256_loadu_si256(p.add(i * stride).cast()) };
    let x: [__m256i; 8] = std::array::from_fn(row);
    let mut y = x;
    for i in 0..4 {
        y[2 * i] = _mm256_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm256_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    let mut z = y;
    for i in 0..2 {
        z[4 * i] = _mm256_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 1] = _mm256_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 2] = _mm256_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
        z[4 * i + 3] = _mm256_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
    }
    for j in 0..4 {
        y[j] = _mm256_permute2x128_si256::<0x20>(z[j], z[4 + j]);
        y[4 + j] = _mm256_permute2x128_si256::<0x31>(z[j], z[4 + j]);
    }
    y
}

/// `C` columns from `t` on, times the tile.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn columns<const HALF: bool, const CHUNK: usize, const C: usize>(
    job: &Job,
    r: usize,
    live: usize,
    t: usize,
    k0: usize,
    len: usize,
) {
    // SAFETY: `len` values from k0 of C activation rows from t, `len / 32` steps of the tile,
    // C sums in the scratch, and the live rows of C columns of dst.
    unsafe {
        let mut x =
            Columns { first: job.x.add(t * job.x_stride + k0 / GROUP * GROUP_BYTES), stride: job.x_stride };
        let sums = job.scratch.add(SUMS).cast::<f32>();
        for i in 0..2 * C {
            _mm256_store_ps(sums.add(8 * i), _mm256_setzero_ps());
        }
        let mut tile = job.scratch.cast_const();
        let mut left = len / BLOCK;
        while left > 0 {
            let blocks = left.min(GROUP / BLOCK);
            for b in 0..blocks {
                let d = D + b * 4;
                if HALF {
                    for h in 0..2 {
                        let dots = dots::<CHUNK, C, 4>(tile.add(256 * h), x, b * BLOCK + 16 * h);
                        let sum = |c: usize| {
                            let sum = _mm256_cvtepi32_ps(_mm256_set1_epi32(x.int(c, B16 + b * 8 + h * 4)));
                            _mm256_mul_ps(sum, _mm256_set1_ps(x.float(c, d)))
                        };
                        let (s, m) = (tile.add(SCALES[h]), tile.add(MINIMA[h]));
                        for c in 0..C {
                            let d = _mm256_set1_ps(x.float(c, d));
                            let sum = sum(c);
                            for part in 0..2 {
                                let to = sums.add(16 * c + 8 * part);
                                let s = _mm256_mul_ps(d, _mm256_load_ps(s.add(32 * part).cast()));
                                let m = _mm256_load_ps(m.add(32 * part).cast());
                                let acc = _mm256_fmadd_ps(m, sum, _mm256_load_ps(to));
                                let dot = _mm256_cvtepi32_ps(dots[c][part]);
                                _mm256_store_ps(to, _mm256_fmadd_ps(dot, s, acc));
                            }
                        }
                    }
                } else {
                    let dots = dots::<CHUNK, C, 8>(tile, x, b * BLOCK);
                    let (s, m) = (tile.add(SCALES[0]), tile.add(MINIMA[0]));
                    for c in 0..C {
                        let d = _mm256_set1_ps(x.float(c, d));
                        let sum = _mm256_set1_ps(x.float(c, S + b * 4));
                        for part in 0..2 {
                            let to = sums.add(16 * c + 8 * part);
                            let s = _mm256_mul_ps(d, _mm256_load_ps(s.add(32 * part).cast()));
                            let mut acc = _mm256_load_ps(to);
                            if CHUNK != 0 {
                                let m = _mm256_load_ps(m.add(32 * part).cast());
                                acc = _mm256_fnmadd_ps(m, sum, acc);
                            }
                            let dot = _mm256_cvtepi32_ps(dots[c][part]);
                            _mm256_store_ps(to, _mm256_fmadd_ps(dot, s, acc));
                        }
                    }
                }
                tile = tile.add(STEP);
            }
            x.first = x.first.add(GROUP_BYTES);
            left -= blocks;
        }
        for c in 0..C {
            for part in 0..2 {
                let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
                let live = _mm256_set1_epi32(live as i32 - 8 * part as i32);
                let mask = _mm256_cmpgt_epi32(live, lanes);
                let to = job.dst.wrapping_add((t + c) * job.dst_stride + r + part * 8);
                let before = if k0 > 0 { _mm256_maskload_ps(to, mask) } else { _mm256_setzero_ps() };
                let sum = _mm256_load_ps(sums.add(16 * c + 8 * part));
                _mm256_maskstore_ps(to, mask, _mm256_add_ps(before, sum));
            }
        }
    }
}

/// Keeps the compiler from regrouping sums by column, for which registers do not suffice.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(mut v: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// Integer sums over `STEPS` steps of four k; `at` is where the quants are in each group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dots<const CHUNK: usize, const C: usize, const STEPS: usize>(
    tile: *const u8,
    x: Columns,
    at: usize,
) -> [[__m256i; 2]; C] {
    let chunk = CHUNK.max(1);
    // SAFETY: the caller's.
    unsafe {
        let mut sum = [[_mm256_setzero_si256(); 2]; C];
        for turn in 0..STEPS / chunk {
            let mut pairs = [[_mm256_setzero_si256(); 2]; C];
            for step in 0..chunk {
                let i = turn * chunk + step;
                let w0 = _mm256_load_si256(tile.add(i * 64).cast());
                let w1 = _mm256_load_si256(tile.add(i * 64 + 32).cast());
                for c in 0..C {
                    let q = _mm256_set1_epi32(x.int(c, at + i * 4));
                    for (part, w) in [w0, w1].into_iter().enumerate() {
                        let p = products::<CHUNK>(w, q);
                        let sum = if step == 0 { p } else { _mm256_add_epi16(pairs[c][part], p) };
                        pairs[c][part] = in_order(sum);
                    }
                }
            }
            for c in 0..C {
                for part in 0..2 {
                    let dot = _mm256_madd_epi16(pairs[c][part], _mm256_set1_epi16(1));
                    let total = if turn == 0 { dot } else { _mm256_add_epi32(sum[c][part], dot) };
                    sum[c][part] = in_order(total);
                }
            }
        }
        sum
    }
}
