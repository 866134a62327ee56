//! Exponentials: range reduction by powers of two and a polynomial of degree 6 (minimax of the
//! relative error, 2.6e-9 before rounding). Below 2 ulp where the result is a normal number;
//! overflow gives infinity, underflow a subnormal or 0, NaN stays NaN.

use super::Simd;

#[inline(always)]
unsafe fn horner<S: Simd>(r: S::V, c: [f32; 6]) -> S::V {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let mut p = S::splat(c[5]);
        p = S::fma(p, r, S::splat(c[4]));
        p = S::fma(p, r, S::splat(c[3]));
        p = S::fma(p, r, S::splat(c[2]));
        p = S::fma(p, r, S::splat(c[1]));
        p = S::fma(p, r, S::splat(c[0]));
        S::fma(p, r, S::splat(1.0))
    }
}

/// `2^x`.
///
/// # Safety
/// The machine has the instruction set.
#[inline(always)]
pub unsafe fn exp2<S: Simd>(x: S::V) -> S::V {
    const C: [f32; 6] =
        [0.693_147_24, 0.240_226_52, 0.055_503_104, 0.009_617_693, 0.001_340_664_3, 0.000_155_946_78];
    // SAFETY: the caller has the instruction set.
    unsafe {
        let x = S::min(S::splat(128.0), S::max(S::splat(-150.0), x));
        let n = S::round(x);
        S::scale2(horner::<S>(S::sub(x, n), C), n)
    }
}

/// `e^x`.
///
/// # Safety
/// The machine has the instruction set.
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    const C: [f32; 6] = [1.0, 0.500_000_06, 0.166_663_66, 0.041_664_775, 0.008_379_011, 0.001_406_124_1];
    // ln 2 in two parts; the first has few enough bits that its product with `n` is exact.
    const LN2_HI: f32 = 0.693_145_75;
    const LN2_LO: f32 = 1.428_606_8e-6;
    // SAFETY: the caller has the instruction set.
    unsafe {
        let x = S::min(S::splat(89.0), S::max(S::splat(-104.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(n, S::splat(-LN2_HI), x);
        let r = S::fma(n, S::splat(-LN2_LO), r);
        S::scale2(horner::<S>(r, C), n)
    }
}

/// `1 / (1 + e^-x)`.
///
/// # Safety
/// The machine has the instruction set.
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::splat(0.0), x))))
    }
}
