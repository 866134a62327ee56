//! Blocks of one or two bits a weight with one f16 scale.

use bytemuck::{Pod, Zeroable};

use super::{Block, f16};

/// Weights in a [`BlockQ1_0`].
pub const QK1_0: usize = 128;
/// Weights in a [`BlockQ2_0`].
pub const QK2_0: usize = 64;

/// 128 weights `d` or `-d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ1_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// Bit i of byte j belongs to weight 8 j + i; set means `d`.
    pub qs: [u8; QK1_0 / 8],
}

/// 64 weights `d * (q - 1)`, q of 2 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ2_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// Bits 2 i of byte j belong to weight 4 j + i.
    pub qs: [u8; QK2_0 / 4],
}

const _: () = assert!(size_of::<BlockQ1_0>() == 18 && size_of::<BlockQ2_0>() == 18);

impl Block<QK1_0> for BlockQ1_0 {
    fn dequantize(&self, dst: &mut [f32; QK1_0]) {
        let d = f16(self.d);
        *dst = std::array::from_fn(|k| if self.qs[k / 8] >> (k % 8) & 1 == 1 { d } else { -d });
    }
}

impl Block<QK2_0> for BlockQ2_0 {
    fn dequantize(&self, dst: &mut [f32; QK2_0]) {
        let d = f16(self.d);
        *dst = std::array::from_fn(|k| (i32::from(self.qs[k / 4] >> (k % 4 * 2) & 3) - 1) as f32 * d);
    }
}
