//! The weight types, 256 weights at a time.

use std::arch::aarch64::*;

use super::{Quant, Scales, f16x4};
use crate::quant::{BlockIQ4_XS, FP4_VALUES, GgmlType, IQ4_VALUES, e8m0_half, scales_of_6};

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q5_0;
pub(super) struct Q5_1;
pub(super) struct Q8_0;
pub(super) struct Q2K;
pub(super) struct Q3K;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;
pub(super) struct Iq4Nl;
pub(super) struct Iq4Xs;
pub(super) struct Mxfp4;

/// Eight scales, or scales and minima.
#[inline(always)]
fn of_32(s: [float32x4_t; 2], m: [float32x4_t; 2]) -> Scales {
    Scales { s: [s[0], s[1], s[0], s[1]], m: [m[0], m[1], m[0], m[1]] }
}

/// Blocks of 32 weights, of which those beyond `last` are read as `last` again.
#[derive(Clone, Copy)]
struct Blocks {
    p: *const u8,
    bytes: usize,
    last: usize,
}

impl Blocks {
    #[inline(always)]
    fn new(p: *const u8, ty: GgmlType, last: usize) -> Blocks {
        Blocks { p, bytes: ty.block_bytes(), last }
    }

    /// Byte `at` of block `i`.
    #[inline(always)]
    fn at(self, i: usize, at: usize) -> *const u8 {
        self.p.wrapping_add(i.min(self.last) * self.bytes + at)
    }

    /// The f16 at byte `at` of all blocks.
    #[inline(always)]
    unsafe fn halves(self, at: usize) -> [float32x4_t; 2] {
        // SAFETY: blocks up to the last are readable.
        unsafe {
            let d = |i: usize| self.at(i, at).cast::<[u8; 2]>().read();
            let four = |i: usize| {
                let d = [d(i), d(i + 1), d(i + 2), d(i + 3)];
                f16x4(vreinterpret_u16_u8(vld1_u8(d.as_ptr().cast())))
            };
            [four(0), four(4)]
        }
    }

    /// Scales that are f16 at byte 0.
    #[inline(always)]
    unsafe fn scales(self) -> Scales {
        // SAFETY: the caller's.
        let s = unsafe { self.halves(0) };
        of_32(s, s)
    }

    /// The same, and f16 at byte 2 that are to be added.
    #[inline(always)]
    unsafe fn scales_and_minima(self) -> Scales {
        // SAFETY: the caller's.
        unsafe { of_32(self.halves(0), self.halves(2).map(|m| vnegq_f32(m))) }
    }

    /// Block `u`: the low nibbles of 16 bytes at `at`, then the high ones.
    #[inline(always)]
    unsafe fn nibbles(self, u: usize, at: usize) -> [uint8x16_t; 2] {
        // SAFETY: 16 bytes of blocks up to the last.
        unsafe {
            let x = vld1q_u8(self.at(u, at));
            [vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x)]
        }
    }

    /// [`Blocks::nibbles`] with a fifth bit each, of the 32 bits at `bits`.
    #[inline(always)]
    unsafe fn fives(self, u: usize, bits: usize, at: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's; four bytes of blocks up to the last.
        unsafe {
            let low = self.nibbles(u, at);
            let word = vreinterpretq_u8_u32(vdupq_n_u32(self.at(u, bits).cast::<u32>().read_unaligned()));
            let bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            [0, 1].map(|i| {
                // Byte 2 i eight times and the next eight times, then bit j of each eight.
                let which = vcombine_u8(vdup_n_u8(2 * i as u8), vdup_n_u8(2 * i as u8 + 1));
                let set = vtstq_u8(vqtbl1q_u8(word, which), bit);
                vreinterpretq_s8_u8(vorrq_u8(low[i], vandq_u8(set, vdupq_n_u8(16))))
            })
        }
    }
}

