//! Many columns: 32 rows at a time are unpacked into a tile of interleaved bytes and multiplied
//! with all columns.
//!
//! A tile covers `PANEL` values of k. For each 32 of them it holds eight steps of four k, each
//! step being two vectors (rows 0..16, rows 16..32) whose 32-bit lanes are a row's four quants,
//! and then pairs of f32 vectors: the scales, and where the form has them the second halves'
//! scales, the minima and the second halves' minima.
//! `vpdpbusd` multiplies a vector with four quants of one column, broadcast from memory, so a sum
//! holds 16 rows of one column and nothing is ever added across lanes.
//!
//! Types with an offset are stored with offset 128: its part, `-128 * sum(q)`, is what the integer
//! sums begin with.

use std::arch::x86_64::*;
use std::mem::offset_of;

use super::super::Job;
use super::super::act::{B16, B32, BLOCK, Columns, D, GROUP, GROUP_BYTES, S};
use super::{Group, Kernel};

/// Rows of a tile.
const ROWS: usize = 32;
/// Values of k in a tile.
const PANEL: usize = 1024;
/// Tiles that are made before they are used: activations come from beyond the L2 cache once for
/// all of these rows.
const TILES: usize = 4;
/// Columns for which a tile is used before the next one is, so that both stay in the L2 cache.
const COLUMN_BLOCK: usize = 48;
/// The most columns of one pass: 2 x 6 integer and 2 x 6 float sums leave registers for operands.
const COLS: usize = 6;
/// Bytes of 32 k: quants, then scales and minima.
const STEP: usize = ROWS * BLOCK + 8 * 64;
/// Where the scales of a step are: first halves (or all), second halves, and minima likewise.
const SCALES: [usize; 2] = [ROWS * BLOCK, ROWS * BLOCK + 128];
const MINIMA: [usize; 2] = [ROWS * BLOCK + 256, ROWS * BLOCK + 384];
/// Bytes of a tile, and where the stage is that unpacking writes first.
const TILE: usize = PANEL / BLOCK * STEP;
const STAGE: usize = TILES * TILE;
/// Bytes of the tiles and the stage.
pub(in super::super) const SCRATCH: usize = STAGE + 16 * PANEL / GROUP * size_of::<Group>();

/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
pub(super) unsafe fn rows<const HALF: bool, const MIN: bool>(kernel: &Kernel, job: &Job) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    let tile = |i: usize, r: usize| Tile {
        // SAFETY: inside the scratch.
        data: unsafe { job.scratch.add(i * TILE) },
        row: r + i * ROWS,
        live: ROWS.min(job.rows - (r + i * ROWS)),
    };
    for r in (0..job.rows).step_by(TILES * ROWS) {
        let tiles = TILES.min((job.rows - r).div_ceil(ROWS));
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            // SAFETY: the live rows of the tiles and k0..k0 + len are inside the weights, the
            // columns inside activations and dst.
            unsafe {
                for i in 0..tiles {
                    let tile = tile(i, r);
                    let w = job.w.add(tile.row * job.w_stride + k0 / GROUP * group_bytes);
                    pack(kernel, job, &tile, w, len);
                }
                for from in (0..job.n).step_by(COLUMN_BLOCK) {
                    let to = job.n.min(from + COLUMN_BLOCK);
                    for i in 0..tiles {
                        let tile = tile(i, r);
                        let passes = (to - from).div_ceil(COLS);
                        let mut t = from;
                        for pass in 0..passes {
                            // Passes of equal width, the wider ones first.
                            let c = (to - t).div_ceil(passes - pass);
                            match c {
                                1 => columns::<HALF, MIN, 1>(job, &tile, t, k0, len),
                                2 => columns::<HALF, MIN, 2>(job, &tile, t, k0, len),
                                3 => columns::<HALF, MIN, 3>(job, &tile, t, k0, len),
                                4 => columns::<HALF, MIN, 4>(job, &tile, t, k0, len),
                                5 => columns::<HALF, MIN, 5>(job, &tile, t, k0, len),
                                _ => columns::<HALF, MIN, 6>(job, &tile, t, k0, len),
                            }
                            t += c;
                        }
                    }
                }
            }
            k0 += PANEL;
        }
    }
}

/// Some rows, unpacked.
struct Tile {
    data: *mut u8,
    /// The first row, in the range of the job.
    row: usize,
    /// How many are rows of the range; the others repeat the last one.
    live: usize,
}

