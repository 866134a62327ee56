//! The weight types, 256 weights at a time.

use std::arch::x86_64::*;

use super::{Group, Quant, spread};
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

    /// The f16 at byte `at` of all blocks.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn halves(self, at: usize) -> __m256 {
        // SAFETY: blocks up to the last are readable.
        let d = |i: usize| unsafe { self.at(i, at).cast::<i16>().read_unaligned() };
        _mm256_cvtph_ps(_mm_set_epi16(d(7), d(6), d(5), d(4), d(3), d(2), d(1), d(0)))
    }

    /// The f16 that are to be added, as minima.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn minima(self, at: usize) -> __m256 {
        // SAFETY: the caller's.
        _mm256_xor_ps(unsafe { self.halves(at) }, _mm256_set1_ps(-0.0))
    }

    /// Block `u`: the low nibbles of 16 bytes at `at`, then the high ones.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn nibbles(self, u: usize, at: usize) -> __m256i {
        let high = _mm256_set_epi64x(4, 4, 0, 0);
        // SAFETY: 16 bytes of blocks up to the last.
        let x = unsafe { _mm_loadu_si128(self.at(u, at).cast()) };
        let x = _mm256_srlv_epi64(_mm256_broadcastsi128_si256(x), high);
        _mm256_and_si256(x, _mm256_set1_epi8(15))
    }

    /// [`Blocks::nibbles`] with a fifth bit each, of the 32 bits at `bits`.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn fives(self, u: usize, bits: usize, at: usize) -> __m256i {
        // SAFETY: the caller's; four bytes of blocks up to the last.
        let (low, word) = unsafe { (self.nibbles(u, at), self.at(u, bits).cast::<i32>().read_unaligned()) };
        _mm256_or_si256(low, _mm256_and_si256(spread(word), _mm256_set1_epi8(16)))
    }
}

/// Each byte of `codes`, which is below 16, replaced by what `values` has for it, plus `offset`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn look_up(codes: __m256i, values: &[i8; 16], offset: i8) -> __m256i {
    // SAFETY: 16 bytes.
    let table = unsafe { _mm_loadu_si128(values.as_ptr().cast()) };
    let table = _mm_add_epi8(table, _mm_set1_epi8(offset));
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes)
}

/// A group with scales for 32 weights each.
#[inline]
#[target_feature(enable = "avx2")]
fn group_of_32(w: [__m256i; 8], s: __m256, m: __m256) -> Group {
    let zero = _mm256_setzero_ps();
    Group { w, s: [s, zero], m: [m, zero] }
}

impl Quant for Q4_0 {
    const TY: GgmlType = GgmlType::Q4_0;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| b.nibbles(u, 2);
            group_of_32(std::array::from_fn(unit), b.halves(0), _mm256_setzero_ps())
        }
    }
}

impl Quant for Q4_1 {
    const TY: GgmlType = GgmlType::Q4_1;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| b.nibbles(u, 4);
            group_of_32(std::array::from_fn(unit), b.halves(0), b.minima(2))
        }
    }
}

impl Quant for Q5_0 {
    const TY: GgmlType = GgmlType::Q5_0;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| b.fives(u, 2, 6);
            group_of_32(std::array::from_fn(unit), b.halves(0), _mm256_setzero_ps())
        }
    }
}

impl Quant for Q5_1 {
    const TY: GgmlType = GgmlType::Q5_1;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| b.fives(u, 4, 8);
            group_of_32(std::array::from_fn(unit), b.halves(0), b.minima(2))
        }
    }
}

impl Quant for Q8_0 {
    const TY: GgmlType = GgmlType::Q8_0;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| _mm256_loadu_si256(b.at(u, 2).cast());
            group_of_32(std::array::from_fn(unit), b.halves(0), _mm256_setzero_ps())
        }
    }
}

impl Quant for Iq4Nl {
    const TY: GgmlType = GgmlType::IQ4_NL;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| look_up(b.nibbles(u, 2), &IQ4_VALUES, 0);
            group_of_32(std::array::from_fn(unit), b.halves(0), _mm256_setzero_ps())
        }
    }
}

impl Quant for Mxfp4 {
    const TY: GgmlType = GgmlType::MXFP4;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, n: usize) -> Group {
        let b = Blocks::new(p, Self::TY, n);
        // SAFETY: n blocks at p.
        unsafe {
            let unit = |u: usize| look_up(b.nibbles(u, 1), &FP4_VALUES, 12);
            group_of_32(std::array::from_fn(unit), powers_of_two(b), _mm256_setzero_ps())
        }
    }
}

/// The E8M0 scales at the head of the blocks, halved: 2^(e - 128).
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn powers_of_two(b: Blocks) -> __m256 {
    // SAFETY: blocks up to the last are readable.
    let e = |i: usize| unsafe { *b.at(i, 0) as i32 };
    let e = _mm256_set_epi32(e(7), e(6), e(5), e(4), e(3), e(2), e(1), e(0));
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x20_0000), e);
    let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small))
}