/// Each code replaced by what `values` has for it.
#[inline(always)]
unsafe fn look_up(codes: [uint8x16_t; 2], values: &[i8; 16]) -> [int8x16_t; 2] {
    // SAFETY: 16 bytes.
    unsafe {
        let table = vld1q_s8(values.as_ptr());
        codes.map(|codes| vqtbl1q_s8(table, codes))
    }
}

/// `q - offset`.
#[inline(always)]
unsafe fn less(q: [int8x16_t; 2], offset: i8) -> [int8x16_t; 2] {
    // SAFETY: NEON is part of every aarch64.
    q.map(|q| unsafe { vsubq_s8(q, vdupq_n_s8(offset)) })
}

#[inline(always)]
unsafe fn signed(q: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: NEON is part of every aarch64.
    q.map(|q| unsafe { vreinterpretq_s8_u8(q) })
}

/// The f16 at p, four times.
#[inline(always)]
unsafe fn half(p: *const u8) -> float32x4_t {
    // SAFETY: two bytes at p.
    unsafe { f16x4(vdup_n_u16(p.cast::<u16>().read_unaligned())) }
}

/// 16 factors times `d`.
#[inline(always)]
unsafe fn factors(bytes: int8x16_t, d: float32x4_t) -> [float32x4_t; 4] {
    // SAFETY: NEON is part of every aarch64.
    unsafe {
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        [
            vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), d),
            vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(low)), d),
            vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), d),
            vmulq_f32(vcvtq_f32_s32(vmovl_high_s16(high)), d),
        ]
    }
}

impl Quant for Q4_0 {
    const TY: GgmlType = GgmlType::Q4_0;

    /// Times 16: a nibble less 8 is the nibble with its upper bit flipped, as two's complement, and
    /// stays so in the upper half of a byte.
    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe {
            let x = vld1q_u8(Blocks::new(p, Self::TY, last).at(u, 2));
            let x = veorq_u8(x, vdupq_n_u8(0x88));
            signed([vshlq_n_u8::<4>(x), vandq_u8(x, vdupq_n_u8(0xf0))])
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe {
            let s = Blocks::new(p, Self::TY, last).halves(0).map(|s| vmulq_n_f32(s, 1.0 / 16.0));
            of_32(s, s)
        }
    }
}

impl Quant for Q4_1 {
    const TY: GgmlType = GgmlType::Q4_1;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe { signed(Blocks::new(p, Self::TY, last).nibbles(u, 4)) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).scales_and_minima() }
    }
}

impl Quant for Q5_0 {
    const TY: GgmlType = GgmlType::Q5_0;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe { less(Blocks::new(p, Self::TY, last).fives(u, 2, 6), 16) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).scales() }
    }
}

impl Quant for Q5_1 {
    const TY: GgmlType = GgmlType::Q5_1;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).fives(u, 4, 8) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).scales_and_minima() }
    }
}

impl Quant for Q8_0 {
    const TY: GgmlType = GgmlType::Q8_0;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe {
            let q = Blocks::new(p, Self::TY, last).at(u, 2).cast();
            [vld1q_s8(q), vld1q_s8(q.add(16))]
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).scales() }
    }
}

impl Quant for Iq4Nl {
    const TY: GgmlType = GgmlType::IQ4_NL;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe { look_up(Blocks::new(p, Self::TY, last).nibbles(u, 2), &IQ4_VALUES) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe { Blocks::new(p, Self::TY, last).scales() }
    }
}

impl Quant for Mxfp4 {
    const TY: GgmlType = GgmlType::MXFP4;

    #[inline(always)]
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: the caller's blocks.
        unsafe { look_up(Blocks::new(p, Self::TY, last).nibbles(u, 1), &FP4_VALUES) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, last: usize) -> Scales {
        // SAFETY: the caller's blocks.
        unsafe {
            let blocks = Blocks::new(p, Self::TY, last);
            let s: [f32; 8] = std::array::from_fn(|i| e8m0_half(*blocks.at(i, 0)));
            let s = [vld1q_f32(s.as_ptr()), vld1q_f32(s.as_ptr().add(4))];
            of_32(s, s)
        }
    }
}