/// Unpacks `len` values of the rows at `w` into a tile.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn pack(kernel: &Kernel, job: &Job, tile: &Tile, w: *const u8, len: usize) {
    let form = kernel.form;
    let to_128 = _mm512_set1_epi8(if form.min { 0 } else { (128 - form.offset) as i8 });
    let stride = PANEL / GROUP * size_of::<Group>();
    // SAFETY: the values stay within the rows; tile and stage are parts of the scratch. A last
    // group that is not whole writes only steps of its live blocks.
    unsafe {
        let stage = job.scratch.add(STAGE);
        for half in 0..2 {
            for i in 0..16 {
                let row = (half * 16 + i).min(tile.live - 1);
                let to = stage.add(i * stride).cast();
                (kernel.unpack)(w.add(row * job.w_stride), len / kernel.block_len, to);
            }
            for g in 0..len.div_ceil(GROUP) {
                let blocks = (GROUP / BLOCK).min(len / BLOCK - g * (GROUP / BLOCK));
                let from = stage.cast_const().add(g * size_of::<Group>());
                let to = tile.data.add(g * (GROUP / BLOCK) * STEP + half * 64);
                for u in 0..blocks.div_ceil(2) {
                    let steps = transposed(from.add(u * 64), stride);
                    for (i, &v) in steps.iter().enumerate().take(if 2 * u + 1 < blocks { 16 } else { 8 }) {
                        let to = to.add((2 * u + i / 8) * STEP + i % 8 * 128);
                        _mm512_store_si512(to.cast(), _mm512_add_epi8(v, to_128));
                    }
                }
                let put =
                    |b: usize, at: usize, v: __m512i| _mm512_store_si512(to.add(b * STEP + at).cast(), v);
                let s = transposed(from.add(offset_of!(Group, s)), stride);
                for b in 0..blocks {
                    if form.half {
                        put(b, SCALES[0], s[2 * b]);
                        put(b, SCALES[1], s[2 * b + 1]);
                    } else {
                        put(b, SCALES[0], s[b]);
                        put(b, MINIMA[0], s[8 + b]);
                    }
                }
                if form.half && form.min {
                    let m = transposed(from.add(offset_of!(Group, m)), stride);
                    for b in 0..blocks {
                        put(b, MINIMA[0], m[2 * b]);
                        put(b, MINIMA[1], m[2 * b + 1]);
                    }
                }
            }
        }
    }
}

/// The 16 x 16 matrix of 32-bit elements at `p`, rows `stride` bytes apart, transposed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(in super::super) unsafe fn transposed(p: *const u8, stride: usize) -> [__m512i; 16] {
    // SAFETY: 64 bytes in each row.
    let row = |i: usize| unsafe { _mm512_loadu_si512(p.add(i * stride).cast()) };
    let x: [__m512i; 16] = std::array::from_fn(row);
    let mut y = x;
    // In each 128-bit lane: 2 x 2, then 4 x 4.
    for i in 0..8 {
        y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    let mut z = y;
    for i in 0..4 {
        z[4 * i] = _mm512_unpacklo_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 1] = _mm512_unpackhi_epi64(y[4 * i], y[4 * i + 2]);
        z[4 * i + 2] = _mm512_unpacklo_epi64(y[4 * i + 1], y[4 * i + 3]);
        z[4 * i + 3] = _mm512_unpackhi_epi64(y[4 * i + 1], y[4 * i + 3]);
    }
    // Lane l of z[4 i + j] is column 4 l + j of rows 4 i..4 i + 4: transpose the lanes.
    for j in 0..4 {
        let a = _mm512_shuffle_i32x4::<0x44>(z[j], z[4 + j]);
        let b = _mm512_shuffle_i32x4::<0xee>(z[j], z[4 + j]);
        let c = _mm512_shuffle_i32x4::<0x44>(z[8 + j], z[12 + j]);
        let d = _mm512_shuffle_i32x4::<0xee>(z[8 + j], z[12 + j]);
        y[j] = _mm512_shuffle_i32x4::<0x88>(a, c);
        y[4 + j] = _mm512_shuffle_i32x4::<0xdd>(a, c);
        y[8 + j] = _mm512_shuffle_i32x4::<0x88>(b, d);
        y[12 + j] = _mm512_shuffle_i32x4::<0xdd>(b, d);
    }
    y
}

