//! Unquantised types: a block is one weight.

use bytemuck::{Pod, Zeroable};

use super::Block;
use super::encode::{Encode, Importance};

/// IEEE 754 binary32.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct F32(f32);

/// IEEE 754 binary16.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct F16(half::f16);

/// The upper half of binary32.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct BF16(half::bf16);

impl Block<1> for F32 {
    fn dequantize(&self, dst: &mut [f32; 1]) {
        *dst = [self.0];
    }
}

impl Block<1> for F16 {
    fn dequantize(&self, dst: &mut [f32; 1]) {
        *dst = [self.0.to_f32()];
    }
}

impl Block<1> for BF16 {
    fn dequantize(&self, dst: &mut [f32; 1]) {
        // Not half's conversion, which would set the quiet bit of a signalling NaN.
        *dst = [f32::from_bits(u32::from(self.0.to_bits()) << 16)];
    }
}

impl Encode<1> for F32 {
    fn encode(src: &[f32; 1], _: Option<Importance<'_, 1>>) -> Self {
        F32(src[0])
    }
}

impl Encode<1> for F16 {
    fn encode(src: &[f32; 1], _: Option<Importance<'_, 1>>) -> Self {
        F16(half::f16::from_f32(src[0]))
    }
}

impl Encode<1> for BF16 {
    fn encode(src: &[f32; 1], _: Option<Importance<'_, 1>>) -> Self {
        BF16(half::bf16::from_f32(src[0]))
    }
}
