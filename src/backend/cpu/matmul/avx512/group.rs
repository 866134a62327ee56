//! The weight types, 256 weights at a time.

use std::arch::x86_64::*;

use super::{Group, Quant};
use crate::quant::{FP4_VALUES, GgmlType, IQ4_VALUES};

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q5_0;
pub(super) struct Q5_1;
pub(super) struct Q8_0;
pub(super) struct Q2K;
pub(super) struct Q3K;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;
pub(super) struct Iq4Nl;
pub(super) struct Iq4Xs;
pub(super) struct Mxfp4;

/// Blocks of 32 weights, of which those beyond `last` are read as `last` again.
#[derive(Clone, Copy)]
struct Blocks {
    p: *const u8,
    bytes: usize,
    last: usize,
}

impl Blocks {
    /// `n` blocks of type `ty` at `p`, at least one.
    #[inline(always)]
    fn new(p: *const u8, ty: GgmlType, n: usize) -> Blocks {
        Blocks { p, bytes: ty.block_bytes(), last: n - 1 }
    }

    /// Byte `at` of block `i`.
    #[inline(always)]
    fn at(self, i: usize, at: usize) -> *const u8 {
        self.p.wrapping_add(i.min(self.last) * self.bytes + at)
    }

    /// The 16 bits at byte `at` of all blocks, twice over.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn halves(self, at: usize) -> __m256i {
        // SAFETY: blocks up to the last are readable; four small ones are more than 64 bytes.
        unsafe {
            if let (7, Some(places)) = (self.last, small(self.bytes)) {
                let load = |i: usize| _mm512_loadu_si512(self.at(i, at).cast());
                let places = _mm512_loadu_si512(places.as_ptr().cast());
                return _mm512_castsi512_si256(_mm512_permutex2var_epi16(load(0), places, load(4)));
            }
            let d = |i: usize| self.at(i, at).cast::<i16>().read_unaligned();
            _mm256_broadcastsi128_si256(_mm_set_epi16(d(7), d(6), d(5), d(4), d(3), d(2), d(1), d(0)))
        }
    }

    /// The f16 scales at the head of the blocks, twice over.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn scales(self) -> __m512 {
        // SAFETY: the caller's.
        _mm512_cvtph_ps(unsafe { self.halves(0) })
    }

    /// The f16 scales, and the f16 after them, to be added, as minima.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn scales_and_minima(self) -> __m512 {
        // SAFETY: the caller's.
        let (d, m) = unsafe { (self.halves(0), self.halves(2)) };
        let m = _mm256_xor_si256(m, _mm256_set1_epi16(i16::MIN));
        _mm512_cvtph_ps(_mm256_blend_epi32::<0xf0>(d, m))
    }

    /// Blocks 2 u and 2 u + 1: the low nibbles of 16 bytes at `at`, then the high ones.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn nibbles(self, u: usize, at: usize) -> __m512i {
        let high = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
        // SAFETY: 16 bytes of blocks up to the last.
        let block = |i: usize| unsafe { _mm_loadu_si128(self.at(i, at).cast()) };
        let x = _mm512_broadcast_i64x2(block(2 * u));
        let x = _mm512_mask_broadcast_i64x2(x, 0xf0, block(2 * u + 1));
        _mm512_and_si512(_mm512_srlv_epi64(x, high), _mm512_set1_epi8(15))
    }

    /// [`Blocks::nibbles`] with a fifth bit each, of the 32 bits at `bits`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn fives(self, u: usize, bits: usize, at: usize) -> __m512i {
        // SAFETY: the caller's; four bytes of blocks up to the last.
        unsafe {
            let word = |i: usize| self.at(i, bits).cast::<u32>().read_unaligned() as u64;
            let mask = word(2 * u) | word(2 * u + 1) << 32;
            let x = self.nibbles(u, at);
            _mm512_mask_add_epi8(x, mask, x, _mm512_set1_epi8(16))
        }
    }
}

