//! Many columns: 16 rows at a time are unpacked into a tile of interleaved bytes and multiplied
//! with all columns.
//!
//! A tile covers `PANEL` values of k. For each 32 of them it holds eight steps of four k, each
//! step being two vectors (rows 0..8, rows 8..16) whose 32-bit lanes are a row's four quants, and
//! then two pairs of f32 vectors: the scales, and the minima or the second halves' scales. A sum
//! holds 8 rows of one column; nothing is ever added across lanes.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::Job;
use super::super::act::{B16, B32, BLOCK, Columns, D, GROUP, GROUP_BYTES, S};
use super::{Quant, products};

/// Rows of a tile.
const ROWS: usize = 16;
/// Values of k in a tile: keeps it in the L2 cache.
const PANEL: usize = 2048;
/// The most columns of one pass: 2 x 3 integer and 2 x 3 float sums leave registers for operands.
const COLS: usize = 3;
/// Bytes of 32 k: quants, then scales.
const STEP: usize = ROWS * BLOCK + 4 * 32;
const STAGE: usize = 8 * (GROUP + 64);
/// Bytes of a tile and of the stage that unpacking writes first.
pub(in super::super) const SCRATCH: usize = PANEL / BLOCK * STEP + STAGE;

/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<Q: Quant>(job: &Job) {
    let group_bytes = GROUP / Q::BLOCK_LEN * Q::BLOCK_BYTES;
    for r in (0..job.rows).step_by(ROWS) {
        let live = ROWS.min(job.rows - r);
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            // SAFETY: rows r..r + live and k0..k0 + len are inside the weights, the tile inside
            // the scratch, the columns inside activations and dst.
            unsafe {
                let w = job.w.add(r * job.w_stride + k0 / GROUP * group_bytes);
                pack::<Q>(job, w, live, len);
                let mut t = 0;
                while t < job.n {
                    let c = COLS.min(job.n - t);
                    match c {
                        1 => columns::<Q, 1>(job, r, live, t, k0, len),
                        2 => columns::<Q, 2>(job, r, live, t, k0, len),
                        _ => columns::<Q, 3>(job, r, live, t, k0, len),
                    }
                    t += c;
                }
            }
            k0 += PANEL;
        }
    }
}

/// Unpacks `len` values of `live` rows at `w` into the tile. Rows beyond repeat the last one.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack<Q: Quant>(job: &Job, w: *const u8, live: usize, len: usize) {
    let group_bytes = GROUP / Q::BLOCK_LEN * Q::BLOCK_BYTES;
    // SAFETY: groups stay within the rows; tile and stage are parts of the scratch. A last group
    // that is not whole writes only steps of its live blocks.
    unsafe {
        // Ten 8 x 8 matrices of 32-bit elements: quants of 32 k each, and two of scales.
        let stage = job.scratch.add(PANEL / BLOCK * STEP);
        for g in 0..len.div_ceil(GROUP) {
            let blocks = (GROUP / BLOCK).min(len / BLOCK - g * (GROUP / BLOCK));
            let n = blocks * BLOCK / Q::BLOCK_LEN;
            for half in 0..2 {
                for i in 0..8 {
                    let row = (half * 8 + i).min(live - 1);
                    let group = Q::group(w.add(row * job.w_stride + g * group_bytes), n);
                    for (u, &q) in group.w.iter().enumerate() {
                        _mm256_store_si256(stage.add((u * 8 + i) * 32).cast(), q);
                    }
                    _mm256_store_ps(stage.add((8 * 8 + i) * 32).cast(), group.s[0]);
                    _mm256_store_ps(stage.add((9 * 8 + i) * 32).cast(), group.s[1]);
                }
                let tile = job.scratch.add(g * (GROUP / BLOCK) * STEP + half * 32);
                for b in 0..blocks {
                    for (i, &v) in transposed(stage.add(b * 8 * 32)).iter().enumerate() {
                        _mm256_store_si256(tile.add(b * STEP + i * 64).cast(), v);
                    }
                }
                let s = [transposed(stage.add(8 * 8 * 32)), transposed(stage.add(9 * 8 * 32))];
                for b in 0..blocks {
                    let to = tile.add(b * STEP + ROWS * BLOCK);
                    let (first, second) = if Q::HALF {
                        (s[b / 4][b % 4 * 2], s[b / 4][b % 4 * 2 + 1])
                    } else {
                        (s[0][b], s[1][b])
                    };
                    _mm256_store_si256(to.cast(), first);
                    _mm256_store_si256(to.add(64).cast(), second);
                }
            }
        }
    }
}

