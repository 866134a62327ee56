//! Vectors of four lanes: NEON, which is part of every aarch64.

use std::arch::aarch64::*;
use std::arch::asm;

use half::{bf16, f16};

use super::Simd;

/// NEON.
#[derive(Clone, Copy)]
pub struct Neon;

type V = float32x4_t;

/// Methods that are one expression of intrinsics.
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $e:expr;)+) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: NEON is part of every aarch64; the caller vouches for 4 elements at a pointer.
            unsafe { $e }
        }
    )+};
}

impl Simd for Neon {
    type V = V;
    const N: usize = 4;
    const TILE_ROWS: usize = 12;
    const WIDE_ROWS: usize = 4;

    methods! {
        splat(x: f32) -> V = vdupq_n_f32(x);
        load(p: *const f32) -> V = vld1q_f32(p);
        load_f16(p: *const f16) -> V = {
            let v: V;
            // The intrinsics of f16 vectors are younger than the oldest compiler we support.
            asm!("fcvtl {v:v}.4s, {h:v}.4h", v = lateout(vreg) v, h = in(vreg) vld1_u16(p.cast()),
                options(pure, nomem, nostack, preserves_flags));
            v
        };
        load_bf16(p: *const bf16) -> V = vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.cast())));
        store(p: *mut f32, v: V) = vst1q_f32(p, v);
        store_f16(p: *mut f16, v: V) = {
            let h: uint16x4_t;
            asm!("fcvtn {h:v}.4h, {v:v}.4s", h = lateout(vreg) h, v = in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
            vst1_u16(p.cast(), h)
        };

        add(a: V, b: V) -> V = vaddq_f32(a, b);
        sub(a: V, b: V) -> V = vsubq_f32(a, b);
        mul(a: V, b: V) -> V = vmulq_f32(a, b);
        div(a: V, b: V) -> V = vdivq_f32(a, b);
        fma(a: V, b: V, c: V) -> V = vfmaq_f32(c, a, b);
        max(a: V, b: V) -> V = vbslq_f32(vcgtq_f32(a, b), a, b);
        min(a: V, b: V) -> V = vbslq_f32(vcltq_f32(a, b), a, b);
        round(v: V) -> V = vrndnq_f32(v);
        // In two steps, because `2^n` alone may not be a normal number.
        scale2(v: V, n: V) -> V = {
            let n = vcvtnq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let rest = vsubq_s32(n, half);
            let bias = vdupq_n_s32(127);
            let a = vshlq_n_s32::<23>(vaddq_s32(half, bias));
            let b = vshlq_n_s32::<23>(vaddq_s32(rest, bias));
            vmulq_f32(vmulq_f32(v, vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b))
        };
        select(bits: u32, v: V, other: V) -> V = {
            let lane = vld1q_u32([1, 2, 4, 8].as_ptr());
            vbslq_f32(vtstq_u32(vdupq_n_u32(bits), lane), v, other)
        };

        first(v: V) -> f32 = vgetq_lane_f32::<0>(v);
        sum(v: V) -> f32 = vaddvq_f32(v);
        largest(v: V) -> f32 = vmaxnmvq_f32(v);
        sum4(v: [V; 4]) -> [f32; 4] = {
            let mut sums = [0.0; 4];
            vst1q_f32(sums.as_mut_ptr(), vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3])));
            sums
        };

        dup_even(v: V) -> V = vtrn1q_f32(v, v);
        dup_odd(v: V) -> V = vtrn2q_f32(v, v);
        swap_pairs(v: V) -> V = vrev64q_f32(v);
        fmaddsub(a: V, b: V, c: V) -> V = {
            let even = vreinterpretq_u32_u64(vdupq_n_u64(1 << 31));
            let c = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(c), even));
            vfmaq_f32(c, a, b)
        };
        deinterleave(a: V, b: V) -> (V, V) = (vuzp1q_f32(a, b), vuzp2q_f32(a, b));
    }

    #[inline(always)]
    unsafe fn transpose(src: *const f32, src_stride: usize, dst: *mut f32, dst_stride: usize) {
        // SAFETY: the caller vouches for both 4 x 4 blocks.
        unsafe {
            let x: [V; 4] = std::array::from_fn(|r| vld1q_f32(src.add(r * src_stride)));
            let even = vzipq_f32(x[0], x[2]);
            let odd = vzipq_f32(x[1], x[3]);
            let low = vzipq_f32(even.0, odd.0);
            let high = vzipq_f32(even.1, odd.1);
            for (c, v) in [low.0, low.1, high.0, high.1].into_iter().enumerate() {
                vst1q_f32(dst.add(c * dst_stride), v);
            }
        }
    }
}
