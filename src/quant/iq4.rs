//! Four-bit codes for sixteen values that are spaced as weights are: closer near zero.

use bytemuck::{Pod, Zeroable};

use super::{Block, QK_K, f16};

/// Weights in a [`BlockIQ4_NL`].
pub const QK4_NL: usize = 32;

/// What the codes of IQ4_NL and IQ4_XS stand for.
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 weights `d * IQ4_VALUES[q]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ4_NL {
    /// Scale, f16 bits.
    pub d: u16,
    /// Byte j has weight j in its low half and weight j + 16 in its high half.
    pub qs: [u8; QK4_NL / 2],
}

/// 8 sub-blocks of 32 weights `d * (scale - 32) * IQ4_VALUES[q]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockIQ4_XS {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// Bits 2 i are the upper two bits of scale i.
    pub scales_h: u16,
    /// Byte j has the lower four bits of scales 2 j (low half) and 2 j + 1 (high half).
    pub scales_l: [u8; QK_K / 64],
    /// The bytes of each sub-block in turn, as in [`BlockIQ4_NL::qs`].
    pub qs: [u8; QK_K / 2],
}

const _: () = assert!(size_of::<BlockIQ4_NL>() == 18 && size_of::<BlockIQ4_XS>() == 136);

impl BlockIQ4_XS {
    /// The scale of sub-block `j`, 0 to 7: -32 to 31.
    #[inline]
    pub fn scale(&self, j: usize) -> i8 {
        let low = self.scales_l[j / 2] >> (j % 2 * 4) & 15;
        let high = (self.scales_h >> (2 * j) & 3) as u8;
        (low | high << 4) as i8 - 32
    }
}

fn dequantize(scale: f32, qs: &[u8; 16], dst: &mut [f32; 32]) {
    let (low, high) = dst.split_at_mut(16);
    for ((&q, low), high) in qs.iter().zip(low).zip(high) {
        *low = scale * f32::from(IQ4_VALUES[usize::from(q & 15)]);
        *high = scale * f32::from(IQ4_VALUES[usize::from(q >> 4)]);
    }
}

impl Block<QK4_NL> for BlockIQ4_NL {
    fn dequantize(&self, dst: &mut [f32; QK4_NL]) {
        dequantize(f16(self.d), &self.qs, dst);
    }
}

impl Block<QK_K> for BlockIQ4_XS {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        let parts = self.qs.as_chunks().0.iter().zip(dst.as_chunks_mut().0);
        for (j, (qs, dst)) in parts.enumerate() {
            dequantize(d * f32::from(self.scale(j)), qs, dst);
        }
    }
}
