//! IQ3: about three bits a weight. Four weights are a point of a grid with signs.

use bytemuck::{Pod, Zeroable};

use super::grid::{IQ3_S, IQ3_XXS, signs_of};
use super::iq2::signed;
use super::{Block, QK_K, f16};

/// 8 sub-blocks of 32 weights `d * (2 * scale + 1) / 4 * sign * point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ3_XXS {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// For each 4 weights, a point of the grid of 256.
    pub qs: [u8; QK_K / 4],
    /// For each sub-block a little-endian u32: four times 7 bits of signs of 8 weights, lowest
    /// first, and the scale.
    pub signs: [[u8; 4]; QK_K / 32],
}

/// 8 sub-blocks of 32 weights `d * (2 * scale + 1) * sign * point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ3_S {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// For each 4 weights, the lower 8 of the 9 bits that name a point of the grid of 512.
    pub qs: [u8; QK_K / 4],
    /// Bit i of byte j is the ninth bit of the point of weights 32 j + 4 i and on.
    pub qh: [u8; QK_K / 32],
    /// The signs: bit i of byte j set means that weight 8 j + i is negative.
    pub signs: [u8; QK_K / 8],
    /// Byte j has the scales of sub-blocks 2 j (low half) and 2 j + 1 (high half).
    pub scales: [u8; QK_K / 64],
}

const _: () = assert!(size_of::<BlockIQ3_XXS>() == 98 && size_of::<BlockIQ3_S>() == 110);

impl Block<QK_K> for BlockIQ3_XXS {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let packed = u32::from_le_bytes(self.signs[k / 8]);
            let scale = d * (0.5 + (packed >> 28) as f32) * 0.5;
            let signs = signs_of((packed >> (k % 8 / 2 * 7)) as u8);
            let point = IQ3_XXS[usize::from(self.qs[k])];
            *dst = signed(scale, point.to_le_bytes(), signs >> (k % 2 * 4));
        }
    }
}

impl Block<QK_K> for BlockIQ3_S {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let scale = self.scales[k / 16] >> (k % 16 / 8 * 4) & 15;
            let high = usize::from(self.qh[k / 8] >> (k % 8) & 1);
            let point = IQ3_S[usize::from(self.qs[k]) | high << 8];
            let scale = d * f32::from(1 + 2 * scale);
            *dst = signed(scale, point.to_le_bytes(), self.signs[k / 2] >> (k % 2 * 4));
        }
    }
}