impl Quant for Iq4Xs {
    const TY: GgmlType = GgmlType::IQ4_XS;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p, whose quants are eight times 16 bytes from byte 8 on.
        unsafe {
            let b = Blocks { p: p.add(8), bytes: 16, last: 7 };
            let unit = |u: usize| look_up(b.nibbles(u, 0), &IQ4_VALUES, 0);
            let [head, low] = p.cast::<[u32; 2]>().read_unaligned();
            let part = |word: u32, bits: i32, mask: i32| {
                let by =
                    _mm256_mullo_epi32(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set1_epi32(bits));
                let word = _mm256_srlv_epi32(_mm256_set1_epi32(word as i32), by);
                _mm256_and_si256(word, _mm256_set1_epi32(mask))
            };
            let factors = _mm256_add_epi32(part(low, 4, 15), _mm256_slli_epi32::<4>(part(head >> 16, 2, 3)));
            let factors = _mm256_cvtepi32_ps(_mm256_sub_epi32(factors, _mm256_set1_epi32(32)));
            let s = _mm256_mul_ps(factors, half(p));
            group_of_32(std::array::from_fn(unit), s, _mm256_setzero_ps())
        }
    }
}

/// The f16 at p, eight times.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn half(p: *const u8) -> __m256 {
    // SAFETY: two bytes at p.
    _mm256_cvtph_ps(_mm_set1_epi16(unsafe { p.cast::<i16>().read_unaligned() }))
}

/// Unit `u` of two bits each: 32 bytes hold four units.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn twos(p: *const u8, u: usize) -> __m256i {
    // SAFETY: 64 bytes at p.
    let x = unsafe { _mm256_loadu_si256(p.add(u / 4 * 32).cast()) };
    let x = _mm256_srl_epi16(x, _mm_cvtsi32_si128(u as i32 % 4 * 2));
    _mm256_and_si256(x, _mm256_set1_epi8(3))
}

/// Bytes 8 i to 8 i + 8, converted by `wide`, as f32 times `d`.
macro_rules! factors {
    ($bytes:expr, $wide:ident, $d:expr) => {{
        let (bytes, d) = ($bytes, $d);
        [bytes, _mm_srli_si128::<8>(bytes)].map(|b| _mm256_mul_ps(_mm256_cvtepi32_ps($wide(b)), d))
    }};
}

impl Quant for Q2K {
    const TY: GgmlType = GgmlType::Q2_K;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let both = _mm_loadu_si128(p.cast());
            let low = _mm_set1_epi8(15);
            let d_min = _mm256_mul_ps(half(p.add(82)), _mm256_set1_ps(1.0 / 128.0));
            Group {
                w: std::array::from_fn(|u| twos(p.add(16), u)),
                s: factors!(_mm_and_si128(both, low), _mm256_cvtepu8_epi32, half(p.add(80))),
                m: factors!(_mm_and_si128(_mm_srli_epi16::<4>(both), low), _mm256_cvtepu8_epi32, d_min),
            }
        }
    }
}

impl Quant for Q3K {
    const TY: GgmlType = GgmlType::Q3_K;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let bits = _mm256_loadu_si256(p.cast());
            let [a, b, c] = p.add(96).cast::<[u32; 3]>().read_unaligned();
            let low = |word: u32| word & 0x0f0f_0f0f;
            let high = |by: u32| (c >> by & 0x0303_0303) << 4;
            let words = [low(a) | high(0), low(b) | high(2), low(a >> 4) | high(4), low(b >> 4) | high(6)];
            let scales = _mm_sub_epi8(_mm_loadu_si128(words.as_ptr().cast()), _mm_set1_epi8(32));
            Group {
                w: std::array::from_fn(|u| add_bits(twos(p.add(32), u), bits, 2 - u as i64, 4)),
                s: factors!(scales, _mm256_cvtepi8_epi32, half(p.add(108))),
                m: [_mm256_setzero_ps(); 2],
            }
        }
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
    const TY: GgmlType = GgmlType::Q4_K;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let unit = |u: usize| nibbles(p.add(16 + u / 2 * 32), u % 2 == 1);
            let [s, m] = k_scales(p);
            group_of_32(std::array::from_fn(unit), s, m)
        }
    }
}

impl Quant for Q5K {
    const TY: GgmlType = GgmlType::Q5_K;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        unsafe {
            let bits = _mm256_loadu_si256(p.add(16).cast());
            let unit =
                |u: usize| add_bits(nibbles(p.add(48 + u / 2 * 32), u % 2 == 1), bits, 4 - u as i64, 16);
            let [s, m] = k_scales(p);
            group_of_32(std::array::from_fn(unit), s, m)
        }
    }
}

impl Quant for Q6K {
    const TY: GgmlType = GgmlType::Q6_K;

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
            let scales = _mm_loadu_si128(p.add(192).cast());
            Group {
                w: std::array::from_fn(unit),
                s: factors!(scales, _mm256_cvtepi8_epi32, half(p.add(208))),
                m: [_mm256_setzero_ps(); 2],
            }
        }
    }
}
