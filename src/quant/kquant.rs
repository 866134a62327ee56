//! K-quants: super-blocks of 256 weights whose sub-blocks have scales (and offsets) that are
//! themselves quantised.

use bytemuck::{Pod, Zeroable};

use super::Block;
use super::search::{self, nearest};

/// Weights in a super-block.
pub const QK_K: usize = 256;

/// 8 sub-blocks of 32 weights `d * scale * q - dmin * min`, q of 4 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockQ4_K {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// Scale of the minima, f16 bits.
    pub dmin: u16,
    /// Scales and minima of 6 bits, see [`scale_min`].
    pub scales: [u8; 12],
    /// Byte 32 i + j has weight 64 i + j in its low half and weight 64 i + 32 + j in its high half.
    pub qs: [u8; QK_K / 2],
}

/// 8 sub-blocks of 32 weights `d * scale * q - dmin * min`, q of 5 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockQ5_K {
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// Scale of the minima, f16 bits.
    pub dmin: u16,
    /// Scales and minima of 6 bits, see [`scale_min`].
    pub scales: [u8; 12],
    /// The fifth bits: bit i of byte j belongs to weight 32 i + j.
    pub qh: [u8; QK_K / 8],
    /// The lower four bits, as in [`BlockQ4_K::qs`].
    pub qs: [u8; QK_K / 2],
}

/// 16 sub-blocks of 16 weights `d * scale * (q - 32)`, q of 6 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockQ6_K {
    /// The lower four bits. Of half h of the block, byte 64 h + j has weight 128 h + j in its low
    /// half and weight 128 h + 64 + j in its high half.
    pub ql: [u8; QK_K / 2],
    /// The upper two bits: bits 2 i of byte 32 h + j belong to weight 128 h + 32 i + j.
    pub qh: [u8; QK_K / 4],
    /// One scale a sub-block.
    pub scales: [i8; QK_K / 16],
    /// Scale of the scales, f16 bits.
    pub d: u16,
}

const _: () =
    assert!(size_of::<BlockQ4_K>() == 144 && size_of::<BlockQ5_K>() == 176 && size_of::<BlockQ6_K>() == 210);

/// The 6-bit scale and minimum of sub-block `j`, 0 to 7, of a Q4_K or Q5_K block.
///
/// Bytes 0-3 have scales 0-3 and bytes 4-7 minima 0-3 in their low six bits; bytes 8-11 have the
/// low four bits of scales (low half) and minima (high half) 4-7, whose upper two bits are the
/// upper bits of bytes 0-3 and 4-7.
#[inline]
pub fn scale_min(scales: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        let low = scales[j + 4];
        (low & 15 | scales[j - 4] >> 6 << 4, low >> 4 | scales[j] >> 6 << 4)
    }
}

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
    let (df, dminf) = (half::f16::from_bits(d).to_f32(), half::f16::from_bits(dmin).to_f32());
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

impl Block<QK_K> for BlockQ4_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = half::f16::from_bits(self.d).to_f32();
        let dmin = half::f16::from_bits(self.dmin).to_f32();
        for (j, dst) in dst.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_min(&self.scales, j);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            let qs = &self.qs[j / 2 * 32..][..32];
            for (dst, q) in dst.iter_mut().zip(qs) {
                *dst = scale * f32::from(q >> (j % 2 * 4) & 15) - min;
            }
        }
    }

    fn quantize(src: &[f32; QK_K]) -> Self {
        let Affine { d, dmin, scales, codes } = quantize_affine(src, 15, -1.0, 20);
        BlockQ4_K { d, dmin, scales, qs: pack_nibbles(&codes) }
    }
}

impl Block<QK_K> for BlockQ5_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = half::f16::from_bits(self.d).to_f32();
        let dmin = half::f16::from_bits(self.dmin).to_f32();
        for (j, dst) in dst.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_min(&self.scales, j);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            let qs = &self.qs[j / 2 * 32..][..32];
            for ((dst, q), h) in dst.iter_mut().zip(qs).zip(&self.qh) {
                let q = q >> (j % 2 * 4) & 15 | (h >> j & 1) << 4;
                *dst = scale * f32::from(q) - min;
            }
        }
    }

    fn quantize(src: &[f32; QK_K]) -> Self {
        let Affine { d, dmin, scales, codes } = quantize_affine(src, 31, -0.5, 15);
        let qh = std::array::from_fn(|j| (0..8).fold(0, |byte, i| byte | codes[32 * i + j] >> 4 << i));
        BlockQ5_K { d, dmin, scales, qh, qs: pack_nibbles(&codes) }
    }
}

impl Block<QK_K> for BlockQ6_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = half::f16::from_bits(self.d).to_f32();
        for (k, dst) in dst.iter_mut().enumerate() {
            let (h, i, j) = (k / 128, k % 128 / 32, k % 32);
            let low = self.ql[64 * h + 32 * (i % 2) + j] >> (i / 2 * 4) & 15;
            let high = self.qh[32 * h + j] >> (2 * i) & 3;
            let q = i32::from(low | high << 4) - 32;
            *dst = d * f32::from(self.scales[k / 16]) * q as f32;
        }
    }

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
