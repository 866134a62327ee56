//! Portable vectors of four lanes, which compilers turn into whatever the machine has. Products
//! and sums are rounded separately: a fused one without hardware is a slow library call.

use half::{bf16, f16};

use super::Simd;

/// Portable code.
#[derive(Clone, Copy)]
pub struct Scalar;

type V = [f32; 4];

macro_rules! lanes {
    ($i:ident => $e:expr) => {{
        let mut v = [0.0; 4];
        let mut $i = 0;
        while $i < 4 {
            v[$i] = $e;
            $i += 1;
        }
        v
    }};
}

/// `2^n` for `n` in -126 ..= 127.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

impl Simd for Scalar {
    type V = V;
    const N: usize = 4;
    const TILE_ROWS: usize = 6;
    const WIDE_ROWS: usize = 2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: the caller vouches for 4 elements.
        unsafe { p.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> V {
        // SAFETY: the caller vouches for 4 elements.
        lanes!(i => unsafe { (*p.add(i)).to_f32() })
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> V {
        // SAFETY: the caller vouches for 4 elements.
        lanes!(i => unsafe { (*p.add(i)).to_f32() })
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: the caller vouches for 4 elements.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut f16, v: V) {
        for (i, x) in v.into_iter().enumerate() {
            // SAFETY: the caller vouches for 4 elements.
            unsafe { *p.add(i) = f16::from_f32(x) }
        }
    }

    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        lanes!(i => a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        lanes!(i => a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        lanes!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn round(v: V) -> V {
        // Adding 1.5 * 2^23 leaves no bits for a fraction.
        const MAGIC: f32 = 12_582_912.0;
        lanes!(i => (v[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn scale2(v: V, n: V) -> V {
        // In two steps, because `2^n` alone may not be a normal number.
        lanes!(i => {
            let n = n[i] as i32;
            let half = n >> 1;
            v[i] * power(half) * power(n - half)
        })
    }
    #[inline(always)]
    unsafe fn select(bits: u32, v: V, other: V) -> V {
        lanes!(i => if bits >> i & 1 != 0 { v[i] } else { other[i] })
    }

    #[inline(always)]
    unsafe fn first(v: V) -> f32 {
        v[0]
    }
    #[inline(always)]
    unsafe fn sum(v: V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    unsafe fn largest(v: V) -> f32 {
        let max = |a: f32, b: f32| if a > b { a } else { b };
        max(max(v[0], v[2]), max(v[1], v[3]))
    }
    #[inline(always)]
    unsafe fn sum4(v: [V; 4]) -> [f32; 4] {
        lanes!(i => (v[i][0] + v[i][2]) + (v[i][1] + v[i][3]))
    }

    #[inline(always)]
    unsafe fn dup_even(v: V) -> V {
        [v[0], v[0], v[2], v[2]]
    }
    #[inline(always)]
    unsafe fn dup_odd(v: V) -> V {
        [v[1], v[1], v[3], v[3]]
    }
    #[inline(always)]
    unsafe fn swap_pairs(v: V) -> V {
        [v[1], v[0], v[3], v[2]]
    }
    #[inline(always)]
    unsafe fn fmaddsub(a: V, b: V, c: V) -> V {
        [a[0] * b[0] - c[0], a[1] * b[1] + c[1], a[2] * b[2] - c[2], a[3] * b[3] + c[3]]
    }
    #[inline(always)]
    unsafe fn deinterleave(a: V, b: V) -> (V, V) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }

    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        for r in 0..4 {
            for c in 0..4 {
                // SAFETY: the caller vouches for both 4 x 4 blocks.
                unsafe { *dst.add(c * dst_stride + r) = *src.add(r * src_stride + c) }
            }
        }
    }
}
