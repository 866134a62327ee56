//! Products of signed bytes, summed in 32 bits. Activations are in [-127, 127], so that two
//! products fit 16 bits whatever the weight.

use std::arch::aarch64::*;
use std::arch::asm;

/// How an instruction set multiplies bytes.
///
/// # Safety, for all methods
/// The machine has the instruction set.
pub(super) trait Dot {
    /// Adds the 16 products to the lanes of `sum`, in any order.
    unsafe fn dot(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t;
    /// Adds the products of each four weights with the four activations of lane `LANE` to the lane
    /// of the weights.
    unsafe fn dot_lane<const LANE: i32>(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t;
}

/// Dot products in hardware. The intrinsics are not stable.
pub(super) struct Sdot;

impl Dot for Sdot {
    #[inline(always)]
    unsafe fn dot(mut sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: the caller has the instruction; it touches its operands only.
        unsafe {
            asm!(".arch_extension dotprod", "sdot {s:v}.4s, {w:v}.16b, {x:v}.16b",
                s = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }

    #[inline(always)]
    unsafe fn dot_lane<const LANE: i32>(mut sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: as above.
        unsafe {
            asm!(".arch_extension dotprod", "sdot {s:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
                s = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x, lane = const LANE,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }
}

/// Sums of two products in 16 bits, then sums of those: what every aarch64 has.
pub(super) struct Pairs;

impl Dot for Pairs {
    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: NEON is part of every aarch64.
        unsafe {
            let two = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            vpadalq_s16(sum, vmlal_high_s8(two, w, x))
        }
    }

    #[inline(always)]
    unsafe fn dot_lane<const LANE: i32>(sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: as above.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(x)));
            let (low, high) = (vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x));
            vpadalq_s16(sum, vpaddq_s16(low, high))
        }
    }
}
