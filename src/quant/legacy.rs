//! Blocks of 32 weights with one f16 scale, and an f16 offset where they are not symmetric.

use bytemuck::{Pod, Zeroable};

use super::{Block, f16};

/// Weights in a [`BlockQ4_0`].
pub const QK4_0: usize = 32;
/// Weights in a [`BlockQ4_1`].
pub const QK4_1: usize = 32;
/// Weights in a [`BlockQ5_0`].
pub const QK5_0: usize = 32;
/// Weights in a [`BlockQ5_1`].
pub const QK5_1: usize = 32;
/// Weights in a [`BlockQ8_0`].
pub const QK8_0: usize = 32;

/// 32 weights `d * (q - 8)`, q of 4 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// Byte j has weight j in its low half and weight j + 16 in its high half.
    pub qs: [u8; QK4_0 / 2],
}

/// 32 weights `d * q + m`, q of 4 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ4_1 {
    /// Scale, f16 bits.
    pub d: u16,
    /// Offset, f16 bits.
    pub m: u16,
    /// Byte j has weight j in its low half and weight j + 16 in its high half.
    pub qs: [u8; QK4_1 / 2],
}

/// 32 weights `d * (q - 16)`, q of 5 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ5_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// The fifth bits: bit j of this little-endian u32 belongs to weight j.
    pub qh: [u8; 4],
    /// The lower four bits, as in [`BlockQ4_0::qs`].
    pub qs: [u8; QK5_0 / 2],
}

/// 32 weights `d * q + m`, q of 5 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ5_1 {
    /// Scale, f16 bits.
    pub d: u16,
    /// Offset, f16 bits.
    pub m: u16,
    /// The fifth bits, as in [`BlockQ5_0::qh`].
    pub qh: [u8; 4],
    /// The lower four bits, as in [`BlockQ4_0::qs`].
    pub qs: [u8; QK5_1 / 2],
}

/// 32 weights `d * q`, q of 8 bits with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// One weight each, in order.
    pub qs: [i8; QK8_0],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18 && size_of::<BlockQ4_1>() == 20);
const _: () = assert!(size_of::<BlockQ5_0>() == 22 && size_of::<BlockQ5_1>() == 24);
const _: () = assert!(size_of::<BlockQ8_0>() == 34);

/// The 5-bit codes of a block.
fn codes_of_5(qh: [u8; 4], qs: &[u8; 16]) -> [u8; 32] {
    let high = u32::from_le_bytes(qh);
    std::array::from_fn(|j| qs[j % 16] >> (j / 16 * 4) & 15 | ((high >> j & 1) as u8) << 4)
}

impl Block<QK4_0> for BlockQ4_0 {
    fn dequantize(&self, dst: &mut [f32; QK4_0]) {
        let d = f16(self.d);
        let (low, high) = dst.split_at_mut(QK4_0 / 2);
        for ((&q, low), high) in self.qs.iter().zip(low).zip(high) {
            *low = (i32::from(q & 15) - 8) as f32 * d;
            *high = (i32::from(q >> 4) - 8) as f32 * d;
        }
    }
}

impl Block<QK4_1> for BlockQ4_1 {
    fn dequantize(&self, dst: &mut [f32; QK4_1]) {
        let (d, m) = (f16(self.d), f16(self.m));
        let (low, high) = dst.split_at_mut(QK4_1 / 2);
        for ((&q, low), high) in self.qs.iter().zip(low).zip(high) {
            *low = f32::from(q & 15) * d + m;
            *high = f32::from(q >> 4) * d + m;
        }
    }
}

impl Block<QK5_0> for BlockQ5_0 {
    fn dequantize(&self, dst: &mut [f32; QK5_0]) {
        let d = f16(self.d);
        *dst = codes_of_5(self.qh, &self.qs).map(|q| (i32::from(q) - 16) as f32 * d);
    }
}

impl Block<QK5_1> for BlockQ5_1 {
    fn dequantize(&self, dst: &mut [f32; QK5_1]) {
        let (d, m) = (f16(self.d), f16(self.m));
        *dst = codes_of_5(self.qh, &self.qs).map(|q| f32::from(q) * d + m);
    }
}

impl Block<QK8_0> for BlockQ8_0 {
    fn dequantize(&self, dst: &mut [f32; QK8_0]) {
        let d = f16(self.d);
        for (dst, &q) in dst.iter_mut().zip(&self.qs) {
            *dst = f32::from(q) * d;
        }
    }
}
