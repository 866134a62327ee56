//! The weight types, 256 weights at a time.

use std::arch::x86_64::*;

use super::{Group, Quant};

pub(super) struct Q4_0;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

/// The f16 scales at the head of eight blocks.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn block_scales(p: *const u8, bytes: usize, last: usize) -> __m256 {
    // SAFETY: the caller's blocks 0..=last are readable.
    let d = |i: usize| unsafe { p.add(i.min(last) * bytes).cast::<i16>().read_unaligned() };
    _mm256_cvtph_ps(_mm_set_epi16(d(7), d(6), d(5), d(4), d(3), d(2), d(1), d(0)))
}

impl Quant for Q4_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 18;
    const OFFSET: i32 = 8;
    const CHUNK: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let last = n - 1;
        let high = _mm256_set_epi64x(4, 4, 0, 0);
        let block = |i: usize| {
            // SAFETY: only blocks 0..n are read.
            let x = unsafe { _mm_loadu_si128(p.add(i.min(last) * Self::BLOCK_BYTES + 2).cast()) };
            let x = _mm256_srlv_epi64(_mm256_broadcastsi128_si256(x), high);
            _mm256_and_si256(x, _mm256_set1_epi8(15))
        };
        // SAFETY: as above.
        let s = unsafe { block_scales(p, Self::BLOCK_BYTES, last) };
        Group { w: std::array::from_fn(block), s: [s, _mm256_setzero_ps()] }
    }
}

impl Quant for Q8_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 34;
    const SIGNED: bool = true;
    const CHUNK: usize = 1;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let last = n - 1;
        let block = |i: usize| {
            // SAFETY: only blocks 0..n are read.
            unsafe { _mm256_loadu_si256(p.add(i.min(last) * Self::BLOCK_BYTES + 2).cast()) }
        };
        // SAFETY: as above.
        let s = unsafe { block_scales(p, Self::BLOCK_BYTES, last) };
        Group { w: std::array::from_fn(block), s: [s, _mm256_setzero_ps()] }
    }
}

/// `d * scale` of the eight sub-blocks and `d_min * min`, from the first 16 bytes of a block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn k_scales(p: *const u8) -> [__m256; 2] {
    // SAFETY: 16 bytes at p.
    let [d, a, b, c] = unsafe { p.cast::<[u32; 4]>().read_unaligned() };
    let sc_low = a & 0x3f3f_3f3f;
    let sc_high = c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030;
    let m_low = b & 0x3f3f_3f3f;
    let m_high = c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030;
    let scales = _mm_set_epi32(0, 0, sc_high as i32, sc_low as i32);
    let minima = _mm_set_epi32(0, 0, m_high as i32, m_low as i32);
    let d = _mm_cvtph_ps(_mm_cvtsi32_si128(d as i32));
    [
        _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scales)), _mm256_broadcastss_ps(d)),
        _mm256_mul_ps(
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(minima)),
            _mm256_broadcastss_ps(_mm_movehdup_ps(d)),
        ),
    ]
}

/// The low or the high nibbles of 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn nibbles(p: *const u8, high: bool) -> __m256i {
    // SAFETY: 32 bytes at p.
    let x = unsafe { _mm256_loadu_si256(p.cast()) };
    let x = if high { _mm256_srli_epi16::<4>(x) } else { x };
    _mm256_and_si256(x, _mm256_set1_epi8(15))
}

/// `low | bits << left & mask`; a negative `left` shifts right. The shift crosses bytes, the mask
/// leaves what did not.
#[inline]
#[target_feature(enable = "avx2")]
fn add_bits(low: __m256i, bits: __m256i, left: i64, mask: i8) -> __m256i {
    let moved = if left >= 0 {
        _mm256_sllv_epi64(bits, _mm256_set1_epi64x(left))
    } else {
        _mm256_srlv_epi64(bits, _mm256_set1_epi64x(-left))
    };
    _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(mask)))
}

impl Quant for Q4K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 144;
    const CHUNK: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let unit = |u: usize| nibbles(p.add(16 + u / 2 * 32), u % 2 == 1);
            Group { w: std::array::from_fn(unit), s: k_scales(p) }
        }
    }
}

impl Quant for Q5K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 176;
    const CHUNK: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let bits = _mm256_loadu_si256(p.add(16).cast());
            let unit =
                |u: usize| add_bits(nibbles(p.add(48 + u / 2 * 32), u % 2 == 1), bits, 4 - u as i64, 16);
            Group { w: std::array::from_fn(unit), s: k_scales(p) }
        }
    }
}

impl Quant for Q6K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 210;
    const OFFSET: i32 = 32;
    const HALF: bool = true;
    const CHUNK: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let unit = |u: usize| {
                let (n, part) = (u / 4, u % 4);
                let low = nibbles(p.add(64 * n + 32 * (part % 2)), part >= 2);
                let bits = _mm256_loadu_si256(p.add(128 + 32 * n).cast());
                add_bits(low, bits, 4 - 2 * part as i64, 0x30)
            };
            let d16 = p.add(208).cast::<i16>().read_unaligned();
            let d = _mm256_cvtph_ps(_mm_set1_epi16(d16));
            let scales = |i: usize| {
                let bytes = _mm_loadl_epi64(p.add(192 + 8 * i).cast());
                _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), d)
            };
            Group { w: std::array::from_fn(unit), s: [scales(0), scales(1)] }
        }
    }
}
