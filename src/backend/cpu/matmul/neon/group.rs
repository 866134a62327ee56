//! The weight types, 256 weights at a time.

use std::arch::aarch64::*;

use super::{Quant, f16x4};

pub(super) struct Q4_0;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

/// The f16 scales at the head of eight blocks.
#[inline(always)]
unsafe fn block_scales(p: *const u8, bytes: usize, last: usize) -> [float32x4_t; 2] {
    // SAFETY: only the blocks 0..=last are read.
    unsafe {
        let d = |i: usize| p.add(i.min(last) * bytes).cast::<[u8; 2]>().read();
        let four = |i: usize| {
            let d = [d(i), d(i + 1), d(i + 2), d(i + 3)];
            f16x4(vreinterpret_u16_u8(vld1_u8(d.as_ptr().cast())))
        };
        [four(0), four(4)]
    }
}

/// Scales without minima.
#[inline(always)]
fn only(s: [float32x4_t; 2]) -> [float32x4_t; 4] {
    [s[0], s[1], s[0], s[1]]
}

impl Quant for Q4_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 18;

    /// Times 16: a nibble less 8 is the nibble with its upper bit flipped, as two's complement, and
    /// stays so in the upper half of a byte.
    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the block exists.
        unsafe {
            let x = vld1q_u8(p.add(u.min(last) * Self::BLOCK_BYTES + 2));
            let x = veorq_u8(x, vdupq_n_u8(0x88));
            [vreinterpretq_s8_u8(vshlq_n_u8::<4>(x)), vreinterpretq_s8_u8(vandq_u8(x, vdupq_n_u8(0xf0)))]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> [float32x4_t; 4] {
        // SAFETY: the caller's.
        unsafe { only(block_scales(p, Self::BLOCK_BYTES, last).map(|s| vmulq_n_f32(s, 1.0 / 16.0))) }
    }
}

impl Quant for Q8_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 34;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the block exists.
        unsafe {
            let q = p.add(u.min(last) * Self::BLOCK_BYTES + 2).cast();
            [vld1q_s8(q), vld1q_s8(q.add(16))]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> [float32x4_t; 4] {
        // SAFETY: the caller's.
        unsafe { only(block_scales(p, Self::BLOCK_BYTES, last)) }
    }
}

/// `d * scale` of the eight sub-blocks and `d_min * min`, from the first 16 bytes of a block.
#[inline(always)]
unsafe fn k_scales(p: *const u8) -> [float32x4_t; 4] {
    // SAFETY: 16 bytes at p.
    unsafe {
        let [d, a, b, c] = p.cast::<[u32; 4]>().read_unaligned();
        let sc_low = a & 0x3f3f_3f3f;
        let sc_high = c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030;
        let m_low = b & 0x3f3f_3f3f;
        let m_high = c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030;
        let d = f16x4(vcreate_u16(d as u64));
        let low = |v: u64| vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(v)))));
        let high = |v: u64| vcvtq_f32_u32(vmovl_high_u16(vmovl_u8(vcreate_u8(v))));
        let sc = sc_low as u64 | (sc_high as u64) << 32;
        let m = m_low as u64 | (m_high as u64) << 32;
        [
            vmulq_laneq_f32::<0>(low(sc), d),
            vmulq_laneq_f32::<0>(high(sc), d),
            vmulq_laneq_f32::<1>(low(m), d),
            vmulq_laneq_f32::<1>(high(m), d),
        ]
    }
}

/// The low or the high nibbles of 32 bytes.
#[inline(always)]
unsafe fn nibbles(p: *const u8, high: bool) -> [uint8x16_t; 2] {
    // SAFETY: 32 bytes at p.
    unsafe {
        [0, 16].map(|i| {
            let x = vld1q_u8(p.add(i));
            if high { vshrq_n_u8::<4>(x) } else { vandq_u8(x, vdupq_n_u8(15)) }
        })
    }
}

/// `low | bits << left & mask`, for the 32 bytes of bits at `p`; a negative `left` shifts right.
#[inline(always)]
unsafe fn add_bits(low: [uint8x16_t; 2], p: *const u8, left: i8, mask: u8) -> [int8x16_t; 2] {
    // SAFETY: 32 bytes at p.
    unsafe {
        [0, 1].map(|i| {
            let bits = vshlq_u8(vld1q_u8(p.add(16 * i)), vdupq_n_s8(left));
            vreinterpretq_s8_u8(vorrq_u8(low[i], vandq_u8(bits, vdupq_n_u8(mask))))
        })
    }
}

impl Quant for Q4K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 144;
    const MINIMA: bool = true;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { nibbles(p.add(16 + u / 2 * 32), u % 2 == 1).map(|q| vreinterpretq_s8_u8(q)) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> [float32x4_t; 4] {
        // SAFETY: one block at p.
        unsafe { k_scales(p) }
    }
}

impl Quant for Q5K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 176;
    const MINIMA: bool = true;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { add_bits(nibbles(p.add(48 + u / 2 * 32), u % 2 == 1), p.add(16), 4 - u as i8, 16) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> [float32x4_t; 4] {
        // SAFETY: one block at p.
        unsafe { k_scales(p) }
    }
}

impl Quant for Q6K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 210;
    const HALF: bool = true;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe {
            let (n, part) = (u / 4, u % 4);
            let low = nibbles(p.add(64 * n + 32 * (part % 2)), part >= 2);
            let q = add_bits(low, p.add(128 + 32 * n), 4 - 2 * part as i8, 0x30);
            q.map(|q| vsubq_s8(q, vdupq_n_s8(32)))
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> [float32x4_t; 4] {
        // SAFETY: one block at p.
        unsafe {
            let d = f16x4(vdup_n_u16(p.add(208).cast::<u16>().read_unaligned()));
            let bytes = vld1q_s8(p.add(192).cast());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            [
                vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), d),
                vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(low)), d),
                vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), d),
                vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(high)), d),
            ]
        }
    }
}
