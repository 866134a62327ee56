//! Operations on one element at a time, over a row or any part of one, and conversions between
//! element types.
//!
//! Error against exact mathematics, on the result: `add`, `mul`, `scale` and conversions are
//! rounded once; `silu`, `swiglu` and `geglu` stay below 8e-7 relative.

use half::{bf16, f16};

use super::simd::{Elem, Simd, StoreElem, sigmoid};

/// A kernel of one or two sources: `dst[i] = f(a[i], b[i])`.
macro_rules! elementwise {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($src:ident),+), $S:ident, $e:expr) => {
        by_isa! {
            $(#[$doc])*
            pub unsafe fn $name(dst: *mut f32, $($src: *const f32,)+ n: usize) = $body
        }

        #[inline(always)]
        unsafe fn $body<$S: Simd>(dst: *mut f32, $($src: *const f32,)+ n: usize) {
            let mut i = 0;
            // SAFETY: every access is below `n`, the length the caller vouches for.
            unsafe {
                while i + $S::N <= n {
                    let y = {
                        $(let $src = $S::load($src.add(i));)+
                        $e
                    };
                    $S::store(dst.add(i), y);
                    i += $S::N;
                }
                if i < n {
                    let y = {
                        $(let $src = f32::load_part::<$S>($src.add(i), n - i);)+
                        $e
                    };
                    f32::store_part::<$S>(dst.add(i), y, n - i);
                }
            }
        }
    };
}

elementwise! {
    /// `dst = a + b`, `n` elements each.
    add, add_body, (a, b), S, S::add(a, b)
}
elementwise! {
    /// `dst = a * b`, `n` elements each.
    mul, mul_body, (a, b), S, S::mul(a, b)
}
elementwise! {
    /// `dst = x / (1 + e^-x)`, `n` elements.
    silu, silu_body, (x), S, S::mul(x, sigmoid::<S>(x))
}
elementwise! {
    /// `dst = silu(gate) * up`, `n` elements each.
    swiglu, swiglu_body, (gate, up), S, S::mul(S::mul(gate, sigmoid::<S>(gate)), up)
}
elementwise! {
    /// `dst = gelu(gate) * up`, `n` elements each, with
    /// `gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    geglu, geglu_body, (gate, up), S, {
        // (1 + tanh u) / 2 is the sigmoid of 2 u.
        const A: f32 = 2.0 * 0.797_884_6;
        let cube = S::mul(S::mul(gate, gate), S::splat(0.044_715 * A));
        let u = S::mul(gate, S::add(cube, S::splat(A)));
        S::mul(S::mul(gate, sigmoid::<S>(u)), up)
    }
}

by_isa! {
    /// `dst = x * factor`, `n` elements.
    pub unsafe fn scale(dst: *mut f32, x: *const f32, factor: f32, n: usize) = scale_body
}

#[inline(always)]
unsafe fn scale_body<S: Simd>(dst: *mut f32, x: *const f32, factor: f32, n: usize) {
    let mut i = 0;
    // SAFETY: every access is below `n`, the length the caller vouches for.
    unsafe {
        let factor = S::splat(factor);
        while i + S::N <= n {
            S::store(dst.add(i), S::mul(S::load(x.add(i)), factor));
            i += S::N;
        }
        if i < n {
            let y = S::mul(f32::load_part::<S>(x.add(i), n - i), factor);
            f32::store_part::<S>(dst.add(i), y, n - i);
        }
    }
}

by_isa! {
    /// `n` elements from f32 to f16, to the nearest, ties to even.
    pub unsafe fn f32_to_f16(dst: *mut f16, src: *const f32, n: usize) = convert<f16, f32>
}
by_isa! {
    /// `n` elements from f16 to f32, exactly.
    pub unsafe fn f16_to_f32(dst: *mut f32, src: *const f16, n: usize) = convert<f32, f16>
}
by_isa! {
    /// `n` elements from bf16 to f32, exactly.
    pub unsafe fn bf16_to_f32(dst: *mut f32, src: *const bf16, n: usize) = convert<f32, bf16>
}

/// Copies `n` elements, converting where the types differ.
///
/// # Safety
/// See the [module](super); `S` is a set of this machine.
#[inline(always)]
pub(super) unsafe fn convert<S: Simd, D: StoreElem, E: Elem>(dst: *mut D, src: *const E, n: usize) {
    let mut i = 0;
    // SAFETY: every access is below `n`, the length the caller vouches for.
    unsafe {
        while i + S::N <= n {
            D::store::<S>(dst.add(i), E::load::<S>(src.add(i)));
            i += S::N;
        }
        if i < n {
            D::store_part::<S>(dst.add(i), E::load_part::<S>(src.add(i), n - i), n - i);
        }
    }
}
