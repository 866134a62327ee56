//! Few columns: each weight is unpacked in registers and used at once, a row after the other.

use std::arch::x86_64::*;

use super::super::Job;
use super::super::act::{B16, B32, D, GROUP, GROUP_BYTES, S};
use super::{Quant, products};

/// How far ahead of the arithmetic weights are fetched, in bytes. Rows follow one another, so
/// this reaches into the next ones; beyond the last it is a hint that the machine drops.
const AHEAD: usize = 2048;

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`.
#[target_feature(enable = "avx2,fma,f16c")]
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
    products: __m256,
    /// Scaled activation sums, for the offset or the minima.
    sums: __m256,
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Sums {
        Sums { products: _mm256_setzero_ps(), sums: _mm256_setzero_ps() }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn total<Q: Quant>(self) -> f32 {
        // b16 and b32 hold sums times -128.
        let factor = if Q::OFFSET == 0 { -1.0 } else { Q::OFFSET as f32 / 128.0 };
        let v = _mm256_fmadd_ps(self.sums, _mm256_set1_ps(factor), self.products);
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }
}

/// Adds the products of group `g`, of which `n` blocks begin at `p`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
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
            let ints = |at: usize| _mm256_cvtepi32_ps(_mm256_loadu_si256(x.add(at).cast()));
            let d = _mm256_loadu_ps(x.add(D).cast());
            // Scales of weight and activation multiplied.
            let mut scales = [_mm256_mul_ps(group.s[0], d), _mm256_setzero_ps()];
            if Q::HALF {
                for (i, scale) in scales.iter_mut().enumerate() {
                    let twice = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
                    let twice = _mm256_add_epi32(twice, _mm256_set1_epi32(4 * i as i32));
                    *scale = _mm256_mul_ps(group.s[i], _mm256_permutevar8x32_ps(d, twice));
                    sum.sums = _mm256_fmadd_ps(*scale, ints(B16 + i * 32), sum.sums);
                }
            } else if Q::OFFSET != 0 {
                sum.sums = _mm256_fmadd_ps(scales[0], ints(B32), sum.sums);
            } else if !Q::SIGNED {
                let s = _mm256_loadu_ps(x.add(S).cast());
                sum.sums = _mm256_fmadd_ps(group.s[1], s, sum.sums);
            }
            for (u, &w) in group.w.iter().enumerate() {
                let q = _mm256_loadu_si256(x.add(u * 32).cast());
                let dot = _mm256_madd_epi16(products::<Q>(w, q), _mm256_set1_epi16(1));
                let scale = if Q::HALF {
                    let lanes = _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0);
                    let lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(2 * (u as i32 % 4)));
                    _mm256_permutevar8x32_ps(scales[u / 4], lanes)
                } else {
                    _mm256_permutevar8x32_ps(scales[0], _mm256_set1_epi32(u as i32))
                };
                sum.products = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sum.products);
            }
        }
    }
}
