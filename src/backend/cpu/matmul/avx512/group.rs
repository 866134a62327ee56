//! The weight types, 256 weights at a time.

use std::arch::x86_64::*;

use super::{Group, Quant};

pub(super) struct Q4_0;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;

/// The f16 scales at the head of eight blocks, twice over.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn block_scales(p: *const u8, bytes: usize, last: usize) -> __m512 {
    // SAFETY: the caller's blocks 0..=last are readable.
    let d = |i: usize| unsafe { p.add(i.min(last) * bytes).cast::<i16>().read_unaligned() };
    let half = _mm_set_epi16(d(7), d(6), d(5), d(4), d(3), d(2), d(1), d(0));
    _mm512_cvtph_ps(_mm256_broadcastsi128_si256(half))
}

impl Quant for Q4_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 18;
    const OFFSET: i32 = 8;
    const HALF: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let last = n - 1;
        let high = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
        // SAFETY: only blocks 0..n are read.
        unsafe {
            let block = |i: usize| _mm_loadu_si128(p.add(i.min(last) * Self::BLOCK_BYTES + 2).cast());
            let pair = |u: usize| {
                let x = _mm512_broadcast_i64x2(block(2 * u));
                let x = _mm512_mask_broadcast_i64x2(x, 0xf0, block(2 * u + 1));
                _mm512_and_si512(_mm512_srlv_epi64(x, high), _mm512_set1_epi8(15))
            };
            Group { w: [pair(0), pair(1), pair(2), pair(3)], s: block_scales(p, Self::BLOCK_BYTES, last) }
        }
    }
}

impl Quant for Q8_0 {
    const BLOCK_LEN: usize = 32;
    const BLOCK_BYTES: usize = 34;
    const OFFSET: i32 = 128;
    const HALF: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let last = n - 1;
        // SAFETY: only blocks 0..n are read.
        unsafe {
            let block = |i: usize| _mm256_loadu_si256(p.add(i.min(last) * Self::BLOCK_BYTES + 2).cast());
            let pair = |u: usize| {
                let x = _mm512_castsi256_si512(block(2 * u));
                let x = _mm512_inserti64x4::<1>(x, block(2 * u + 1));
                _mm512_xor_si512(x, _mm512_set1_epi8(-128))
            };
            Group { w: [pair(0), pair(1), pair(2), pair(3)], s: block_scales(p, Self::BLOCK_BYTES, last) }
        }
    }
}

/// `d * scale` of the eight sub-blocks, then `d_min * min`, from the first 16 bytes of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn k_scales(p: *const u8) -> __m512 {
    // SAFETY: 16 bytes at p.
    let [d, a, b, c] = unsafe { p.cast::<[u32; 4]>().read_unaligned() };
    let sc_low = a & 0x3f3f_3f3f;
    let sc_high = c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030;
    let m_low = b & 0x3f3f_3f3f;
    let m_high = c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030;
    let bytes = _mm_set_epi32(m_high as i32, m_low as i32, sc_high as i32, sc_low as i32);
    let factors = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    let d = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128(d as i32)));
    let which = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm512_mul_ps(factors, _mm512_permutexvar_ps(which, d))
}

/// 32 bytes, once for the low nibbles and once, shifted down, for the high ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn nibbles(p: *const u8) -> __m512i {
    let high = _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0);
    // SAFETY: 32 bytes at p.
    let x = _mm512_broadcast_i64x4(unsafe { _mm256_loadu_si256(p.cast()) });
    _mm512_and_si512(_mm512_srlv_epi64(x, high), _mm512_set1_epi8(15))
}

/// `low | turned & mask`, `turned` being the bytes of `bits` turned left by `a` bits in the lower
/// half and by `b` in the upper one. The turn crosses bytes; the mask leaves what did not.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn add_bits(low: __m512i, bits: __m512i, a: i64, b: i64, mask: i8) -> __m512i {
    let turned = _mm512_rolv_epi64(bits, _mm512_set_epi64(b, b, b, b, a, a, a, a));
    // Truth table of `low | turned & mask`.
    _mm512_ternarylogic_epi64::<0xf8>(low, turned, _mm512_set1_epi8(mask))
}

impl Quant for Q4K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 144;
    const OFFSET: i32 = 0;
    const HALF: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let q = p.add(16);
            Group {
                w: [nibbles(q), nibbles(q.add(32)), nibbles(q.add(64)), nibbles(q.add(96))],
                s: k_scales(p),
            }
        }
    }
}

impl Quant for Q5K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 176;
    const OFFSET: i32 = 0;
    const HALF: bool = false;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let q = p.add(48);
            let bits = _mm512_broadcast_i64x4(_mm256_loadu_si256(p.add(16).cast()));
            // Bit 2u is the fifth of the lower 32, bit 2u + 1 of the upper.
            let unit = |u: usize| {
                let a = 4 - 2 * u as i64;
                add_bits(nibbles(q.add(32 * u)), bits, a & 63, (a - 1) & 63, 16)
            };
            Group { w: [unit(0), unit(1), unit(2), unit(3)], s: k_scales(p) }
        }
    }
}

impl Quant for Q6K {
    const BLOCK_LEN: usize = 256;
    const BLOCK_BYTES: usize = 210;
    const OFFSET: i32 = 32;
    const HALF: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        let low = _mm512_set1_epi8(15);
        // SAFETY: one block at p.
        unsafe {
            let pair = |n: usize| {
                let x = _mm512_loadu_si512(p.add(64 * n).cast());
                let bits = _mm512_broadcast_i64x4(_mm256_loadu_si256(p.add(128 + 32 * n).cast()));
                let first = _mm512_and_si512(x, low);
                let second = _mm512_and_si512(_mm512_srli_epi16::<4>(x), low);
                [add_bits(first, bits, 4, 2, 0x30), add_bits(second, bits, 0, 62, 0x30)]
            };
            let ([a, b], [c, d]) = (pair(0), pair(1));
            let scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(p.add(192).cast()));
            let d16 = p.add(208).cast::<i16>().read_unaligned();
            let d0 = _mm512_cvtph_ps(_mm256_set1_epi16(d16));
            Group { w: [a, b, c, d], s: _mm512_mul_ps(_mm512_cvtepi32_ps(scales), d0) }
        }
    }
}
