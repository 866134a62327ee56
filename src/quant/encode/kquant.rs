//! Quantisation to K-quants.

use bytemuck::Zeroable;

use super::search::{self, Grid, nearest};
use super::{Encode, Importance, error_weights, sum_of_squares};
use crate::quant::{BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K, BlockQ6_K, QK_K, f16, scales_of_6, to_f16};

/// The inverse of [`scale_min`](crate::quant::scale_min); values are below 64.
fn pack_scale_min(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => scales[i] | scales[i + 4] >> 4 << 6,
        4..8 => mins[i - 4] | mins[i] >> 4 << 6,
        _ => scales[i - 4] & 15 | (mins[i - 4] & 15) << 4,
    })
}

/// The inverse of [`scales_of_6`], of scales that are 32 more.
fn pack_scales_of_6(scales: &[u8; 16]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..8 => scales[i] & 15 | (scales[i + 8] & 15) << 4,
        _ => (0..4).fold(0, |byte, j| byte | (scales[4 * j + i - 8] >> 4 & 3) << (2 * j)),
    })
}

/// What Q2_K, Q4_K and Q5_K have in common before the codes are packed: `S` sub-blocks of `M`.
struct Affine<const S: usize> {
    d: u16,
    dmin: u16,
    scales: [u8; S],
    mins: [u8; S],
    codes: [u8; QK_K],
}

/// Quantises with scales and minima of 0 to `max_scale`. Without importance, `weights` gives those
/// of the errors of a sub-block and `grid` what to try; with it, `share` of twice the mean square
/// goes into the weights.
fn affine<const S: usize, const M: usize>(
    src: &[f32; QK_K],
    importance: Option<Importance<'_, QK_K>>,
    max_scale: u8,
    share: f32,
    grid: &Grid,
    weights: impl Fn(&[f32; M]) -> [f32; M],
) -> Affine<S> {
    let mut codes = [0u8; QK_K];
    let (mut scales, mut mins, mut sums) = ([0f32; S], [0f32; S], [0f32; S]);
    let blocks = src.as_chunks::<M>().0;
    let mean_square = share * sum_of_squares(src) / QK_K as f32;
    let fine = Grid::fine(grid.max);
    for (j, (x, codes)) in blocks.iter().zip(codes.as_chunks_mut::<M>().0).enumerate() {
        let (weights, grid) = match &importance {
            Some(i) => (error_weights(x, &i.parts()[j], mean_square), &fine),
            None => (weights(x), grid),
        };
        sums[j] = weights.iter().fold(0.0, |sum, w| sum + w);
        (scales[j], mins[j]) = search::affine(x, &weights, grid, codes);
    }
    let quantize = |values: &[f32; S]| {
        if importance.is_some() {
            let mut codes = [0; S];
            let scale = search::positive(values, &sums, max_scale, &mut codes);
            (to_f16(scale), codes.map(|c| c.min(max_scale)))
        } else {
            quantize_scales(values, max_scale)
        }
    };
    let (d, sub_scales) = quantize(&scales);
    let (dmin, sub_mins) = quantize(&mins);
    // The codes of the search belong to its unrounded scales: choose again for the rounded ones.
    for (j, (x, codes)) in blocks.iter().zip(codes.as_chunks_mut::<M>().0).enumerate() {
        let scale = f16(d) * f32::from(sub_scales[j]);
        let min = f16(dmin) * f32::from(sub_mins[j]);
        if scale != 0.0 {
            *codes = x.map(|v| nearest((v + min) / scale).clamp(0, grid.max.into()) as u8);
        }
    }
    Affine { d, dmin, scales: sub_scales, mins: sub_mins, codes }
}

/// Scales of 0 to `max` and the f16 scale of them.
fn quantize_scales<const S: usize>(values: &[f32; S], max: u8) -> (u16, [u8; S]) {
    let peak = values.iter().fold(0.0f32, |peak, &v| if v > peak { v } else { peak });
    let inverse = if peak > 0.0 { f32::from(max) / peak } else { 0.0 };
    // A negative scale, which the search can give for odd data, wraps around and becomes the largest.
    let codes = values.map(|v| (nearest(inverse * v) as u8).min(max));
    (to_f16(peak / f32::from(max)), codes)
}

/// Q4_K and Q5_K.
fn affine_of_32(
    src: &[f32; QK_K],
    importance: Option<Importance<'_, QK_K>>,
    max: u8,
    first: f32,
    steps: u32,
) -> (Affine<8>, [u8; 12]) {
    let grid = Grid { max, first, width: 0.1, steps, magnitudes: false };
    let weights = |x: &[f32; 32]| {
        let rms = (sum_of_squares(x) / 32.0).sqrt();
        x.map(|v| rms + v.abs())
    };
    let block = affine(src, importance, 63, 2.0, &grid, weights);
    let scales = pack_scale_min(&block.scales, &block.mins);
    (block, scales)
}

/// Packs 256 codes of two bits as in [`BlockQ2_K::qs`].
fn pack_pairs(codes: &[u8; QK_K]) -> [u8; QK_K / 4] {
    std::array::from_fn(|k| {
        let first = k / 32 * 128 + k % 32;
        (0..4).fold(0, |byte, i| byte | (codes[first + 32 * i] & 3) << (2 * i))
    })
}

