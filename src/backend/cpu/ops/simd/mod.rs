//! The vector type that kernels are written over, and what can be loaded into it.
//!
//! Every method is inlined into a kernel that was compiled with the features of its instruction
//! set; calling one anywhere else is undefined on a machine without them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
use half::{bf16, f16};
#[cfg(test)]
pub use math::exp;
pub use math::{exp2, sigmoid};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use scalar::Scalar;

/// The widest vector, in lanes.
pub const MAX_LANES: usize = 16;

/// A vector of `N` f32 lanes and how to compute with it.
///
/// # Safety, for all methods
/// The machine has the instruction set; pointers are valid for `N` elements.
#[allow(clippy::missing_safety_doc)]
pub trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// Lanes, at most [`MAX_LANES`]; a divisor of 64.
    const N: usize;
    /// Rows of the register tile of a matrix product that is two vectors wide.
    const TILE_ROWS: usize;
    /// Rows of the register tile that is four vectors wide.
    const WIDE_ROWS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn load_f16(p: *const f16) -> Self::V;
    unsafe fn load_bf16(p: *const bf16) -> Self::V;
    /// `N` bytes with a sign, as f32.
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::V {
        let mut row = [0.0; MAX_LANES];
        // SAFETY: the caller vouches for `N` elements, and `N <= MAX_LANES`.
        unsafe {
            for (i, x) in row[..Self::N].iter_mut().enumerate() {
                *x = f32::from(*p.add(i));
            }
            Self::load(row.as_ptr())
        }
    }
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Rounds to nearest, ties to even.
    unsafe fn store_f16(p: *mut f16, v: Self::V);

    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`; rounded once where the instruction set has that.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number, ties to even. `|v| < 2^22`.
    unsafe fn round(v: Self::V) -> Self::V;
    /// `v * 2^n` for whole `n` in -150 ..= 128 and `v` in 0.5 .. 2.
    unsafe fn scale2(v: Self::V, n: Self::V) -> Self::V;
    /// Lane `i` of `v` where bit `i` is set, of `other` elsewhere.
    unsafe fn select(bits: u32, v: Self::V, other: Self::V) -> Self::V;

    /// Lane 0.
    unsafe fn first(v: Self::V) -> f32;
    /// The sum of the lanes.
    unsafe fn sum(v: Self::V) -> f32;
    /// The largest lane.
    unsafe fn largest(v: Self::V) -> f32;
    /// The sum of the lanes of each of four vectors.
    unsafe fn sum4(v: [Self::V; 4]) -> [f32; 4];

    /// Lanes 0, 0, 2, 2, ..
    unsafe fn dup_even(v: Self::V) -> Self::V;
    /// Lanes 1, 1, 3, 3, ..
    unsafe fn dup_odd(v: Self::V) -> Self::V;
    /// Lanes 1, 0, 3, 2, ..
    unsafe fn swap_pairs(v: Self::V) -> Self::V;
    /// `a * b - c` in even lanes, `a * b + c` in odd ones.
    unsafe fn fmaddsub(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The even and the odd lanes of `a` followed by `b`.
    unsafe fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);

    /// Transposes an `N x N` block; strides in elements.
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize);
}

/// What rows of activations and caches are made of.
///
/// # Safety, for all methods
/// As for [`Simd`]; a `_part` touches only the first `n < N` elements.
#[allow(clippy::missing_safety_doc)]
pub trait Elem: Copy + Default {
    /// `N` elements as f32.
    unsafe fn load<S: Simd>(p: *const Self) -> S::V;
    /// `n` elements, and zeros after them.
    #[inline(always)]
    unsafe fn load_part<S: Simd>(p: *const Self, n: usize) -> S::V {
        let mut row = [Self::default(); MAX_LANES];
        // SAFETY: `n < N <= MAX_LANES`, and the caller vouches for `n` elements.
        unsafe {
            std::ptr::copy_nonoverlapping(p, row.as_mut_ptr(), n);
            Self::load::<S>(row.as_ptr())
        }
    }
}

/// An element that results can be rounded to.
///
/// # Safety, for all methods
/// As for [`Elem`].
#[allow(clippy::missing_safety_doc)]
pub trait StoreElem: Elem {
    /// Writes `N` elements.
    unsafe fn store<S: Simd>(p: *mut Self, v: S::V);
    /// Writes the first `n`.
    #[inline(always)]
    unsafe fn store_part<S: Simd>(p: *mut Self, v: S::V, n: usize) {
        let mut row = [Self::default(); MAX_LANES];
        // SAFETY: `n < N <= MAX_LANES`, and the caller vouches for `n` elements.
        unsafe {
            Self::store::<S>(row.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(row.as_ptr(), p, n);
        }
    }
}

macro_rules! elem {
    ($ty:ty, $load:ident $(, $store:ident)?) => {
        impl Elem for $ty {
            #[inline(always)]
            unsafe fn load<S: Simd>(p: *const Self) -> S::V {
                // SAFETY: the same contract.
                unsafe { S::$load(p) }
            }
        }
        $(impl StoreElem for $ty {
            #[inline(always)]
            unsafe fn store<S: Simd>(p: *mut Self, v: S::V) {
                // SAFETY: the same contract.
                unsafe { S::$store(p, v) }
            }
        })?
    };
}
elem!(f32, load, store);
elem!(f16, load_f16, store_f16);
elem!(bf16, load_bf16);

/// Hints that the cache line at `p` is needed soon. Any address will do.
#[inline(always)]
pub fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint: it reads nothing and cannot fault; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast())
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint: it reads nothing and cannot fault.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, preserves_flags, readonly))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}
