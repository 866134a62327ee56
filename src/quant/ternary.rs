//! Weights that are -1, 0 or 1 times one scale.

use bytemuck::{Pod, Zeroable};

use super::{Block, QK_K, f16};

/// 256 weights `d * (q - 1)`, q of 0, 1 and 2, five to a byte.
///
/// A byte is `ceil(256 n / 243)`, n having the digits of five q in base 3, the first q being the
/// leading digit: the top digit of `byte * 3^i mod 256`, read as a fraction of 256, is q number i.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockTQ1_0 {
    /// Digit i of byte j < 32 is weight 32 i + j; of byte 32 + j, weight 160 + 16 i + j.
    pub qs: [u8; 48],
    /// Digit i < 4 of byte j is weight 240 + 4 i + j.
    pub qh: [u8; QK_K / 64],
    /// Scale, f16 bits.
    pub d: u16,
}

/// 256 weights `d * (q - 1)`, q of 2 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockTQ2_0 {
    /// Of half h of the block, bits 2 i of byte 32 h + j belong to weight 128 h + 32 i + j.
    pub qs: [u8; QK_K / 4],
    /// Scale, f16 bits.
    pub d: u16,
}

const _: () = assert!(size_of::<BlockTQ1_0>() == 54 && size_of::<BlockTQ2_0>() == 66);

/// Digit `i`, 0 to 4, of a byte of [`BlockTQ1_0`].
fn digit(byte: u8, i: usize) -> i32 {
    const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
    i32::from((u16::from(byte.wrapping_mul(POWERS[i])) * 3) >> 8)
}

impl Block<QK_K> for BlockTQ1_0 {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        *dst = std::array::from_fn(|k| {
            let q = match k {
                0..160 => digit(self.qs[k % 32], k / 32),
                160..240 => digit(self.qs[32 + k % 16], (k - 160) / 16),
                _ => digit(self.qh[k % 4], (k - 240) / 4),
            };
            (q - 1) as f32 * d
        });
    }
}

impl Block<QK_K> for BlockTQ2_0 {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        *dst = std::array::from_fn(|k| {
            let q = self.qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            (i32::from(q) - 1) as f32 * d
        });
    }
}
