//! Few columns: each weight is unpacked once and used at once, a row after the other.
//!
//! The four products that `vpdpbusd` adds up stay apart by 16 values of k, one 128-bit lane each,
//! so one multiply-add with the lane's scale turns 64 products into f32 sums.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::Job;
use super::super::act::{B16, D, GROUP, GROUP_BYTES};
use super::super::form::Form;
use super::{Group, Kernel, Quant};

/// How far ahead of the arithmetic weights are fetched, in bytes. Rows follow one another, so
/// this reaches into the next ones; beyond the last it is a hint that the machine drops.
const AHEAD: usize = 2048;

/// Rows that [`one`] takes at a time: they share the activations and hide each other's sums over
/// lanes, which are most of the work where rows are short.
const ROWS: usize = 2;

/// All rows of the job times its one column.
///
/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
pub(super) unsafe fn one<Q: Quant>(job: &Job) {
    let len = const { Q::TY.block_len() };
    let whole = job.k / GROUP;
    let rest = job.k % GROUP / len;
    for r in (0..job.rows).step_by(ROWS) {
        // SAFETY: groups stay within the rows, of which the last may be taken twice; activation
        // rows are padded to whole groups.
        unsafe {
            let rows: [_; ROWS] =
                std::array::from_fn(|i| job.w.add((r + i).min(job.rows - 1) * job.w_stride));
            let mut sums = [Sums::new(); ROWS];
            for g in 0..whole {
                add::<Q, 4>(&mut sums, rows, job.x, g, GROUP / len);
            }
            // Half a group, which is what rows of 896 end with, need not cost a whole one.
            match rest {
                0 => {}
                4 => add::<Q, 2>(&mut sums, rows, job.x, whole, 4),
                n => add::<Q, 4>(&mut sums, rows, job.x, whole, n),
            }
            for (i, sums) in sums.into_iter().enumerate().take(job.rows - r) {
                *job.dst.add(r + i) = sums.total(Q::FORM);
            }
        }
    }
}

/// Adds the first `UNITS` times 64 products of group `g`, which has `n` blocks, of some rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn add<Q: Quant, const UNITS: usize>(
    sums: &mut [Sums; ROWS],
    rows: [*const u8; ROWS],
    x: *const u8,
    g: usize,
    n: usize,
) {
    let bytes = const { GROUP / Q::TY.block_len() * Q::TY.block_bytes() };
    // SAFETY: the caller's: a group of weights, and one of activations, that `g` counts to.
    unsafe {
        let x = x.add(g * GROUP_BYTES);
        for (row, sums) in rows.iter().zip(sums) {
            let p = row.add(g * bytes);
            fetch(p, bytes);
            let group = Q::group(p, n);
            match const { (Q::FORM.half, Q::FORM.min) } {
                (false, false) => sums.add::<false, false, UNITS>(&group, x),
                (false, true) => sums.add::<false, true, UNITS>(&group, x),
                (true, false) => sums.add::<true, false, UNITS>(&group, x),
                (true, true) => sums.add::<true, true, UNITS>(&group, x),
            }
        }
    }
}

/// Groups that [`few`] unpacks with one call.
const AT_ONCE: usize = 8;

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
pub(super) unsafe fn few<const HALF: bool, const MIN: bool, const N: usize>(kernel: &Kernel, job: &Job) {
    let group_bytes = GROUP / kernel.block_len * kernel.block_bytes;
    let mut groups = [const { MaybeUninit::<Group>::uninit() }; AT_ONCE];
    for r in 0..job.rows {
        // SAFETY: blocks stay within the row, columns within n; activation rows are padded to
        // whole groups; `unpack` writes all groups that are read.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            let mut sums = [Sums::new(); N];
            for k0 in (0..job.k).step_by(AT_ONCE * GROUP) {
                let len = (AT_ONCE * GROUP).min(job.k - k0);
                let p = row.add(k0 / GROUP * group_bytes);
                fetch(p, AT_ONCE * group_bytes);
                (kernel.unpack)(p, len / kernel.block_len, groups.as_mut_ptr().cast());
                for (g, group) in groups.iter().enumerate().take(len.div_ceil(GROUP)) {
                    for (t, sum) in sums.iter_mut().enumerate() {
                        let x = job.x.add(t * job.x_stride + (k0 / GROUP + g) * GROUP_BYTES);
                        sum.add::<HALF, MIN, 4>(group.assume_init_ref(), x);
                    }
                }
            }
            for (t, sum) in sums.into_iter().enumerate() {
                *job.dst.add(t * job.dst_stride + r) = sum.total(kernel.form);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fetch(p: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// The running sums of one result.
#[derive(Clone, Copy)]
struct Sums {
    /// Scaled products.
    products: __m512,
    /// Scaled activation sums, for the offset or the minima.
    sums: __m512,
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new() -> Sums {
        Sums { products: _mm512_setzero_ps(), sums: _mm512_setzero_ps() }
    }

    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    fn total(self, form: Form) -> f32 {
        // b16 holds sums times -128; minima are over 128 there already.
        let (sums, factor) = match (form.half, form.min) {
            (true, true) => (self.sums, 1.0),
            (true, false) => (self.sums, form.offset as f32 / 128.0),
            (false, true) => (_mm512_maskz_mov_ps(0xff00, self.sums), -1.0),
            (false, false) => (_mm512_maskz_mov_ps(0xff00, self.sums), -form.offset as f32),
        };
        _mm512_reduce_add_ps(_mm512_fmadd_ps(sums, _mm512_set1_ps(factor), self.products))
    }

    /// Adds the first `UNITS` times 64 products of a group with the activation group at `x`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
    unsafe fn add<const HALF: bool, const MIN: bool, const UNITS: usize>(
        &mut self,
        group: &Group,
        x: *const u8,
    ) {
        // SAFETY: the caller's: a group at x.
        unsafe {
            let ds = _mm512_loadu_ps(x.add(D).cast());
            // Scales of weight and activation multiplied, and where each of the lanes finds its own.
            let (scales, first, step);
            if HALF {
                let twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
                let d = _mm512_permutexvar_ps(twice, ds);
                scales = _mm512_mul_ps(group.s, d);
                let factors = if MIN { _mm512_mul_ps(group.m, d) } else { scales };
                let b16 = _mm512_loadu_si512(x.add(B16).cast());
                self.sums = _mm512_fmadd_ps(factors, _mm512_cvtepi32_ps(b16), self.sums);
                first = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
                step = 4;
            } else {
                scales = _mm512_mul_ps(group.s, ds);
                self.sums = _mm512_add_ps(self.sums, scales);
                first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
                step = 2;
            }
            for u in 0..UNITS {
                let q = _mm512_loadu_si512(x.add(u * 64).cast());
                let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), group.w[u], q);
                let lanes = _mm512_add_epi32(first, _mm512_set1_epi32(step * u as i32));
                let scale = _mm512_permutexvar_ps(lanes, scales);
                self.products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, self.products);
            }
        }
    }
}