/// Where the first 16 bits of eight blocks are, twice over, in two registers that are loaded where
/// the first and the fifth block begin. None for blocks of which a register does not hold four.
#[inline(always)]
fn small(block_bytes: usize) -> Option<&'static [i16; 32]> {
    const fn places(block_words: usize) -> [i16; 32] {
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            places[i] = (i % 4 * block_words + i % 8 / 4 * 32) as i16;
            i += 1;
        }
        places
    }
    static OF_18: [i16; 32] = places(9);
    static OF_20: [i16; 32] = places(10);
    match block_bytes {
        18 => Some(&OF_18),
        20 => Some(&OF_20),
        _ => None,
    }
}

/// Each byte of `codes`, which is below 16, replaced by what `values` has for it, plus `offset`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn look_up(codes: __m512i, values: &[i8; 16], offset: u8) -> __m512i {
    // SAFETY: 16 bytes.
    let table = unsafe { _mm_loadu_si128(values.as_ptr().cast()) };
    let table = _mm_add_epi8(table, _mm_set1_epi8(offset as i8));
    _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), codes)
}

/// Eight values, twice over.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn twice(v: __m256) -> __m512 {
    _mm512_broadcast_f32x8(v)
}

/// A group with scales for 32 weights each.
#[inline]
#[target_feature(enable = "avx512f")]
fn group_of_32(w: [__m512i; 4], s: __m512) -> Group {
    Group { w, s, m: _mm512_setzero_ps() }
}

impl Quant for Q4_0 {
    const TY: GgmlType = GgmlType::Q4_0;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| b.nibbles(u, 2);
            group_of_32(std::array::from_fn(unit), b.scales())
        }
    }
}

impl Quant for Q4_1 {
    const TY: GgmlType = GgmlType::Q4_1;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| b.nibbles(u, 4);
            group_of_32(std::array::from_fn(unit), b.scales_and_minima())
        }
    }
}

impl Quant for Q5_0 {
    const TY: GgmlType = GgmlType::Q5_0;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| b.fives(u, 2, 6);
            group_of_32(std::array::from_fn(unit), b.scales())
        }
    }
}

impl Quant for Q5_1 {
    const TY: GgmlType = GgmlType::Q5_1;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| b.fives(u, 4, 8);
            group_of_32(std::array::from_fn(unit), b.scales_and_minima())
        }
    }
}

impl Quant for Q8_0 {
    const TY: GgmlType = GgmlType::Q8_0;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| {
                let block = |i: usize| _mm256_loadu_si256(b.at(i, 2).cast());
                let x = _mm512_castsi256_si512(block(2 * u));
                let x = _mm512_inserti64x4::<1>(x, block(2 * u + 1));
                _mm512_xor_si512(x, _mm512_set1_epi8(-128))
            };
            group_of_32(std::array::from_fn(unit), b.scales())
        }
    }
}

impl Quant for Iq4Nl {
    const TY: GgmlType = GgmlType::IQ4_NL;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| look_up(b.nibbles(u, 2), &IQ4_VALUES, 128);
            group_of_32(std::array::from_fn(unit), b.scales())
        }
    }
}

impl Quant for Mxfp4 {
    const TY: GgmlType = GgmlType::MXFP4;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        // SAFETY: n blocks at p.
        unsafe {
            let b = Blocks::new(p, Self::TY, n);
            let unit = |u: usize| look_up(b.nibbles(u, 1), &FP4_VALUES, 12);
            group_of_32(std::array::from_fn(unit), twice(powers_of_two(b)))
        }
    }
}

/// The E8M0 scales at the head of the blocks, halved: 2^(e - 128).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn powers_of_two(b: Blocks) -> __m256 {
    // SAFETY: blocks up to the last are readable.
    let e = |i: usize| unsafe { *b.at(i, 0) as i32 };
    let e = _mm256_set_epi32(e(7), e(6), e(5), e(4), e(3), e(2), e(1), e(0));
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x20_0000), e);
    let small = _mm256_cmplt_epi32_mask(e, _mm256_set1_epi32(2));
    _mm256_castsi256_ps(_mm256_mask_blend_epi32(small, normal, subnormal))
}

