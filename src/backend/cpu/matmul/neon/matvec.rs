//! Few columns: each weight is unpacked once and used at once, a row after the other.

use std::arch::aarch64::*;
use std::mem::MaybeUninit;

use super::super::Job;
use super::super::act::{self, B16, BLOCK, GROUP, GROUP_BYTES, S};
use super::{Dot, Group, Kernel, Quant, Scales, eight};

/// All rows of the job times its one column.
///
/// # Safety
/// As [`super::matmul`]; the machine has `D`.
pub(super) unsafe fn one<Q: Quant, D: Dot>(job: &Job) {
    let blocks = GROUP / const { Q::TY.block_len() };
    let group_bytes = blocks * const { Q::TY.block_bytes() };
    let whole = job.k / GROUP;
    let rest = job.k % GROUP / const { Q::TY.block_len() };
    for r in 0..job.rows {
        // SAFETY: groups stay within the row; activation rows are padded to whole groups.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            let mut sums = Sums::new();
            for g in 0..whole {
                add_unpacked::<Q, D>(
                    &mut sums,
                    row.add(g * group_bytes),
                    blocks - 1,
                    job.x.add(g * GROUP_BYTES),
                );
            }
            if rest > 0 {
                let x = job.x.add(whole * GROUP_BYTES);
                add_unpacked::<Q, D>(&mut sums, row.add(whole * group_bytes), rest - 1, x);
            }
            *job.dst.add(r) = sums.total();
        }
    }
}

#[inline(always)]
unsafe fn add_unpacked<Q: Quant, D: Dot>(sums: &mut Sums, p: *const u8, last: usize, x: *const u8) {
    // SAFETY: the caller's: the blocks at p, a group at x.
    unsafe {
        let w = Packed::<Q> { p, last, ty: std::marker::PhantomData };
        let scales = Q::scales(p, last);
        match const { (Q::FORM.half, Q::FORM.min) } {
            (false, false) => sums.add::<D, false, false>(&w, &scales, x),
            (false, true) => sums.add::<D, false, true>(&w, &scales, x),
            (true, false) => sums.add::<D, true, false>(&w, &scales, x),
            (true, true) => sums.add::<D, true, true>(&w, &scales, x),
        }
    }
}

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`; the machine has `D`.
pub(super) unsafe fn few<D: Dot, const HALF: bool, const MIN: bool, const N: usize>(
    kernel: &Kernel,
    job: &Job,
) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    let mut group = MaybeUninit::<Group>::uninit();
    for r in 0..job.rows {
        // SAFETY: groups stay within the row, columns within n; activation rows are padded to
        // whole groups; `unpack` writes the whole group.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            let mut sums = [Sums::new(); N];
            for g in 0..job.k.div_ceil(GROUP) {
                let last = GROUP.min(job.k - g * GROUP) / kernel.block_len - 1;
                (kernel.unpack)(row.add(g * group_bytes), last, group.as_mut_ptr());
                let group = group.assume_init_ref();
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = job.x.add(t * job.x_stride + g * GROUP_BYTES);
                    sums.add::<D, HALF, MIN>(&group.w, &group.scales, x);
                }
            }
            for (t, sums) in sums.into_iter().enumerate() {
                *job.dst.add(t * job.dst_stride + r) = sums.total();
            }
        }
    }
}

/// Where quants come from.
trait Quants {
    /// The 32 from `32 * u` on.
    unsafe fn at(&self, u: usize) -> [int8x16_t; 2];
}

impl Quants for [[int8x16_t; 2]; 8] {
    #[inline(always)]
    unsafe fn at(&self, u: usize) -> [int8x16_t; 2] {
        self[u]
    }
}

/// Weights as the file has them.
struct Packed<Q> {
    p: *const u8,
    last: usize,
    ty: std::marker::PhantomData<Q>,
}

impl<Q: Quant> Quants for Packed<Q> {
    #[inline(always)]
    unsafe fn at(&self, u: usize) -> [int8x16_t; 2] {
        // SAFETY: whoever made it vouches for the blocks.
        unsafe { Q::quants(self.p, self.last, u) }
    }
}

/// The running sums of one result; two, so that additions do not wait for one another.
#[derive(Clone, Copy)]
struct Sums([float32x4_t; 2]);

impl Sums {
    #[inline(always)]
    fn new() -> Sums {
        // SAFETY: NEON is part of every aarch64.
        Sums([unsafe { vdupq_n_f32(0.0) }; 2])
    }

    #[inline(always)]
    fn total(self) -> f32 {
        // SAFETY: as above.
        unsafe { vaddvq_f32(vaddq_f32(self.0[0], self.0[1])) }
    }

    /// Adds the products of 256 weights with the activation group at `x`.
    #[inline(always)]
    unsafe fn add<D: Dot, const HALF: bool, const MIN: bool>(
        &mut self,
        w: &impl Quants,
        scales: &Scales,
        x: *const u8,
    ) {
        let acc = &mut self.0;
        // SAFETY: the caller's: a group at x.
        unsafe {
            let zero = vdupq_n_s32(0);
            let floats = |at: usize| vld1q_f32(x.add(at).cast());
            let d = [floats(act::D), floats(act::D + 16)];
            // Scales of weight and activation multiplied.
            let mut s = scales.s;
            if HALF {
                let twice = [
                    vzip1q_f32(d[0], d[0]),
                    vzip2q_f32(d[0], d[0]),
                    vzip1q_f32(d[1], d[1]),
                    vzip2q_f32(d[1], d[1]),
                ];
                for i in 0..4 {
                    s[i] = vmulq_f32(s[i], twice[i]);
                    if MIN {
                        // Sums times -128, and minima over 128.
                        let sums = vcvtq_f32_s32(vld1q_s32(x.add(B16 + 16 * i).cast()));
                        acc[i % 2] = vfmaq_f32(acc[i % 2], vmulq_f32(scales.m[i], twice[i]), sums);
                    }
                }
            } else {
                for i in 0..2 {
                    s[i] = vmulq_f32(s[i], d[i]);
                    if MIN {
                        acc[i] = vfmsq_f32(acc[i], scales.m[i], floats(S + 16 * i));
                    }
                }
            }
            eight!(u => {
                let w = w.at(u);
                let q = x.add(u * BLOCK).cast();
                let q = [vld1q_s8(q), vld1q_s8(q.add(16))];
                if HALF {
                    for h in 0..2 {
                        let sum = vcvtq_f32_s32(D::dot(zero, w[h], q[h]));
                        acc[h] = fma_lane(acc[h], sum, s[u / 2], u % 2 * 2 + h);
                    }
                } else {
                    let sum = vcvtq_f32_s32(D::dot(D::dot(zero, w[0], q[0]), w[1], q[1]));
                    acc[u % 2] = fma_lane(acc[u % 2], sum, s[u / 4], u % 4);
                }
            });
        }
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
