//! Quantisation to blocks of 32.

use super::Encode;
use crate::quant::{BlockQ4_0, BlockQ8_0, QK4_0, QK8_0};

impl Encode<QK4_0> for BlockQ4_0 {
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

impl Encode<QK8_0> for BlockQ8_0 {
    fn quantize(src: &[f32; QK8_0]) -> Self {
        let peak = src.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
        let d = peak / 127.0;
        let id = if d != 0.0 { 1.0 / d } else { 0.0 };
        BlockQ8_0 { d: half::f16::from_f32(d).to_bits(), qs: src.map(|v| (v * id).round() as i8) }
    }
}