impl Quant for Iq4Xs {
    const TY: GgmlType = GgmlType::IQ4_XS;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p, whose quants are eight times 16 bytes from byte 8 on.
        unsafe {
            let b = Blocks { p: p.add(8), bytes: 16, last: 7 };
            let unit = |u: usize| look_up(b.nibbles(u, 0), &IQ4_VALUES, 128);
            let [head, low] = p.cast::<[u32; 2]>().read_unaligned();
            let part = |word: u32, bits: i32, mask: i32| {
                let by =
                    _mm256_mullo_epi32(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set1_epi32(bits));
                let word = _mm256_srlv_epi32(_mm256_set1_epi32(word as i32), by);
                _mm256_and_si256(word, _mm256_set1_epi32(mask))
            };
            let factors = _mm256_add_epi32(part(low, 4, 15), _mm256_slli_epi32::<4>(part(head >> 16, 2, 3)));
            let factors = _mm256_cvtepi32_ps(_mm256_sub_epi32(factors, _mm256_set1_epi32(32)));
            let d = _mm256_cvtph_ps(_mm_set1_epi16(head as i16));
            group_of_32(std::array::from_fn(unit), twice(_mm256_mul_ps(factors, d)))
        }
    }
}

/// Units 0 to 3: two times two bits of 32 bytes, twice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn twos(p: *const u8, u: usize) -> __m512i {
    let (a, b) = if u.is_multiple_of(2) { (0, 2) } else { (4, 6) };
    // SAFETY: 64 bytes at p.
    let x = _mm512_broadcast_i64x4(unsafe { _mm256_loadu_si256(p.add(u / 2 * 32).cast()) });
    let x = _mm512_srlv_epi64(x, _mm512_set_epi64(b, b, b, b, a, a, a, a));
    _mm512_and_si512(x, _mm512_set1_epi8(3))
}

/// The f16 at p, 16 times.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn half(p: *const u8) -> __m512 {
    // SAFETY: two bytes at p.
    _mm512_cvtph_ps(_mm256_set1_epi16(unsafe { p.cast::<i16>().read_unaligned() }))
}

impl Quant for Q2K {
    const TY: GgmlType = GgmlType::Q2_K;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let unit = |u: usize| twos(p.add(16), u);
            let both = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
            let scales = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15)));
            let minima = _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(both));
            let d_min = _mm512_mul_ps(half(p.add(82)), _mm512_set1_ps(1.0 / 128.0));
            Group {
                w: std::array::from_fn(unit),
                s: _mm512_mul_ps(scales, half(p.add(80))),
                m: _mm512_mul_ps(minima, d_min),
            }
        }
    }
}

impl Quant for Q3K {
    const TY: GgmlType = GgmlType::Q3_K;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let bits = _mm512_broadcast_i64x4(_mm256_loadu_si256(p.cast()));
            // Bit 2 u is the third of the lower 32, bit 2 u + 1 of the upper.
            let unit = |u: usize| {
                let a = 2 - 2 * u as i64;
                add_bits(twos(p.add(32), u), bits, a & 63, (a - 1) & 63, 4)
            };
            let [a, b, c] = p.add(96).cast::<[u32; 3]>().read_unaligned();
            let low = |word: u32| word & 0x0f0f_0f0f;
            let high = |by: u32| (c >> by & 0x0303_0303) << 4;
            let words = [low(a) | high(0), low(b) | high(2), low(a >> 4) | high(4), low(b >> 4) | high(6)];
            let factors = _mm_sub_epi8(_mm_loadu_si128(words.as_ptr().cast()), _mm_set1_epi8(32));
            let factors = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(factors));
            Group {
                w: std::array::from_fn(unit),
                s: _mm512_mul_ps(factors, half(p.add(108))),
                m: _mm512_setzero_ps(),
            }
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
    const TY: GgmlType = GgmlType::Q4_K;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let q = p.add(16);
            let w = [nibbles(q), nibbles(q.add(32)), nibbles(q.add(64)), nibbles(q.add(96))];
            group_of_32(w, k_scales(p))
        }
    }
}

impl Quant for Q5K {
    const TY: GgmlType = GgmlType::Q5_K;

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
            group_of_32(std::array::from_fn(unit), k_scales(p))
        }
    }
}

impl Quant for Q6K {
    const TY: GgmlType = GgmlType::Q6_K;

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
            let s = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), half(p.add(208)));
            Group { w: [a, b, c, d], s, m: _mm512_setzero_ps() }
        }
    }
}
