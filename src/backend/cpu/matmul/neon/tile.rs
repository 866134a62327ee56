//! Many columns: 8 rows at a time are unpacked into a tile of interleaved bytes and multiplied
//! with all columns.
//!
//! A tile covers `PANEL` values of k. For each 32 of them it holds eight steps of four k, each
//! step being two vectors (rows 0..4, rows 4..8) whose 32-bit lanes are a row's four quants, and
//! then four pairs of f32 vectors: the scales of both halves, and their minima. A sum holds 4 rows
//! of one column; nothing is ever added across lanes.

use std::arch::aarch64::*;
use std::mem::MaybeUninit;

use super::super::Job;
use super::super::act::{self, B16, BLOCK, Columns, GROUP, GROUP_BYTES, S};
use super::{Dot, Group, Kernel};

/// Rows of a tile.
const ROWS: usize = 8;
/// Values of k in a tile: it and the columns of a pass stay in an L1 cache of 32 KiB.
const PANEL: usize = 1024;
/// The most columns of one pass: 2 x 4 integer and 2 x 4 float sums leave registers for operands.
const COLS: usize = 4;
/// Bytes of the quants of 32 k, and where their scales and minima begin and end.
const SCALES: usize = ROWS * BLOCK;
const MINIMA: usize = SCALES + 2 * ROWS * 4;
const STEP: usize = MINIMA + 2 * ROWS * 4;
/// Bytes of a tile.
pub(in super::super) const SCRATCH: usize = PANEL / BLOCK * STEP;

/// # Safety
/// As [`super::matmul`]; the machine has `D`.
pub(super) unsafe fn rows<D: Dot, const HALF: bool, const MIN: bool>(kernel: &Kernel, job: &Job) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    for r in (0..job.rows).step_by(ROWS) {
        let live = ROWS.min(job.rows - r);
        let mut k0 = 0;
        while k0 == 0 || k0 < job.k {
            let len = PANEL.min(job.k - k0);
            // SAFETY: rows r..r + live and k0..k0 + len are inside the weights, the tile inside
            // the scratch, the columns inside activations and dst.
            unsafe {
                let w = job.w.add(r * job.w_stride + k0 / GROUP * group_bytes);
                pack::<HALF, MIN>(kernel, job, w, live, len);
                let mut t = 0;
                while t < job.n {
                    let c = COLS.min(job.n - t);
                    match c {
                        1 => columns::<D, HALF, MIN, 1>(job, r, live, t, k0, len),
                        2 => columns::<D, HALF, MIN, 2>(job, r, live, t, k0, len),
                        3 => columns::<D, HALF, MIN, 3>(job, r, live, t, k0, len),
                        _ => columns::<D, HALF, MIN, 4>(job, r, live, t, k0, len),
                    }
                    t += c;
                }
            }
            k0 += PANEL;
        }
    }
}

