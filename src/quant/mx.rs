//! Blocks of small floating-point numbers that share a scale.

use bytemuck::{Pod, Zeroable};

use super::Block;

/// Weights in a [`BlockMXFP4`].
pub const QK_MXFP4: usize = 32;
/// Weights in a [`BlockNVFP4`].
pub const QK_NVFP4: usize = 64;

/// Twice what the codes of E2M1 stand for, so that all are integers.
pub const FP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 weights in E2M1 with a power of two as scale: `e8m0_half(e) * FP4_VALUES[q]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockMXFP4 {
    /// Scale, see [`e8m0_half`].
    pub e: u8,
    /// Byte j has weight j in its low half and weight j + 16 in its high half.
    pub qs: [u8; QK_MXFP4 / 2],
}

/// 4 sub-blocks of 16 weights in E2M1: `ue4m3_half(d) * FP4_VALUES[q]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockNVFP4 {
    /// One scale a sub-block, see [`ue4m3_half`].
    pub d: [u8; QK_NVFP4 / 16],
    /// Byte 8 i + j has weight 16 i + j in its low half and weight 16 i + 8 + j in its high half.
    pub qs: [u8; QK_NVFP4 / 2],
}

const _: () = assert!(size_of::<BlockMXFP4>() == 17 && size_of::<BlockNVFP4>() == 36);

/// Half of the power of two that an E8M0 scale stands for, 2^(e - 128), as ggml has it: 255, which
/// the OCP specification calls NaN, is one more power of two.
#[inline]
pub const fn e8m0_half(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x20_0000 << e } else { (e as u32 - 1) << 23 })
}

/// Half of the number that an E4M3 scale stands for, its sign ignored, as ggml has it: 0x7f, which
/// is NaN, is zero.
#[inline]
pub const fn ue4m3_half(x: u8) -> f32 {
    let (exponent, mantissa) = (x >> 3 & 15, (x & 7) as f32);
    if x == 0x7f {
        0.0
    } else if exponent == 0 {
        mantissa / 1024.0
    } else {
        (1.0 + mantissa / 8.0) * f32::from_bits((exponent as u32 + 127 - 8) << 23)
    }
}

fn dequantize<const N: usize>(scale: f32, qs: &[u8], dst: &mut [f32; N]) {
    let (low, high) = dst.split_at_mut(N / 2);
    for ((&q, low), high) in qs.iter().zip(low).zip(high) {
        *low = f32::from(FP4_VALUES[usize::from(q & 15)]) * scale;
        *high = f32::from(FP4_VALUES[usize::from(q >> 4)]) * scale;
    }
}

impl Block<QK_MXFP4> for BlockMXFP4 {
    fn dequantize(&self, dst: &mut [f32; QK_MXFP4]) {
        dequantize(e8m0_half(self.e), &self.qs, dst);
    }
}

impl Block<QK_NVFP4> for BlockNVFP4 {
    fn dequantize(&self, dst: &mut [f32; QK_NVFP4]) {
        let parts = self.qs.as_chunks::<8>().0.iter().zip(dst.as_chunks_mut::<16>().0);
        for ((qs, dst), &d) in parts.zip(&self.d) {
            dequantize(ue4m3_half(d), qs, dst);
        }
    }
}