impl Quant for Iq4Xs {
    const TY: GgmlType = GgmlType::IQ4_XS;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe {
            let blocks = Blocks { p: p.add(8), bytes: 16, last: 7 };
            look_up(blocks.nibbles(u, 0), &IQ4_VALUES)
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe {
            let block = p.cast::<BlockIQ4_XS>().read_unaligned();
            let d = half(p);
            let s: [f32; 8] = std::array::from_fn(|j| block.scale(j) as f32);
            let s = [vmulq_f32(vld1q_f32(s.as_ptr()), d), vmulq_f32(vld1q_f32(s.as_ptr().add(4)), d)];
            of_32(s, s)
        }
    }
}

/// `d * scale` of the eight sub-blocks and `d_min * min`, from the first 16 bytes of a block.
#[inline(always)]
unsafe fn k_scales(p: *const u8) -> Scales {
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
        of_32(
            [vmulq_laneq_f32::<0>(low(sc), d), vmulq_laneq_f32::<0>(high(sc), d)],
            [vmulq_laneq_f32::<1>(low(m), d), vmulq_laneq_f32::<1>(high(m), d)],
        )
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

/// The two bits of unit `u`: 32 bytes hold four units.
#[inline(always)]
unsafe fn twos(p: *const u8, u: usize) -> [uint8x16_t; 2] {
    // SAFETY: 64 bytes at p.
    unsafe {
        [0, 16].map(|i| {
            let x = vld1q_u8(p.add(u / 4 * 32 + i));
            vandq_u8(vshlq_u8(x, vdupq_n_s8(-2 * (u as i8 % 4))), vdupq_n_u8(3))
        })
    }
}

impl Quant for Q2K {
    const TY: GgmlType = GgmlType::Q2_K;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { signed(twos(p.add(16), u)) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe {
            let both = vld1q_u8(p);
            let [low, high] = signed([vandq_u8(both, vdupq_n_u8(15)), vshrq_n_u8::<4>(both)]);
            let d_min = vmulq_n_f32(half(p.add(82)), 1.0 / 128.0);
            Scales { s: factors(low, half(p.add(80))), m: factors(high, d_min) }
        }
    }
}

impl Quant for Q3K {
    const TY: GgmlType = GgmlType::Q3_K;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { less(add_bits(twos(p.add(32), u), p, 2 - u as i8, 4), 4) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe {
            let scales = scales_of_6(&p.add(96).cast::<[u8; 12]>().read());
            let s = factors(vld1q_s8(scales.as_ptr()), half(p.add(108)));
            Scales { s, m: s }
        }
    }
}

impl Quant for Q4K {
    const TY: GgmlType = GgmlType::Q4_K;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { signed(nibbles(p.add(16 + u / 2 * 32), u % 2 == 1)) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe { k_scales(p) }
    }
}

impl Quant for Q5K {
    const TY: GgmlType = GgmlType::Q5_K;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe { add_bits(nibbles(p.add(48 + u / 2 * 32), u % 2 == 1), p.add(16), 4 - u as i8, 16) }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe { k_scales(p) }
    }
}

impl Quant for Q6K {
    const TY: GgmlType = GgmlType::Q6_K;

    #[inline(always)]
    unsafe fn quants(p: *const u8, _last: usize, u: usize) -> [int8x16_t; 2] {
        // SAFETY: one block at p.
        unsafe {
            let (n, part) = (u / 4, u % 4);
            let low = nibbles(p.add(64 * n + 32 * (part % 2)), part >= 2);
            less(add_bits(low, p.add(128 + 32 * n), 4 - 2 * part as i8, 0x30), 32)
        }
    }

    #[inline(always)]
    unsafe fn scales(p: *const u8, _last: usize) -> Scales {
        // SAFETY: one block at p.
        unsafe {
            let s = factors(vld1q_s8(p.add(192).cast()), half(p.add(208)));
            Scales { s, m: s }
        }
    }
}
