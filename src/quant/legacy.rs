//! Blocks of 32 weights with one f16 scale.

use bytemuck::{Pod, Zeroable};

use super::Block;

/// Weights in a [`BlockQ4_0`].
pub const QK4_0: usize = 32;
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

/// 32 weights `d * q`, q of 8 bits with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale, f16 bits.
    pub d: u16,
    /// One weight each, in order.
    pub qs: [i8; QK8_0],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18 && size_of::<BlockQ8_0>() == 34);

impl Block<QK4_0> for BlockQ4_0 {
    fn dequantize(&self, dst: &mut [f32; QK4_0]) {
        let d = half::f16::from_bits(self.d).to_f32();
        let (low, high) = dst.split_at_mut(QK4_0 / 2);
        for ((&q, low), high) in self.qs.iter().zip(low).zip(high) {
            *low = (i32::from(q & 15) - 8) as f32 * d;
            *high = (i32::from(q >> 4) - 8) as f32 * d;
        }
    }

    /// The weight of largest magnitude becomes -8, the one code without a positive twin.
    fn quantize(src: &[f32; QK4_0]) -> Self {
        let peak = src.iter().fold(0.0f32, |peak, &v| if v.abs() > peak.abs() { v } else { peak });
        let d = peak / -8.0;
        let id = if d != 0.0 { 1.0 / d } else { 0.0 };
        let code = |v: f32| ((v * id + 8.5) as u8).min(15);
        let qs = std::array::from_fn(|j| code(src[j]) | code(src[j + QK4_0 / 2]) << 4);
        BlockQ4_0 { d: half::f16::from_f32(d).to_bits(), qs }
    }
}

impl Block<QK8_0> for BlockQ8_0 {
    fn dequantize(&self, dst: &mut [f32; QK8_0]) {
        let d = half::f16::from_bits(self.d).to_f32();
        for (dst, &q) in dst.iter_mut().zip(&self.qs) {
            *dst = f32::from(q) * d;
        }
    }

    fn quantize(src: &[f32; QK8_0]) -> Self {
        let peak = src.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
        let d = peak / 127.0;
        let id = if d != 0.0 { 1.0 / d } else { 0.0 };
        BlockQ8_0 { d: half::f16::from_f32(d).to_bits(), qs: src.map(|v| (v * id).round() as i8) }
    }
}
