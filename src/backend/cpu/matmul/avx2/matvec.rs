//! Few columns: each weight is unpacked once and used at once, a row after the other.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::Job;
use super::super::act::{B16, D, GROUP, GROUP_BYTES, S};
use super::{Group, Kernel, Quant, chunk, complete, products};

/// How far ahead of the arithmetic weights are fetched, in bytes. Rows follow one another, so
/// this reaches into the next ones; beyond the last it is a hint that the machine drops.
const AHEAD: usize = 2048;

/// All rows of the job times its one column.
///
/// # Safety
/// As [`super::matmul`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn one<Q: Quant>(job: &Job) {
    let len = const { Q::TY.block_len() };
    let group_bytes = GROUP / len * const { Q::TY.block_bytes() };
    let whole = job.k / GROUP;
    let rest = job.k % GROUP / len;
    for r in 0..job.rows {
        // SAFETY: groups stay within the row; activation rows are padded to whole groups.
        unsafe {
            let row = job.w.add(r * job.w_stride);
            let mut sums = Sums::new();
            let mut add = |p: *const u8, n: usize, g: usize| {
                let group = complete::<Q>(p, n);
                let x = job.x.add(g * GROUP_BYTES);
                match const { (Q::FORM.half, chunk(Q::FORM)) } {
                    (true, _) => sums.add::<true, 1>(&group, x),
                    (false, 0) => sums.add::<false, 0>(&group, x),
                    _ => sums.add::<false, 1>(&group, x),
                }
            };
            for g in 0..whole {
                let p = row.add(g * group_bytes);
                fetch(p, group_bytes);
                add(p, GROUP / len, g);
            }
            if rest > 0 {
                add(row.add(whole * group_bytes), rest, whole);
            }
            *job.dst.add(r) = sums.total(Q::FORM.half);
        }
    }
}

/// Groups that [`few`] unpacks with one call.
const AT_ONCE: usize = 8;

/// All rows of the job times `N` columns.
///
/// # Safety
/// As [`super::matmul`]; `job.n` is `N`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn few<const HALF: bool, const CHUNK: usize, const N: usize>(kernel: &Kernel, job: &Job) {
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
                        sum.add::<HALF, CHUNK>(group.assume_init_ref(), x);
                    }
                }
            }
            for (t, sum) in sums.into_iter().enumerate() {
                *job.dst.add(t * job.dst_stride + r) = sum.total(HALF);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn fetch(p: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// The running sums of one result.
#[derive(Clone, Copy)]
struct Sums {
    /// Scaled products.
    products: __m256,
    /// Scaled activation sums, for the minima.
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
    fn total(self, half: bool) -> f32 {
        // b16 holds sums times -128, and such minima are over 128.
        let factor = if half { 1.0 } else { -1.0 };
        let v = _mm256_fmadd_ps(self.sums, _mm256_set1_ps(factor), self.products);
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }

    /// Adds the products of a group with the activation group at `x`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add<const HALF: bool, const CHUNK: usize>(&mut self, group: &Group, x: *const u8) {
        // SAFETY: the caller's: a group at x.
        unsafe {
            let d = _mm256_loadu_ps(x.add(D).cast());
            // Scales of weight and activation multiplied.
            let mut scales = [_mm256_mul_ps(group.s[0], d), _mm256_setzero_ps()];
            if HALF {
                for (i, scale) in scales.iter_mut().enumerate() {
                    let twice = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
                    let twice = _mm256_add_epi32(twice, _mm256_set1_epi32(4 * i as i32));
                    let d = _mm256_permutevar8x32_ps(d, twice);
                    *scale = _mm256_mul_ps(group.s[i], d);
                    let sums = _mm256_cvtepi32_ps(_mm256_loadu_si256(x.add(B16 + i * 32).cast()));
                    self.sums = _mm256_fmadd_ps(_mm256_mul_ps(group.m[i], d), sums, self.sums);
                }
            } else if CHUNK != 0 {
                let sums = _mm256_loadu_ps(x.add(S).cast());
                self.sums = _mm256_fmadd_ps(group.m[0], sums, self.sums);
            }
            for (u, &w) in group.w.iter().enumerate() {
                let q = _mm256_loadu_si256(x.add(u * 32).cast());
                let dot = _mm256_madd_epi16(products::<CHUNK>(w, q), _mm256_set1_epi16(1));
                let scale = if HALF {
                    let lanes = _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0);
                    let lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(2 * (u as i32 % 4)));
                    _mm256_permutevar8x32_ps(scales[u / 4], lanes)
                } else {
                    _mm256_permutevar8x32_ps(scales[0], _mm256_set1_epi32(u as i32))
                };
                self.products = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, self.products);
            }
        }
    }
}