/// Packs the low four bits of 256 codes as in [`BlockQ4_K::qs`].
fn pack_nibbles(codes: &[u8; QK_K]) -> [u8; QK_K / 2] {
    std::array::from_fn(|k| {
        let low = k / 32 * 64 + k % 32;
        codes[low] & 15 | codes[low + 32] << 4
    })
}

/// Packs bit `bit` of 256 codes: bit i of byte j is that of code 32 i + j.
fn pack_bits(codes: &[u8; QK_K], bit: u8) -> [u8; QK_K / 8] {
    std::array::from_fn(|j| (0..8).fold(0, |byte, i| byte | (codes[32 * i + j] >> bit & 1) << i))
}

/// Codes of 0 to 2 `half` - 1 for `d * scale * (code - half)`, rounded scales given.
fn recode(src: &[f32; QK_K], d: u16, scales: &[i8; 16], half: i32, codes: &mut [u8; QK_K]) {
    let blocks = src.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<16>().0);
    for ((x, codes), &scale) in blocks.zip(scales) {
        let scale = f16(d) * f32::from(scale);
        if scale != 0.0 {
            *codes = x.map(|v| (nearest(v / scale).clamp(-half, half - 1) + half) as u8);
        }
    }
}

impl Encode<QK_K> for BlockQ2_K {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let grid = Grid { max: 3, first: -0.5, width: 0.1, steps: 15, magnitudes: true };
        let weights = |x: &[f32; 16]| x.map(f32::abs);
        let block: Affine<16> = affine(src, importance, 15, 1.0, &grid, weights);
        BlockQ2_K {
            scales: std::array::from_fn(|j| block.scales[j] | block.mins[j] << 4),
            qs: pack_pairs(&block.codes),
            d: block.d,
            dmin: block.dmin,
        }
    }
}

impl Encode<QK_K> for BlockQ3_K {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mut codes = [0u8; QK_K];
        let (mut scales, mut sums) = ([0f32; 16], [0f32; 16]);
        let mean_square = 2.0 * sum_of_squares(src) / QK_K as f32;
        let blocks = src.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<16>().0);
        for (j, (x, codes)) in blocks.enumerate() {
            scales[j] = if let Some(i) = &importance {
                let weights = error_weights(x, &i.parts()[j], mean_square);
                sums[j] = weights.iter().fold(0.0, |sum, w| sum + w);
                search::symmetric(x, &weights, 4, codes)
            } else {
                search::symmetric_by_steps(x, 4, codes)
            };
        }
        let mut sub_scales = [0u8; 16];
        let d = if importance.is_some() {
            to_f16(search::symmetric(&scales, &sums, 32, &mut sub_scales))
        } else {
            let peak = super::legacy::peak_of(&scales);
            if peak != 0.0 {
                let inverse = -32.0 / peak;
                sub_scales = scales.map(|v| (nearest(inverse * v).clamp(-32, 31) + 32) as u8);
                to_f16(1.0 / inverse)
            } else {
                0
            }
        };
        let packed = pack_scales_of_6(&sub_scales);
        recode(src, d, &scales_of_6(&packed), 4, &mut codes);
        BlockQ3_K { hmask: pack_bits(&codes, 2), qs: pack_pairs(&codes), scales: packed, d }
    }
}

impl Encode<QK_K> for BlockQ4_K {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let (Affine { d, dmin, codes, .. }, scales) = affine_of_32(src, importance, 15, -1.0, 20);
        BlockQ4_K { d, dmin, scales, qs: pack_nibbles(&codes) }
    }
}

impl Encode<QK_K> for BlockQ5_K {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let (Affine { d, dmin, codes, .. }, scales) = affine_of_32(src, importance, 31, -0.5, 15);
        BlockQ5_K { d, dmin, scales, qh: pack_bits(&codes, 4), qs: pack_nibbles(&codes) }
    }
}

impl Encode<QK_K> for BlockQ6_K {
    fn encode(src: &[f32; QK_K], importance: Option<Importance<'_, QK_K>>) -> Self {
        let mut codes = [0u8; QK_K];
        let mut scales = [0f32; QK_K / 16];
        let blocks = src.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<16>().0);
        for (j, (x, codes)) in blocks.enumerate() {
            let weights = importance.as_ref().map_or_else(|| x.map(|v| v * v), |i| i.parts()[j]);
            scales[j] = search::symmetric(x, &weights, 32, codes);
        }
        let peak = super::legacy::peak_of(&scales);
        if peak.abs() < search::ZERO {
            return Zeroable::zeroed();
        }
        let inverse = -128.0 / peak;
        let d = to_f16(1.0 / inverse);
        let scales = scales.map(|v| nearest(inverse * v).min(127) as i8);
        recode(src, d, &scales, 32, &mut codes);
        let ql = std::array::from_fn(|k| {
            let low = k / 64 * 128 + k % 64;
            codes[low] & 15 | codes[low + 64] << 4
        });
        let qh = std::array::from_fn(|k| {
            let first = k / 32 * 128 + k % 32;
            (0..4).fold(0, |byte, i| byte | codes[first + 32 * i] >> 4 << (2 * i))
        });
        BlockQ6_K { ql, qh, scales, d }
    }
}
