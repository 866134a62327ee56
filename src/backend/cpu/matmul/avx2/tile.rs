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
/// Values of k in a tile.
const PANEL: usize = 1024;
/// Tiles that are made before they are used: activations come from beyond the L2 cache once for
/// all of these rows.
const TILES: usize = 4;
/// Columns for which a tile is used before the next one is, so that both stay in the L2 cache.
const COLUMN_BLOCK: usize = 48;
/// The most columns of one pass.
const COLS: usize = 4;
/// Bytes of 32 k: quants, then scales and minima.
const STEP: usize = ROWS * BLOCK + 8 * 32;
/// Where the scales of a step are: first halves (or all), second halves, and minima likewise.
const SCALES: [usize; 2] = [ROWS * BLOCK, ROWS * BLOCK + 64];
const MINIMA: [usize; 2] = [ROWS * BLOCK + 128, ROWS * BLOCK + 192];
/// Bytes of a tile, and where the stage is that unpacking writes first, and where the sums are.
const TILE: usize = PANEL / BLOCK * STEP;
const STAGE: usize = TILES * TILE;
const SUMS: usize = STAGE + 8 * PANEL / GROUP * size_of::<Group>();
/// Bytes of the tiles, the stage and the sums.
pub(in super::super) const SCRATCH: usize = SUMS + COLS * 64;

/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn rows<const HALF: bool, const CHUNK: usize>(kernel: &Kernel, job: &Job) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    // With chunks of two, operands of two steps are live at a time.
    let most = if CHUNK == 2 { 3 } else { 4 };
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
                        let mut t = from;
                        while t < to {
                            let c = most.min(to - t);
                            match c {
                                1 => columns::<HALF, CHUNK, 1>(job, &tile, t, k0, len),
                                2 => columns::<HALF, CHUNK, 2>(job, &tile, t, k0, len),
                                3 => columns::<HALF, CHUNK, 3>(job, &tile, t, k0, len),
                                _ => columns::<HALF, CHUNK, 4>(job, &tile, t, k0, len),
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
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack(kernel: &Kernel, job: &Job, tile: &Tile, w: *const u8, len: usize) {
    let halves = kernel.form.half;
    let stride = PANEL / GROUP * size_of::<Group>();
    // SAFETY: the values stay within the rows; tile and stage are parts of the scratch. A last
    // group that is not whole writes only steps of its live blocks.
    unsafe {
        let stage = job.scratch.add(STAGE);
        for half in 0..2 {
            for i in 0..8 {
                let row = (half * 8 + i).min(tile.live - 1);
                let to = stage.add(i * stride).cast();
                (kernel.unpack)(w.add(row * job.w_stride), len / kernel.block_len, to);
            }
            for g in 0..len.div_ceil(GROUP) {
                let blocks = (GROUP / BLOCK).min(len / BLOCK - g * (GROUP / BLOCK));
                let from = stage.cast_const().add(g * size_of::<Group>());
                let to = tile.data.add(g * (GROUP / BLOCK) * STEP + half * 32);
                for b in 0..blocks {
                    for (i, &v) in transposed(from.add(b * 32), stride).iter().enumerate() {
                        _mm256_store_si256(to.add(b * STEP + i * 64).cast(), v);
                    }
                }
                for (from, at) in
                    [(from.add(offset_of!(Group, s)), SCALES), (from.add(offset_of!(Group, m)), MINIMA)]
                {
                    let first = transposed(from, stride);
                    if halves {
                        let second = transposed(from.add(32), stride);
                        for b in 0..blocks {
                            let all = if b < 4 { &first } else { &second };
                            for h in 0..2 {
                                _mm256_store_si256(to.add(b * STEP + at[h]).cast(), all[b % 4 * 2 + h]);
                            }
                        }
                    } else {
                        for b in 0..blocks {
                            _mm256_store_si256(to.add(b * STEP + at[0]).cast(), first[b]);
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
    tile: &Tile,
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
        let (row, live) = (tile.row, tile.live);
        let mut tile = tile.data.cast_const();
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
                let to = job.dst.wrapping_add((t + c) * job.dst_stride + row + part * 8);
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
