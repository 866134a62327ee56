//! Few columns: each weight is unpacked in registers and used at once, a row after the other.
//!
//! The four products that `vpdpbusd` adds up stay apart by 16 values of k, one 128-bit lane each,
//! so one multiply-add with the lane's scale turns 64 products into f32 sums.

use std::arch::x86_64::*;

use super::super::Job;
use super::super::act::{B16, D, GROUP, GROUP_BYTES};
use super::Quant;

/// How far ahead of the arithmetic weights are fetched, in bytes. Rows follow one another, so
/// this reaches into the next ones; beyond the last it is a hint that the machine drops.
const AHEAD: usize = 2048;

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
pub(super) unsafe fn rows<Q: Quant, const N: usize>(job: &Job) {
    let group_bytes = GROUP / Q::BLOCK_LEN * Q::BLOCK_BYTES;
    let whole = job.k / GROUP;
    let rest = job.k % GROUP / Q::BLOCK_LEN;
    for r in 0..job.rows {
        // SAFETY: groups stay within the row, columns within n; activation rows are padded to
        // whole groups.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            let mut sums = [Sums::new(); N];
            for g in 0..whole {
                let p = row.add(g * group_bytes);
                for line in 0..group_bytes.div_ceil(64) {
                    _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(AHEAD + line * 64).cast());
                }
                add_group::<Q, N>(&mut sums, p, GROUP / Q::BLOCK_LEN, job, g);
            }
            if rest > 0 {
                add_group::<Q, N>(&mut sums, row.add(whole * group_bytes), rest, job, whole);
            }
            for (t, sum) in sums.into_iter().enumerate() {
                *job.dst.add(t * job.dst_stride + r) = sum.total::<Q>();
            }
        }
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
    #[target_feature(enable = "avx512f")]
    fn total<Q: Quant>(self) -> f32 {
        let products = _mm512_reduce_add_ps(self.products);
        if Q::HALF {
            // b16 holds sums times -128.
            products + Q::OFFSET as f32 / 128.0 * _mm512_reduce_add_ps(self.sums)
        } else {
            let factor = if Q::OFFSET == 0 { 1.0 } else { Q::OFFSET as f32 };
            products - factor * _mm512_mask_reduce_add_ps(0xff00, self.sums)
        }
    }
}

/// Adds the products of group `g`, of which `n` blocks begin at `p`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")]
unsafe fn add_group<Q: Quant, const N: usize>(
    sums: &mut [Sums; N],
    p: *const u8,
    n: usize,
    job: &Job,
    g: usize,
) {
    // SAFETY: the caller's: n blocks at p, group g in each activation row.
    unsafe {
        let group = Q::group(p, n);
        for (t, sum) in sums.iter_mut().enumerate() {
            let x = job.x.add(t * job.x_stride + g * GROUP_BYTES);
            let ds = _mm512_loadu_ps(x.add(D).cast());
            // Scales of weight and activation multiplied, and where each of the lanes finds its own.
            let (scales, first, step);
            if Q::HALF {
                let twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
                scales = _mm512_mul_ps(group.s, _mm512_permutexvar_ps(twice, ds));
                let b16 = _mm512_loadu_si512(x.add(B16).cast());
                sum.sums = _mm512_fmadd_ps(scales, _mm512_cvtepi32_ps(b16), sum.sums);
                first = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
                step = 4;
            } else {
                scales = _mm512_mul_ps(group.s, ds);
                sum.sums = _mm512_add_ps(sum.sums, scales);
                first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
                step = 2;
            }
            for (u, &w) in group.w.iter().enumerate() {
                let q = _mm512_loadu_si512(x.add(u * 64).cast());
                let dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, q);
                let lanes = _mm512_add_epi32(first, _mm512_set1_epi32(step * u as i32));
                let scale = _mm512_permutexvar_ps(lanes, scales);
                sum.products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum.products);
            }
        }
    }
}
