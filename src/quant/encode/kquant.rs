//! Quantisation to K-quants.

use bytemuck::Zeroable;

use super::Encode;
use super::search::{self, nearest};
use crate::quant::{BlockQ4_K, BlockQ5_K, BlockQ6_K, QK_K, f16};

/// The inverse of [`scale_min`]; values are below 64.
fn pack_scale_min(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => scales[i] | scales[i + 4] >> 4 << 6,
        4..8 => mins[i - 4] | mins[i] >> 4 << 6,
        _ => scales[i - 4] & 15 | (mins[i - 4] & 15) << 4,
    })
}

/// What Q4_K and Q5_K have in common before the codes are packed.
struct Affine {
    d: u16,
    dmin: u16,
    scales: [u8; 12],
    codes: [u8; QK_K],
}

/// Quantises to `max` + 1 levels; `first`, `steps` describe the grid of [`search::affine`].
fn quantize_affine(src: &[f32; QK_K], max: u8, first: f32, steps: u32) -> Affine {
    let mut codes = [0u8; QK_K];
    let mut scales = [0f32; 8];
    let mut mins = [0f32; 8];
    let blocks = src.as_chunks::<32>().0;
    for (j, (x, codes)) in blocks.iter().zip(codes.as_chunks_mut::<32>().0).enumerate() {
        let rms = (x.iter().fold(0.0, |sum, v| sum + v * v) / 32.0).sqrt();
        let weights = x.map(|v| rms + v.abs());
        (scales[j], mins[j]) = search::affine(x, &weights, max, first, steps, codes);
    }
    let (d, sub_scales) = quantize_scales(&scales);
    let (dmin, sub_mins) = quantize_scales(&mins);
    let packed = pack_scale_min(&sub_scales, &sub_mins);
    let (df, dminf) = (f16(d), f16(dmin));
    // The codes of the search belong to its unrounded scales: choose again for the rounded ones.
    for (j, (x, codes)) in blocks.iter().zip(codes.as_chunks_mut::<32>().0).enumerate() {
        let scale = df * f32::from(sub_scales[j]);
        let min = dminf * f32::from(sub_mins[j]);
        if scale != 0.0 {
            *codes = x.map(|v| nearest((v + min) / scale).clamp(0, max.into()) as u8);
        }
    }
    Affine { d, dmin, scales: packed, codes }
}

/// Scales of 6 bits and the f16 scale of them.
fn quantize_scales(values: &[f32; 8]) -> (u16, [u8; 8]) {
    let peak = values.iter().fold(0.0f32, |peak, &v| if v > peak { v } else { peak });
    let inverse = if peak > 0.0 { 63.0 / peak } else { 0.0 };
    // A negative scale, which the search can give for odd data, wraps around and becomes 63.
    let codes = values.map(|v| (nearest(inverse * v) as u8).min(63));
    (half::f16::from_f32(peak / 63.0).to_bits(), codes)
}

/// Packs the low four bits of 256 codes as in [`BlockQ4_K::qs`].
fn pack_nibbles(codes: &[u8; QK_K]) -> [u8; QK_K / 2] {
    std::array::from_fn(|k| {
        let low = k / 32 * 64 + k % 32;
        codes[low] & 15 | codes[low + 32] << 4
    })
}

impl Encode<QK_K> for BlockQ4_K {
    fn quantize(src: &[f32; QK_K]) -> Self {
        let Affine { d, dmin, scales, codes } = quantize_affine(src, 15, -1.0, 20);
        BlockQ4_K { d, dmin, scales, qs: pack_nibbles(&codes) }
    }
}

impl Encode<QK_K> for BlockQ5_K {
    fn quantize(src: &[f32; QK_K]) -> Self {
        let Affine { d, dmin, scales, codes } = quantize_affine(src, 31, -0.5, 15);
        let qh = std::array::from_fn(|j| (0..8).fold(0, |byte, i| byte | codes[32 * i + j] >> 4 << i));
        BlockQ5_K { d, dmin, scales, qh, qs: pack_nibbles(&codes) }
    }
}

impl Encode<QK_K> for BlockQ6_K {
    fn quantize(src: &[f32; QK_K]) -> Self {
        let mut codes = [0u8; QK_K];
        let blocks = src.as_chunks::<16>().0;
        let mut scales = [0f32; QK_K / 16];
        for ((x, codes), scale) in blocks.iter().zip(codes.as_chunks_mut::<16>().0).zip(&mut scales) {
            *scale = search::symmetric(x, 32, codes);
        }
        let peak = scales.iter().fold(0.0f32, |peak, &v| if v.abs() > peak.abs() { v } else { peak });
        if peak.abs() < search::ZERO {
            return Zeroable::zeroed();
        }
        let inverse = -128.0 / peak;
        let d = half::f16::from_f32(1.0 / inverse);
        let sub_scales = scales.map(|v| nearest(inverse * v).min(127) as i8);
        for ((x, codes), &scale) in blocks.iter().zip(codes.as_chunks_mut::<16>().0).zip(&sub_scales) {
            let scale = d.to_f32() * f32::from(scale);
            if scale != 0.0 {
                *codes = x.map(|v| (nearest(v / scale).clamp(-32, 31) + 32) as u8);
            }
        }
        let ql = std::array::from_fn(|k| {
            let low = k / 64 * 128 + k % 64;
            codes[low] & 15 | codes[low + 64] << 4
        });
        let qh = std::array::from_fn(|k| {
            let first = k / 32 * 128 + k % 32;
            (0..4).fold(0, |byte, i| byte | codes[first + 32 * i] >> 4 << (2 * i))
        });
        BlockQ6_K { ql, qh, scales: sub_scales, d: d.to_bits() }
    }
}