/// The 8 x 8 matrix of 32-bit elements at `p`, transposed.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transposed(p: *const u8) -> [__m256i; 8] {
    // SAFETY: 256 bytes at p.
    let x: [__m256i; 8] = std::array::from_fn(|i| unsafe { _mm256_load_si256(p.add(i * 32).cast()) });
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
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn columns<Q: Quant, const C: usize>(
    job: &Job,
    r: usize,
    live: usize,
    t: usize,
    k0: usize,
    len: usize,
) {
    // SAFETY: `len` values from k0 of C activation rows from t, `len / 32` steps of the tile,
    // and the live rows of C columns of dst.
    unsafe {
        let mut x =
            Columns { first: job.x.add(t * job.x_stride + k0 / GROUP * GROUP_BYTES), stride: job.x_stride };
        let mut acc = [[_mm256_setzero_ps(); 2]; C];
        let mut tile = job.scratch.cast_const();
        let mut left = len / BLOCK;
        while left > 0 {
            let blocks = left.min(GROUP / BLOCK);
            for b in 0..blocks {
                let (s, d) = (tile.add(ROWS * BLOCK), D + b * 4);
                if Q::HALF {
                    let sum = dots::<Q, C, 4>(tile, x, b * BLOCK, B16 + b * 8);
                    scale(&mut acc, &sum, s, x, d);
                    let sum = dots::<Q, C, 4>(tile.add(256), x, b * BLOCK + 16, B16 + b * 8 + 4);
                    scale(&mut acc, &sum, s.add(64), x, d);
                } else {
                    let sum = dots::<Q, C, 8>(tile, x, b * BLOCK, B32 + b * 4);
                    scale(&mut acc, &sum, s, x, d);
                    if Q::OFFSET == 0 && !Q::SIGNED {
                        let m0 = _mm256_load_ps(s.add(64).cast());
                        let m1 = _mm256_load_ps(s.add(96).cast());
                        for c in 0..C {
                            let sum = _mm256_set1_ps(x.float(c, S + b * 4));
                            acc[c][0] = _mm256_fnmadd_ps(m0, sum, acc[c][0]);
                            acc[c][1] = _mm256_fnmadd_ps(m1, sum, acc[c][1]);
                        }
                    }
                }
                tile = tile.add(STEP);
            }
            x.first = x.first.add(GROUP_BYTES);
            left -= blocks;
        }
        for (c, acc) in acc.iter().enumerate() {
            for (h, &acc) in acc.iter().enumerate() {
                let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
                let live = _mm256_set1_epi32(live as i32 - 8 * h as i32);
                let mask = _mm256_cmpgt_epi32(live, lanes);
                let to = job.dst.wrapping_add((t + c) * job.dst_stride + r + h * 8);
                let before = if k0 > 0 { _mm256_maskload_ps(to, mask) } else { _mm256_setzero_ps() };
                _mm256_maskstore_ps(to, mask, _mm256_add_ps(before, acc));
            }
        }
    }
}

/// Keeps the compiler from regrouping sums by column, for which registers do not suffice.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(mut v: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// Integer sums over `STEPS` steps of four k. `at` is where the quants are in each group, `bias` where the sums (times -128) are that pay for the offset.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dots<Q: Quant, const C: usize, const STEPS: usize>(
    tile: *const u8,
    x: Columns,
    at: usize,
    bias: usize,
) -> [[__m256i; 2]; C] {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = [[_mm256_setzero_si256(); 2]; C];
        for chunk in 0..STEPS / Q::CHUNK {
            let mut pairs = [[_mm256_setzero_si256(); 2]; C];
            for i in chunk * Q::CHUNK..(chunk + 1) * Q::CHUNK {
                let w0 = _mm256_load_si256(tile.add(i * 64).cast());
                let w1 = _mm256_load_si256(tile.add(i * 64 + 32).cast());
                for c in 0..C {
                    let q = _mm256_set1_epi32(x.int(c, at + i * 4));
                    pairs[c][0] = in_order(_mm256_add_epi16(pairs[c][0], products::<Q>(w0, q)));
                    pairs[c][1] = in_order(_mm256_add_epi16(pairs[c][1], products::<Q>(w1, q)));
                }
            }
            for c in 0..C {
                for h in 0..2 {
                    let dot = _mm256_madd_epi16(pairs[c][h], _mm256_set1_epi16(1));
                    sum[c][h] = _mm256_add_epi32(sum[c][h], dot);
                }
            }
        }
        if Q::OFFSET != 0 {
            let shift = _mm_cvtsi32_si128((128 / Q::OFFSET).trailing_zeros() as i32);
            for c in 0..C {
                let bias = _mm256_set1_epi32(x.int(c, bias));
                let bias = _mm256_sra_epi32(bias, shift);
                sum[c][0] = _mm256_add_epi32(sum[c][0], bias);
                sum[c][1] = _mm256_add_epi32(sum[c][1], bias);
            }
        }
        sum
    }
}

/// Adds integer sums to `acc`, times weight scales at `s` and activation scales at `d`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn scale<const C: usize>(
    acc: &mut [[__m256; 2]; C],
    sum: &[[__m256i; 2]; C],
    s: *const u8,
    x: Columns,
    d: usize,
) {
    // SAFETY: two vectors at s, an f32 in each row.
    unsafe {
        let s0 = _mm256_load_ps(s.cast());
        let s1 = _mm256_load_ps(s.add(32).cast());
        for c in 0..C {
            let d = _mm256_set1_ps(x.float(c, d));
            acc[c][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[c][0]), _mm256_mul_ps(s0, d), acc[c][0]);
            acc[c][1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[c][1]), _mm256_mul_ps(s1, d), acc[c][1]);
        }
    }
}