/// Unpacks `len` values of `live` rows at `w` into the tile. Rows beyond repeat the last one.
unsafe fn pack<const HALF: bool, const MIN: bool>(
    kernel: &Kernel,
    job: &Job,
    w: *const u8,
    live: usize,
    len: usize,
) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    let mut groups = [const { MaybeUninit::<Group>::uninit() }; 4];
    for g in 0..len.div_ceil(GROUP) {
        let steps = (GROUP / BLOCK).min(len / BLOCK - g * (GROUP / BLOCK));
        let last = steps * BLOCK / kernel.block_len - 1;
        for half in 0..2 {
            // SAFETY: groups stay within the rows; the tile is the scratch. A last group that is
            // not whole writes only steps of its live blocks.
            unsafe {
                let tile = job.scratch.add(g * (GROUP / BLOCK) * STEP + half * 16);
                for (i, group) in groups.iter_mut().enumerate() {
                    let row = (half * 4 + i).min(live - 1);
                    (kernel.unpack)(w.add(row * job.w_stride + g * group_bytes), last, group.as_mut_ptr());
                }
                let groups: [&Group; 4] = std::array::from_fn(|i| groups[i].assume_init_ref());
                for b in 0..steps {
                    for h in 0..2 {
                        let q = transposed(groups.map(|g| vreinterpretq_s32_s8(g.w[b][h])));
                        for (i, v) in q.into_iter().enumerate() {
                            vst1q_s32(tile.add(b * STEP + (4 * h + i) * 32).cast(), v);
                        }
                    }
                }
                for i in 0..if HALF { 4 } else { 2 } {
                    let s = transposed(groups.map(|g| vreinterpretq_s32_f32(g.scales.s[i])));
                    let m = transposed(groups.map(|g| vreinterpretq_s32_f32(g.scales.m[i])));
                    for j in 0..4 {
                        let at = 4 * i + j;
                        let (b, second) = if HALF { (at / 2, at % 2) } else { (at, 0) };
                        if b < steps {
                            let to = tile.add(b * STEP + second * 32);
                            vst1q_s32(to.add(SCALES).cast(), s[j]);
                            if MIN {
                                vst1q_s32(to.add(MINIMA).cast(), m[j]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A 4 x 4 matrix transposed.
#[inline(always)]
unsafe fn transposed(x: [int32x4_t; 4]) -> [int32x4_t; 4] {
    // SAFETY: NEON is part of every aarch64.
    unsafe {
        let (even, odd) = (vzipq_s32(x[0], x[2]), vzipq_s32(x[1], x[3]));
        let (low, high) = (vzipq_s32(even.0, odd.0), vzipq_s32(even.1, odd.1));
        [low.0, low.1, high.0, high.1]
    }
}

/// `C` columns from `t` on, times the tile.
unsafe fn columns<D: Dot, const HALF: bool, const MIN: bool, const C: usize>(
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
        let mut acc = [[vdupq_n_f32(0.0); 2]; C];
        let mut tile = job.scratch.cast_const();
        let mut left = len / BLOCK;
        while left > 0 {
            let blocks = left.min(GROUP / BLOCK);
            for b in 0..blocks {
                let s = tile.add(SCALES);
                let d = act::D + b * 4;
                let mut sum = [[vdupq_n_s32(0); 2]; C];
                dots::<D, C>(&mut sum, tile, x, b * BLOCK);
                if HALF {
                    scale(&mut acc, &sum, s, x, d);
                    sum = [[vdupq_n_s32(0); 2]; C];
                }
                dots::<D, C>(&mut sum, tile.add(SCALES / 2), x, b * BLOCK + 16);
                scale(&mut acc, &sum, if HALF { s.add(32) } else { s }, x, d);
                if MIN {
                    for h in 0..if HALF { 2 } else { 1 } {
                        let m = tile.add(MINIMA + 32 * h).cast();
                        let m = [vld1q_f32(m), vld1q_f32(m.add(4))];
                        for c in 0..C {
                            let sum = if HALF {
                                // Times -128, and such minima are over 128.
                                x.float(c, d) * -(x.int(c, B16 + b * 8 + h * 4) as f32)
                            } else {
                                x.float(c, S + b * 4)
                            };
                            acc[c][0] = vfmsq_n_f32(acc[c][0], m[0], sum);
                            acc[c][1] = vfmsq_n_f32(acc[c][1], m[1], sum);
                        }
                    }
                }
                tile = tile.add(STEP);
            }
            x.first = x.first.add(GROUP_BYTES);
            left -= blocks;
        }
        for (c, acc) in acc.into_iter().enumerate() {
            let to = job.dst.add((t + c) * job.dst_stride + r);
            let mut sums = [0f32; ROWS];
            if k0 > 0 {
                std::ptr::copy_nonoverlapping(to, sums.as_mut_ptr(), live);
            }
            for (h, acc) in acc.into_iter().enumerate() {
                let sum = vaddq_f32(vld1q_f32(sums.as_ptr().add(4 * h)), acc);
                vst1q_f32(sums.as_mut_ptr().add(4 * h), sum);
            }
            std::ptr::copy_nonoverlapping(sums.as_ptr(), to, live);
        }
    }
}

/// Adds the products of four steps at `tile` with the 16 quants at `at` of each column.
#[inline(always)]
unsafe fn dots<D: Dot, const C: usize>(
    sum: &mut [[int32x4_t; 2]; C],
    tile: *const u8,
    x: Columns,
    at: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut q = [vdupq_n_s8(0); C];
        for (c, q) in q.iter_mut().enumerate() {
            *q = vld1q_s8(x.first.add(c * x.stride + at).cast());
        }
        step::<D, C, 0>(sum, tile, q);
        step::<D, C, 1>(sum, tile, q);
        step::<D, C, 2>(sum, tile, q);
        step::<D, C, 3>(sum, tile, q);
    }
}

#[inline(always)]
unsafe fn step<D: Dot, const C: usize, const LANE: i32>(
    sum: &mut [[int32x4_t; 2]; C],
    tile: *const u8,
    q: [int8x16_t; C],
) {
    // SAFETY: the caller's.
    unsafe {
        let w = tile.add(LANE as usize * 32).cast();
        let w = [vld1q_s8(w), vld1q_s8(w.add(16))];
        for c in 0..C {
            sum[c][0] = D::dot_lane::<LANE>(sum[c][0], w[0], q[c]);
            sum[c][1] = D::dot_lane::<LANE>(sum[c][1], w[1], q[c]);
        }
    }
}

/// Adds integer sums to `acc`, times weight scales at `s` and activation scales at `d`.
#[inline(always)]
unsafe fn scale<const C: usize>(
    acc: &mut [[float32x4_t; 2]; C],
    sum: &[[int32x4_t; 2]; C],
    s: *const u8,
    x: Columns,
    d: usize,
) {
    // SAFETY: two vectors at s, an f32 in each row.
    unsafe {
        let s = s.cast();
        let s = [vld1q_f32(s), vld1q_f32(s.add(4))];
        for c in 0..C {
            let d = x.float(c, d);
            for h in 0..2 {
                acc[c][h] = vfmaq_f32(acc[c][h], vcvtq_f32_s32(sum[c][h]), vmulq_n_f32(s[h], d));
            }
        }
    }
}