/// `C` columns from `t` on, times the tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn columns<const HALF: bool, const MIN: bool, const C: usize>(
    job: &Job,
    tile: &Tile,
    t: usize,
    k0: usize,
    len: usize,
) {
    // SAFETY: `len` values from k0 of C activation rows from t, `len / 32` steps of the tile,
    // and the live rows of C columns of dst.
    unsafe {
        let mut x =
            Columns { first: job.x.add(t * job.x_stride + k0 / GROUP * GROUP_BYTES), stride: job.x_stride };
        let mut acc = [[_mm512_setzero_ps(); 2]; C];
        let (row, live) = (tile.row, tile.live);
        let mut tile = tile.data.cast_const();
        let mut left = len / BLOCK;
        while left > 0 {
            let blocks = left.min(GROUP / BLOCK);
            for b in 0..blocks {
                let d = D + b * 4;
                if HALF {
                    for h in 0..2 {
                        let mut sum = start::<MIN, C>(x, B16 + b * 8 + h * 4);
                        for i in h * 4..h * 4 + 4 {
                            multiply(&mut sum, tile.add(i * 128), x, b * BLOCK + i * 4);
                        }
                        scale(&mut acc, &sum, tile.add(SCALES[h]), x, d);
                        if MIN {
                            let m = [0, 64].map(|at| _mm512_load_ps(tile.add(MINIMA[h] + at).cast()));
                            for c in 0..C {
                                let sum = _mm512_set1_epi32(x.int(c, B16 + b * 8 + h * 4));
                                let sum = _mm512_cvtepi32_ps(sum);
                                let sum = _mm512_mul_ps(sum, _mm512_set1_ps(x.float(c, d)));
                                acc[c][0] = _mm512_fmadd_ps(m[0], sum, acc[c][0]);
                                acc[c][1] = _mm512_fmadd_ps(m[1], sum, acc[c][1]);
                            }
                        }
                    }
                } else {
                    let mut sum = start::<MIN, C>(x, B32 + b * 4);
                    for i in 0..8 {
                        multiply(&mut sum, tile.add(i * 128), x, b * BLOCK + i * 4);
                    }
                    scale(&mut acc, &sum, tile.add(SCALES[0]), x, d);
                    if MIN {
                        let m = [0, 64].map(|at| _mm512_load_ps(tile.add(MINIMA[0] + at).cast()));
                        for c in 0..C {
                            let s = _mm512_set1_ps(x.float(c, S + b * 4));
                            acc[c][0] = _mm512_fnmadd_ps(m[0], s, acc[c][0]);
                            acc[c][1] = _mm512_fnmadd_ps(m[1], s, acc[c][1]);
                        }
                    }
                }
                tile = tile.add(STEP);
            }
            x.first = x.first.add(GROUP_BYTES);
            left -= blocks;
        }
        let masks = [((1u32 << live.min(16)) - 1) as u16, ((1u32 << live.saturating_sub(16)) - 1) as u16];
        for c in 0..C {
            for h in 0..2 {
                let to = job.dst.wrapping_add((t + c) * job.dst_stride + row + h * 16);
                let mut v = acc[c][h];
                if k0 > 0 {
                    v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(masks[h], to));
                }
                _mm512_mask_storeu_ps(to, masks[h], v);
            }
        }
    }
}

/// Integer sums that begin with the offset's part, at `at` of each group.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn start<const MIN: bool, const C: usize>(x: Columns, at: usize) -> [[__m512i; 2]; C] {
    let mut sum = [[_mm512_setzero_si512(); 2]; C];
    if !MIN {
        for c in 0..C {
            // SAFETY: an i32 of the group.
            sum[c] = [_mm512_set1_epi32(unsafe { x.int(c, at) }); 2];
        }
    }
    sum
}

/// Four values of k, at `at` of each group.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply<const C: usize>(sum: &mut [[__m512i; 2]; C], w: *const u8, x: Columns, at: usize) {
    // SAFETY: two vectors at w, four quants in each group.
    unsafe {
        let w0 = _mm512_load_si512(w.cast());
        let w1 = _mm512_load_si512(w.add(64).cast());
        for c in 0..C {
            let q = _mm512_set1_epi32(x.int(c, at));
            sum[c][0] = _mm512_dpbusd_epi32(sum[c][0], w0, q);
            sum[c][1] = _mm512_dpbusd_epi32(sum[c][1], w1, q);
        }
    }
}

/// Adds integer sums to `acc`, times weight scales at `s` and activation scales at `d`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn scale<const C: usize>(
    acc: &mut [[__m512; 2]; C],
    sum: &[[__m512i; 2]; C],
    s: *const u8,
    x: Columns,
    d: usize,
) {
    // SAFETY: two vectors at s, an f32 in each group.
    unsafe {
        let s0 = _mm512_load_ps(s.cast());
        let s1 = _mm512_load_ps(s.add(64).cast());
        for c in 0..C {
            let d = _mm512_set1_ps(x.float(c, d));
            acc[c][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c][0]), _mm512_mul_ps(s0, d), acc[c][0]);
            acc[c][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c][1]), _mm512_mul_ps(s1, d), acc[c][1]);
        }
    }
}
