//! Float weights times many columns on x86.
//!
//! Tiles of two vectors of rows by `PANEL` values of k are converted to f32 and transposed, so that
//! a vector holds the same k of many rows. A few activation columns are copied beside one another
//! (rows of activations are often a multiple of 4 KiB apart, where the L1 cache keeps but eight
//! lines), and each value is multiplied with both vectors. A sum over a panel stays in a register.

use std::arch::x86_64::*;

use super::Job;
use super::float::{Element, F32, Lanes, x86};

/// Values of k in a tile.
const PANEL: usize = 256;
/// From one copied column to the next, in values.
const X_STRIDE: usize = PANEL + 16;
const MAX_ROWS: usize = 32;
const MAX_COLS: usize = 12;
/// Bytes: rows as they are converted, the tile, the copied columns and the sums.
pub(super) const SCRATCH: usize = 4 * (2 * MAX_ROWS * PANEL + MAX_COLS * X_STRIDE + MAX_COLS * MAX_ROWS);

/// Converts a number of values at the first pointer to f32 at the second.
pub(super) type Convert = unsafe fn(*const u8, *mut f32, usize);

trait Tile: Lanes {
    unsafe fn splat(v: f32) -> Self::V;
    /// `N` by `N` values, rows `stride` apart, transposed to rows `to_stride` apart.
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize);
}

impl Tile for x86::Avx512 {
    #[inline(always)]
    unsafe fn splat(v: f32) -> __m512 {
        // SAFETY: called inside functions with the features.
        unsafe { _mm512_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            for (i, v) in super::avx512::transposed(from.cast(), 4 * stride).into_iter().enumerate() {
                _mm512_store_si512(to.add(i * to_stride).cast(), v);
            }
        }
    }
}

impl Tile for x86::Avx2 {
    #[inline(always)]
    unsafe fn splat(v: f32) -> __m256 {
        // SAFETY: called inside functions with the features.
        unsafe { _mm256_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            for (i, v) in super::avx2::transposed(from.cast(), 4 * stride).into_iter().enumerate() {
                _mm256_store_si256(to.add(i * to_stride).cast(), v);
            }
        }
    }
}

/// # Safety
/// `job` was checked by the caller, its weights are what `convert` takes, `bytes` each; the machine
/// has the features.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn avx2(job: &Job, bytes: usize, convert: Convert) {
    // SAFETY: the caller's.
    unsafe { tiles::<x86::Avx2, 6, 3>(job, bytes, convert) }
}

/// # Safety
/// As [`avx2`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) unsafe fn avx512(job: &Job, bytes: usize, convert: Convert) {
    // SAFETY: the caller's.
    unsafe { tiles::<x86::Avx512, 12, 6>(job, bytes, convert) }
}

/// Passes of `C` columns, or of `FEW` if no more are left.
#[inline(always)]
unsafe fn tiles<L: Tile, const C: usize, const FEW: usize>(job: &Job, bytes: usize, convert: Convert) {
    let rows = 2 * L::N;
    for r in (0..job.rows).step_by(rows) {
        let live = rows.min(job.rows - r);
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            // SAFETY: rows r..r + live and k0..k0 + len are inside the weights, the columns inside
            // activations and dst, everything else inside the scratch.
            unsafe {
                pack::<L>(job, job.w.add(r * job.w_stride + k0 * bytes), live, len, convert);
                let mut t = 0;
                while t < job.n {
                    let c = C.min(job.n - t);
                    if c > FEW {
                        columns::<L, C>(job, r, live, t, c, k0, len);
                    } else {
                        columns::<L, FEW>(job, r, live, t, c, k0, len);
                    }
                    t += c;
                }
            }
            k0 += PANEL;
        }
    }
}

/// The parts of the scratch: rows as they are converted, the tile, the copied columns, the sums.
fn parts(job: &Job) -> [*mut f32; 4] {
    let stage = job.scratch.cast::<f32>();
    let tile = stage.wrapping_add(MAX_ROWS * PANEL);
    let x = tile.wrapping_add(MAX_ROWS * PANEL);
    [stage, tile, x, x.wrapping_add(MAX_COLS * X_STRIDE)]
}

/// Converts and transposes `len` values of `live` rows at `w`. Rows beyond repeat the last one.
#[inline(always)]
unsafe fn pack<L: Tile>(job: &Job, w: *const u8, live: usize, len: usize, convert: Convert) {
    let [stage, tile, ..] = parts(job);
    let whole = len.next_multiple_of(L::N);
    // SAFETY: `len` values of the live rows; `whole` is at most a panel.
    unsafe {
        for i in 0..2 * L::N {
            let to = stage.add(i * PANEL);
            convert(w.add(i.min(live - 1) * job.w_stride), to, len);
            to.add(len).write_bytes(0, whole - len);
        }
        for half in 0..2 {
            for k in (0..whole).step_by(L::N) {
                let from = stage.add(half * L::N * PANEL + k);
                L::transpose(from, PANEL, tile.add(k * 2 * L::N + half * L::N), 2 * L::N);
            }
        }
    }
}

/// `live_columns` columns from `t` on, of at most `C`, times the tile.
#[inline(always)]
unsafe fn columns<L: Tile, const C: usize>(
    job: &Job,
    r: usize,
    live: usize,
    t: usize,
    live_columns: usize,
    k0: usize,
    len: usize,
) {
    let [_, tile, x, sums] = parts(job);
    // SAFETY: `len` values of the live columns, the tile and the live results.
    unsafe {
        for c in 0..live_columns {
            let from = job.x.add((t + c) * job.x_stride).cast::<f32>().add(k0);
            x.add(c * X_STRIDE).copy_from_nonoverlapping(from, len);
        }
        for c in live_columns..C {
            x.add(c * X_STRIDE).write_bytes(0, len);
        }
        let mut acc = [[L::zero(); 2]; C];
        for k in 0..len {
            let w = [0, 1].map(|half| L::load::<F32>(tile.add((2 * k + half) * L::N).cast()));
            for c in 0..C {
                let v = L::splat(F32::read(x.add(c * X_STRIDE + k).cast()));
                acc[c][0] = L::fma(w[0], v, acc[c][0]);
                acc[c][1] = L::fma(w[1], v, acc[c][1]);
            }
        }
        for c in 0..C {
            for half in 0..2 {
                L::store(sums.add((2 * c + half) * L::N), acc[c][half]);
            }
        }
        for c in 0..live_columns {
            let to = job.dst.add((t + c) * job.dst_stride + r);
            let from = sums.add(2 * c * L::N);
            for i in 0..live {
                let before = if k0 > 0 { *to.add(i) } else { 0.0 };
                *to.add(i) = before + *from.add(i);
            }
        }
    }
}
