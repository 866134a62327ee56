//! IQ1: less than two bits a weight. Eight weights are a point of a grid of -1, 0 and 1, shifted
//! by a small constant up or down.

use bytemuck::{Pod, Zeroable};

use super::grid::IQ1;
use super::{Block, QK_K, f16};

/// By how much the points of IQ1_S and IQ1_M are shifted.
pub const IQ1_DELTA: f32 = 0.125;

/// 8 sub-blocks of 32 weights `d * (2 * scale + 1) * (point +- IQ1_DELTA)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ1_S {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// For each 8 weights, the lower 8 of the 11 bits that name a point of the grid of 2048.
    pub qs: [u8; QK_K / 8],
    /// For each sub-block four times the upper 3 bits of a point, lowest first; 3 bits of scale; and
    /// a bit that means shift down.
    pub qh: [u16; QK_K / 32],
}

/// 16 sub-blocks of 16 weights `d * (2 * scale + 1) * (point +- IQ1_DELTA)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ1_M {
    /// As [`BlockIQ1_S::qs`].
    pub qs: [u8; QK_K / 8],
    /// For each 8 weights a half of a byte, low half first: the upper 3 bits of the point and a bit
    /// that means shift down.
    pub qh: [u8; QK_K / 16],
    /// Four little-endian u16: each has four scales of 3 bits, lowest first, and in its upper four
    /// bits a part of the f16 scale of the scales, the lowest part first.
    pub scales: [[u8; 2]; QK_K / 64],
}

const _: () = assert!(size_of::<BlockIQ1_S>() == 50 && size_of::<BlockIQ1_M>() == 56);

impl BlockIQ1_M {
    /// The scale of the scales, f16 bits.
    #[inline]
    pub fn d(&self) -> u16 {
        let parts = self.scales.map(u16::from_le_bytes);
        (0..4).fold(0, |d, i| d | parts[i] >> 12 << (4 * i))
    }

    /// The scale of sub-block `j`, 0 to 15: 0 to 7.
    #[inline]
    pub fn scale(&self, j: usize) -> u8 {
        (u16::from_le_bytes(self.scales[j / 4]) >> (j % 4 * 3) & 7) as u8
    }
}

fn dequantize(scale: f32, index: usize, down: bool, dst: &mut [f32; 8]) {
    let delta = if down { -IQ1_DELTA } else { IQ1_DELTA };
    *dst = IQ1[index].to_le_bytes().map(|v| scale * (f32::from(v as i8) + delta));
}

impl Block<QK_K> for BlockIQ1_S {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let high = self.qh[k / 4];
            let index = usize::from(self.qs[k]) | usize::from(high >> (k % 4 * 3) & 7) << 8;
            dequantize(d * f32::from(2 * (high >> 12 & 7) + 1), index, high >> 15 == 1, dst);
        }
    }
}

impl Block<QK_K> for BlockIQ1_M {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d());
        for (k, dst) in dst.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let high = self.qh[k / 2] >> (k % 2 * 4) & 15;
            let index = usize::from(self.qs[k]) | usize::from(high & 7) << 8;
            dequantize(d * f32::from(2 * self.scale(k / 2) + 1), index, high >> 3 == 1, dst);
        }
    }
}
