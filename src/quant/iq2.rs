//! IQ2: about two bits a weight. Eight weights are a point of a grid with signs.

use bytemuck::{Pod, Zeroable};

use super::grid::{IQ2_S, IQ2_XS, IQ2_XXS, signs_of};
use super::{Block, QK_K, f16};

/// 8 sub-blocks of 32 weights `d * (2 * scale + 1) / 8 * sign * point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ2_XXS {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// Four u16 a sub-block, two u32 of little-endian order: bytes 0-3 of the first name points of
    /// the grid of 256; the second has four times 7 bits of signs, lowest first, and the scale.
    pub qs: [u16; QK_K / 8],
}

/// 16 sub-blocks of 16 weights `d * (2 * scale + 1) / 8 * sign * point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ2_XS {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// For each 8 weights, 9 bits that name a point of the grid of 512, and above them 7 of signs.
    pub qs: [u16; QK_K / 8],
    /// Byte j has the scales of sub-blocks 2 j (low half) and 2 j + 1 (high half).
    pub scales: [u8; QK_K / 32],
}

/// 16 sub-blocks of 16 weights `d * (2 * scale + 1) / 8 * sign * point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ2_S {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// For each 8 weights, the lower 8 of the 10 bits that name a point of the grid of 1024.
    pub qs: [u8; QK_K / 8],
    /// The signs: bit i of byte j set means that weight 8 j + i is negative.
    pub signs: [u8; QK_K / 8],
    /// Bits 2 i of byte j are the upper two bits of the point of weights 32 j + 8 i and on.
    pub qh: [u8; QK_K / 32],
    /// As [`BlockIQ2_XS::scales`].
    pub scales: [u8; QK_K / 32],
}

const _: () = assert!(size_of::<BlockIQ2_XXS>() == 66 && size_of::<BlockIQ2_XS>() == 74);
const _: () = assert!(size_of::<BlockIQ2_S>() == 82);

/// Eight weights: bytes of `point` times `scale`, negative where `signs` has a bit.
pub(super) fn signed<const N: usize>(scale: f32, point: [u8; N], signs: u8) -> [f32; N] {
    std::array::from_fn(|i| {
        let v = scale * f32::from(point[i]);
        if signs >> i & 1 == 1 { -v } else { v }
    })
}

fn scale_of(d: f32, scale: u8) -> f32 {
    d * (0.5 + f32::from(scale)) * 0.25
}

impl Block<QK_K> for BlockIQ2_XXS {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let qs = &self.qs[k / 4 * 4..][..4];
            let [first, second] = [0, 2].map(|i| u32::from(qs[i]) | u32::from(qs[i + 1]) << 16);
            let point = IQ2_XXS[(first >> (k % 4 * 8) & 255) as usize];
            let signs = signs_of((second >> (k % 4 * 7)) as u8);
            *dst = signed(scale_of(d, (second >> 28) as u8), point.to_le_bytes(), signs);
        }
    }
}

impl Block<QK_K> for BlockIQ2_XS {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let scale = self.scales[k / 4] >> (k % 4 / 2 * 4) & 15;
            let point = IQ2_XS[usize::from(self.qs[k] & 511)];
            *dst = signed(scale_of(d, scale), point.to_le_bytes(), signs_of((self.qs[k] >> 9) as u8));
        }
    }
}

impl Block<QK_K> for BlockIQ2_S {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let scale = self.scales[k / 4] >> (k % 4 / 2 * 4) & 15;
            let high = usize::from(self.qh[k / 4] >> (k % 4 * 2) & 3);
            let point = IQ2_S[usize::from(self.qs[k]) | high << 8];
            *dst = signed(scale_of(d, scale), point.to_le_bytes(), self.signs[k]);
        }
    }
}
