//! K-quants: super-blocks of 256 weights whose sub-blocks have scales (and offsets) that are
//! themselves quantised.

use bytemuck::{Pod, Zeroable};

use super::{Block, f16};

/// Weights in a super-block.
pub const QK_K: usize = 256;

/// 16 sub-blocks of 16 weights `d * scale * q - dmin * min`, q of 2 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockQ2_K {
    /// A sub-block's scale in the low half and its minimum in the high half.
    pub scales: [u8; QK_K / 16],
    /// Of half h of the block, bits 2 i of byte 32 h + j belong to weight 128 h + 32 i + j.
    pub qs: [u8; QK_K / 4],
    /// Scale of the scales, f16 bits.
    pub d: u16,
    /// Scale of the minima, f16 bits.
    pub dmin: u16,
}

/// 16 sub-blocks of 16 weights `d * (scale - 32) * (q - 4)`, q of 3 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct BlockQ3_K {
    /// The third bits: bit i of byte j belongs to weight 32 i + j.
    pub hmask: [u8; QK_K / 8],
    /// The lower two bits, as in [`BlockQ2_K::qs`].
    pub qs: [u8; QK_K / 4],
    /// Scales of 6 bits, see [`scales_of_6`].
    pub scales: [u8; 12],
    /// Scale of the scales, f16 bits.
    pub d: u16,
}

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

const _: () = assert!(size_of::<BlockQ2_K>() == 84 && size_of::<BlockQ3_K>() == 110);
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

/// The 16 scales of a Q3_K block, -32 to 31.
///
/// Bytes 0-7 have the low four bits of scales 0-7 (low half) and 8-15 (high half); bits 2 i of byte
/// 8 + j are the upper two bits of scale 4 i + j.
#[inline]
pub fn scales_of_6(scales: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|j| {
        let low = scales[j % 8] >> (j / 8 * 4) & 15;
        let high = scales[8 + j % 4] >> (j / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    })
}

impl Block<QK_K> for BlockQ2_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let (d, dmin) = (f16(self.d), f16(self.dmin));
        for (j, dst) in dst.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let (scale, min) = (self.scales[j] & 15, self.scales[j] >> 4);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            let qs = &self.qs[j / 8 * 32 + j % 2 * 16..][..16];
            for (dst, q) in dst.iter_mut().zip(qs) {
                *dst = scale * f32::from(q >> (j % 8 / 2 * 2) & 3) - min;
            }
        }
    }
}

impl Block<QK_K> for BlockQ3_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        let scales = scales_of_6(&self.scales);
        for (j, dst) in dst.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[j]);
            let qs = &self.qs[j / 8 * 32 + j % 2 * 16..][..16];
            let high = &self.hmask[j % 2 * 16..][..16];
            for ((dst, q), h) in dst.iter_mut().zip(qs).zip(high) {
                let q = q >> (j % 8 / 2 * 2) & 3 | (h >> (j / 2) & 1) << 2;
                *dst = scale * (i32::from(q) - 4) as f32;
            }
        }
    }
}

impl Block<QK_K> for BlockQ4_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        let dmin = f16(self.dmin);
        for (j, dst) in dst.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_min(&self.scales, j);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            let qs = &self.qs[j / 2 * 32..][..32];
            for (dst, q) in dst.iter_mut().zip(qs) {
                *dst = scale * f32::from(q >> (j % 2 * 4) & 15) - min;
            }
        }
    }
}

impl Block<QK_K> for BlockQ5_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        let dmin = f16(self.dmin);
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
}

impl Block<QK_K> for BlockQ6_K {
    fn dequantize(&self, dst: &mut [f32; QK_K]) {
        let d = f16(self.d);
        for (k, dst) in dst.iter_mut().enumerate() {
            let (h, i, j) = (k / 128, k % 128 / 32, k % 32);
            let low = self.ql[64 * h + 32 * (i % 2) + j] >> (i / 2 * 4) & 15;
            let high = self.qh[32 * h + j] >> (2 * i) & 3;
            let q = i32::from(low | high << 4) - 32;
            *dst = d * f32::from(self.scales[k / 16]) * q as f32;
        }
    }
}
