//! Quantisation to types whose scale follows from the weights at once: ternary, one and two bits,
//! four-bit floats.

use super::legacy::{inverse, pack_halves, peak_of};
use super::{Encode, Importance};
use crate::quant::{
    BlockMXFP4, BlockNVFP4, BlockQ1_0, BlockQ2_0, BlockTQ1_0, BlockTQ2_0, FP4_VALUES, QK_K, QK_MXFP4,
    QK_NVFP4, QK1_0, QK2_0, e8m0_half, to_f16, ue4m3_half,
};

impl Encode<QK1_0> for BlockQ1_0 {
    fn encode(src: &[f32; QK1_0], _: Option<Importance<'_, QK1_0>>) -> Self {
        let d = src.iter().fold(0.0f32, |sum, v| sum + v.abs()) / QK1_0 as f32;
        let qs =
            std::array::from_fn(|j| (0..8).fold(0, |byte, i| byte | u8::from(src[8 * j + i] >= 0.0) << i));
        BlockQ1_0 { d: to_f16(d), qs }
    }
}

impl Encode<QK2_0> for BlockQ2_0 {
    fn encode(src: &[f32; QK2_0], _: Option<Importance<'_, QK2_0>>) -> Self {
        let d = peak_of(src).abs();
        let id = inverse(d);
        let code = |v: f32| ((v * id).round() as i8).clamp(-1, 2).wrapping_add(1) as u8;
        let qs = std::array::from_fn(|j| (0..4).fold(0, |byte, i| byte | code(src[4 * j + i]) << (2 * i)));
        BlockQ2_0 { d: to_f16(d), qs }
    }
}

/// -1, 0 or 1 times the peak, as 0, 1 and 2; and the peak.
fn ternary(src: &[f32; QK_K]) -> (u16, [u8; QK_K]) {
    let d = peak_of(src).abs();
    let id = inverse(d);
    (to_f16(d), src.map(|v| ((v * id).round() as i8).wrapping_add(1) as u8))
}

impl Encode<QK_K> for BlockTQ1_0 {
    fn encode(src: &[f32; QK_K], _: Option<Importance<'_, QK_K>>) -> Self {
        let (d, codes) = ternary(src);
        // Five digits, then the fraction of 256 rounded up; see the type.
        let pack = |digits: [u8; 5]| {
            let n = digits.iter().fold(0u8, |n, &q| n.wrapping_mul(3).wrapping_add(q));
            (u16::from(n) * 256).div_ceil(243) as u8
        };
        let qs = std::array::from_fn(|j| match j {
            0..32 => pack(std::array::from_fn(|i| codes[32 * i + j])),
            _ => pack(std::array::from_fn(|i| codes[160 + 16 * i + j - 32])),
        });
        let qh = std::array::from_fn(|j| {
            pack(std::array::from_fn(|i| if i < 4 { codes[240 + 4 * i + j] } else { 0 }))
        });
        BlockTQ1_0 { qs, qh, d }
    }
}

impl Encode<QK_K> for BlockTQ2_0 {
    fn encode(src: &[f32; QK_K], _: Option<Importance<'_, QK_K>>) -> Self {
        let (d, codes) = ternary(src);
        let qs = std::array::from_fn(|k| {
            let first = k / 32 * 128 + k % 32;
            (0..4).fold(0, |byte, i| byte | (codes[first + 32 * i] & 3) << (2 * i))
        });
        BlockTQ2_0 { qs, d }
    }
}

/// The code of the E2M1 value nearest to `v` with the given scale of [`FP4_VALUES`], the first of
/// equally near ones.
fn nearest_fp4(v: f32, scale: f32) -> u8 {
    let error = |q: u8| (f32::from(FP4_VALUES[usize::from(q)]) * scale - v).abs();
    let closer = |(best, e): (u8, f32), q| if error(q) < e { (q, error(q)) } else { (best, e) };
    (1..16).fold((0, error(0)), closer).0
}

impl Encode<QK_MXFP4> for BlockMXFP4 {
    fn encode(src: &[f32; QK_MXFP4], _: Option<Importance<'_, QK_MXFP4>>) -> Self {
        let peak = peak_of(src).abs();
        // The largest code is 6 = 1.5 * 2^2.
        let e = if peak > 0.0 { (peak.log2().floor() - 2.0 + 127.0) as i32 as u8 } else { 0 };
        BlockMXFP4 { e, qs: pack_halves(&src.map(|v| nearest_fp4(v, e8m0_half(e)))) }
    }
}

/// The unsigned E4M3 number next to `v`, halves rounded up; 448 at most.
fn to_ue4m3(v: f32) -> u8 {
    // NaN becomes zero like anything that is not positive.
    if v.is_nan() || v <= 0.0 {
        return 0;
    }
    let v = v.min(448.0);
    if v < 1.0 / 64.0 {
        return ((v * 512.0 + 0.5) as u8).min(7);
    }
    // Three bits of mantissa stay; a carry goes into the exponent, whose bias falls from 127 to 7.
    let bits = (v.to_bits() >> 19).div_ceil(2);
    (bits - (120 << 3)).min(0x7e) as u8
}

impl Encode<QK_NVFP4> for BlockNVFP4 {
    fn encode(src: &[f32; QK_NVFP4], _: Option<Importance<'_, QK_NVFP4>>) -> Self {
        let blocks = src.as_chunks::<16>().0;
        let d = std::array::from_fn(|i| to_ue4m3(peak_of(&blocks[i]).abs() / 6.0));
        let qs = std::array::from_fn(|k| {
            let (i, j) = (k / 8, k % 8);
            let scale = ue4m3_half(d[i]);
            nearest_fp4(blocks[i][j], scale) | nearest_fp4(blocks[i][j + 8], scale) << 4
        });
        BlockNVFP4 { d, qs }
    }
}
