//! RMS normalisation of a row. Squares are summed in f32 over `4 N` interleaved partial sums, so
//! the error grows with `n / (4 N)`: relative error of a result below 1e-6 up to `n = 16384`.

use super::simd::{Elem, Simd, StoreElem};

by_isa! {
    /// `dst = x / sqrt(mean(x^2) + eps) * weight` over one row of `n`; without the last factor
    /// where `weight` is null.
    pub unsafe fn rms_norm(dst: *mut f32, x: *const f32, weight: *const f32, eps: f32, n: usize)
        = rms_norm_body
}

#[inline(always)]
unsafe fn rms_norm_body<S: Simd>(dst: *mut f32, x: *const f32, weight: *const f32, eps: f32, n: usize) {
    // SAFETY: every access is below `n`, the length the caller vouches for.
    unsafe {
        let mut sums = [S::splat(0.0); 4];
        let mut i = 0;
        while i + 4 * S::N <= n {
            for (j, sum) in sums.iter_mut().enumerate() {
                let v = S::load(x.add(i + j * S::N));
                *sum = S::fma(v, v, *sum);
            }
            i += 4 * S::N;
        }
        while i < n {
            let v = load_up_to::<S>(x.add(i), n - i);
            sums[0] = S::fma(v, v, sums[0]);
            i += S::N;
        }
        let sum = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
        let factor = S::splat(1.0 / (sum / n as f32 + eps).sqrt());

        let mut i = 0;
        while i < n {
            let mut y = S::mul(load_up_to::<S>(x.add(i), n - i), factor);
            if !weight.is_null() {
                y = S::mul(y, load_up_to::<S>(weight.add(i), n - i));
            }
            if n - i >= S::N {
                S::store(dst.add(i), y);
            } else {
                f32::store_part::<S>(dst.add(i), y, n - i);
            }
            i += S::N;
        }
    }
}

/// `min(n, N)` elements and zeros after them.
#[inline(always)]
unsafe fn load_up_to<S: Simd>(p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller vouches for `n` elements.
    unsafe { if n >= S::N { S::load(p) } else { f32::load_part::<S>(p, n) } }
}
