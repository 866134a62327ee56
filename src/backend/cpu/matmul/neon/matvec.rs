//! Few columns: each weight is unpacked in registers and used at once, a row after the other.

use std::arch::aarch64::*;

use super::super::Job;
use super::super::act::{self, BLOCK, GROUP, GROUP_BYTES, S};
use super::{Dot, Quant, eight};

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`; the machine has `D`.
pub(super) unsafe fn rows<Q: Quant, D: Dot, const N: usize>(job: &Job) {
    let blocks = GROUP / Q::BLOCK_LEN;
    let whole = job.k / GROUP;
    let rest = job.k % GROUP / Q::BLOCK_LEN;
    for r in 0..job.rows {
        // SAFETY: groups stay within the row, columns within n; activation rows are padded to
        // whole groups.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            // Two sums each, so that additions do not wait for one another.
            let mut acc = [[vdupq_n_f32(0.0); 2]; N];
            for g in 0..whole {
                add_group::<Q, D, N>(&mut acc, row.add(g * blocks * Q::BLOCK_BYTES), blocks - 1, job, g);
            }
            if rest > 0 {
                let p = row.add(whole * blocks * Q::BLOCK_BYTES);
                add_group::<Q, D, N>(&mut acc, p, rest - 1, job, whole);
            }
            for (t, acc) in acc.into_iter().enumerate() {
                *job.dst.add(t * job.dst_stride + r) = vaddvq_f32(vaddq_f32(acc[0], acc[1]));
            }
        }
    }
}

/// Adds the products of group `g`, of which the blocks `0..=last` begin at `p`.
#[inline(always)]
unsafe fn add_group<Q: Quant, D: Dot, const N: usize>(
    acc: &mut [[float32x4_t; 2]; N],
    p: *const u8,
    last: usize,
    job: &Job,
    g: usize,
) {
    // SAFETY: the caller's: the blocks at p, group g in each activation row.
    unsafe {
        let zero = vdupq_n_s32(0);
        let x = job.x.add(g * GROUP_BYTES);
        let s = Q::scales(p, last);
        // Scales of weight and activation multiplied.
        let mut scales = [s; N];
        for t in 0..N {
            let x = x.add(t * job.x_stride);
            let floats = |at: usize| vld1q_f32(x.add(at).cast());
            let d = [floats(act::D), floats(act::D + 16)];
            if Q::HALF {
                for i in 0..2 {
                    scales[t][2 * i] = vmulq_f32(s[2 * i], vzip1q_f32(d[i], d[i]));
                    scales[t][2 * i + 1] = vmulq_f32(s[2 * i + 1], vzip2q_f32(d[i], d[i]));
                }
            } else {
                for i in 0..2 {
                    scales[t][i] = vmulq_f32(s[i], d[i]);
                    if Q::MINIMA {
                        acc[t][i] = vfmsq_f32(acc[t][i], s[2 + i], floats(S + 16 * i));
                    }
                }
            }
        }
        eight!(u => {
            let w = Q::quants(p, last, u);
            for t in 0..N {
                let q = x.add(t * job.x_stride + u * BLOCK).cast();
                let q = [vld1q_s8(q), vld1q_s8(q.add(16))];
                if Q::HALF {
                    for h in 0..2 {
                        let sum = vcvtq_f32_s32(D::dot(zero, w[h], q[h]));
                        acc[t][h] = fma_lane(acc[t][h], sum, scales[t][u / 2], u % 2 * 2 + h);
                    }
                } else {
                    let sum = vcvtq_f32_s32(D::dot(D::dot(zero, w[0], q[0]), w[1], q[1]));
                    acc[t][u % 2] = fma_lane(acc[t][u % 2], sum, scales[t][u / 4], u % 4);
                }
            }
        });
    }
}

/// `acc + v * s[lane]`; `lane` is known when this is compiled.
#[inline(always)]
unsafe fn fma_lane(acc: float32x4_t, v: float32x4_t, s: float32x4_t, lane: usize) -> float32x4_t {
    // SAFETY: NEON is part of every aarch64.
    unsafe {
        match lane {
            0 => vfmaq_laneq_f32::<0>(acc, v, s),
            1 => vfmaq_laneq_f32::<1>(acc, v, s),
            2 => vfmaq_laneq_f32::<2>(acc, v, s),
            _ => vfmaq_laneq_f32::<3>(acc, v, s),
        }
    }
}
