//! Quantisation to blocks of 32.

use super::search::{self, Grid};
use super::{Encode, Importance, error_weights};
use crate::quant::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, QK8_0, to_f16};

/// The value of largest magnitude, the first of equals.
pub(super) fn peak_of(src: &[f32]) -> f32 {
    src.iter().fold(0.0f32, |peak, &v| if v.abs() > peak.abs() { v } else { peak })
}

pub(super) fn inverse(d: f32) -> f32 {
    if d != 0.0 { 1.0 / d } else { 0.0 }
}

/// Codes of 0 to 2 `half` - 1 for `d * (code - half)`, and d. The weight of largest magnitude
/// becomes code 0, the one without a positive twin.
fn symmetric(src: &[f32; 32], half: u8, importance: Option<Importance<'_, 32>>) -> (u16, [u8; 32]) {
    if let Some(i) = importance {
        let mut codes = [0; 32];
        let weights = error_weights(src, i.columns, i.mean_square);
        let d = search::symmetric(src, &weights, half.into(), &mut codes);
        return (to_f16(d), codes);
    }
    let d = peak_of(src) / -f32::from(half);
    let id = inverse(d);
    let codes = src.map(|v| ((v * id + (f32::from(half) + 0.5)) as u8).min(2 * half - 1));
    (to_f16(d), codes)
}

/// Codes of 0 to `max` for `d * code + m`, d and m.
fn affine(src: &[f32; 32], max: u8, importance: Option<Importance<'_, 32>>) -> (u16, u16, [u8; 32]) {
    if let Some(i) = importance {
        let mut codes = [0; 32];
        let weights = error_weights(src, i.columns, i.mean_square);
        let (d, min) = search::affine(src, &weights, &Grid::fine(max), &mut codes);
        return (to_f16(d), to_f16(-min), codes);
    }
    let low = src.iter().fold(f32::MAX, |low, &v| if v < low { v } else { low });
    let high = src.iter().fold(f32::MIN, |high, &v| if v > high { v } else { high });
    let d = (high - low) / f32::from(max);
    let id = inverse(d);
    let codes = src.map(|v| (((v - low) * id + 0.5) as u8).min(max));
    (to_f16(d), to_f16(low), codes)
}

/// Weight j in the low half of byte j, weight j + 16 in the high half.
pub(super) fn pack_halves(codes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|j| codes[j] & 15 | codes[j + 16] << 4)
}

fn fifth_bits(codes: &[u8; 32]) -> [u8; 4] {
    let bits = codes.iter().enumerate().fold(0, |bits, (j, &c)| bits | u32::from(c >> 4 & 1) << j);
    bits.to_le_bytes()
}

impl Encode<32> for BlockQ4_0 {
    fn encode(src: &[f32; 32], importance: Option<Importance<'_, 32>>) -> Self {
        let (d, codes) = symmetric(src, 8, importance);
        BlockQ4_0 { d, qs: pack_halves(&codes) }
    }
}

impl Encode<32> for BlockQ4_1 {
    fn encode(src: &[f32; 32], importance: Option<Importance<'_, 32>>) -> Self {
        let (d, m, codes) = affine(src, 15, importance);
        BlockQ4_1 { d, m, qs: pack_halves(&codes) }
    }
}

impl Encode<32> for BlockQ5_0 {
    fn encode(src: &[f32; 32], importance: Option<Importance<'_, 32>>) -> Self {
        let (d, codes) = symmetric(src, 16, importance);
        BlockQ5_0 { d, qh: fifth_bits(&codes), qs: pack_halves(&codes) }
    }
}

impl Encode<32> for BlockQ5_1 {
    fn encode(src: &[f32; 32], importance: Option<Importance<'_, 32>>) -> Self {
        let (d, m, codes) = affine(src, 31, importance);
        BlockQ5_1 { d, m, qh: fifth_bits(&codes), qs: pack_halves(&codes) }
    }
}

impl Encode<QK8_0> for BlockQ8_0 {
    fn encode(src: &[f32; QK8_0], _: Option<Importance<'_, QK8_0>>) -> Self {
        let d = peak_of(src).abs() / 127.0;
        let id = inverse(d);
        BlockQ8_0 { d: to_f16(d), qs: src.map(|v| (v * id).round() as i8) }
    }
}
