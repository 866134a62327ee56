//! [`lattice`](super::lattice) in vectors of 256 bits, for AVX2 and, two of them joined, AVX-512.
//!
//! The numbers of points are made many at a time and go through memory: narrow loads of a wide
//! store are cheaper than moves out of a vector.

use std::arch::asm;
use std::arch::x86_64::*;

use super::lattice::Lattice;
use crate::quant::grid::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};
use crate::quant::{
    BlockIQ1_M, BlockIQ1_S, BlockIQ2_S, BlockIQ2_XS, BlockIQ2_XXS, BlockIQ3_S, BlockIQ3_XXS, BlockTQ1_0,
    BlockTQ2_0,
};

/// 256 weights.
pub(super) struct Vectors {
    /// 32 in each: quants of the type's [`form`](super::form::form), or, with signs, the distances
    /// of the quants from the offset.
    pub q: [__m256i; 8],
    /// A bit for each weight, set where the quant is below the offset.
    pub signs: Option<__m256i>,
    /// 16 scales where each has 16 weights, else 8, twice.
    pub s: [__m256; 2],
}

/// A block of 256 weights.
pub(super) trait InVectors: Lattice {
    /// The block at `p`, which need not be aligned.
    unsafe fn vectors(p: *const Self) -> Vectors;
}

/// Numbers of points, 16 in each, that are read from memory one by one.
struct Numbers<const N: usize>([__m256i; N]);

impl<const N: usize> Numbers<N> {
    /// Where number i is.
    #[inline(always)]
    fn at(&self, i: usize) -> *const u16 {
        let p = self.0.as_ptr().cast::<u16>().wrapping_add(i);
        // SAFETY: no instructions. What is at p may have changed for all that the compiler knows.
        unsafe { asm!("/* {0} */", in(reg) p, options(nostack, preserves_flags)) }
        p
    }
}

/// The same vector, of which the compiler knows no more how it came about, and which it makes before
/// the next one.
#[inline]
#[target_feature(enable = "avx2")]
fn now(mut x: __m256i) -> __m256i {
    // SAFETY: no instructions.
    unsafe { asm!("/* {0} */", inout(ymm_reg) x, options(nostack, preserves_flags)) }
    x
}

/// The value for each number from 0 to 7. Written out, as a closure that is called so often is not
/// inlined.
macro_rules! eight {
    ($u:ident => $value:expr) => {
        eight!($u => $value, 0 1 2 3 4 5 6 7)
    };
    ($u:ident => $value:expr, $($n:literal)+) => {
        [$({
            let $u: usize = $n;
            $value
        }),+]
    };
}

/// The point with the i-th of the numbers at p, which is below M.
#[inline(always)]
unsafe fn point<N: Copy + Into<usize>, T: Copy, const M: usize>(grid: &[T; M], p: *const N, i: usize) -> T {
    // SAFETY: the caller's.
    unsafe { *grid.get_unchecked((*p.add(i)).into()) }
}

// Without `now`, the numbers of all the points of a block would be loaded before the first is looked
// up, more than there are registers.

/// Four points of eight coordinates; their numbers at p are below M.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn points_of_8<N: Copy + Into<usize>, const M: usize>(grid: &[u64; M], p: *const N) -> __m256i {
    // SAFETY: the caller's.
    let point = |i: usize| unsafe { point(grid, p, i) as i64 };
    now(_mm256_set_epi64x(point(3), point(2), point(1), point(0)))
}

/// Eight points of four coordinates; their numbers at p are below M.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn points_of_4<N: Copy + Into<usize>, const M: usize>(grid: &[u32; M], p: *const N) -> __m256i {
    // SAFETY: the caller's.
    let point = |i: usize| unsafe { point(grid, p, i) as i32 };
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(point);
    now(_mm256_set_epi32(h, g, f, e, d, c, b, a))
}

/// Four signs of seven bits in each 32, as bytes whose eighth bit makes the number of bits even.
#[inline]
#[target_feature(enable = "avx2")]
fn signs_of_28(x: __m256i) -> __m256i {
    let part = |x: __m256i, mask: i32| _mm256_and_si256(x, _mm256_set1_epi32(mask));
    let low = _mm256_or_si256(part(x, 0x7f), part(_mm256_slli_epi32::<1>(x), 0x7f00));
    let high = part(_mm256_slli_epi32::<2>(x), 0x7f_0000);
    let high = _mm256_or_si256(high, part(_mm256_slli_epi32::<3>(x), 0x7f00_0000));
    even(_mm256_or_si256(low, high))
}

/// The upper bit of each byte, which is 0, set where the number of bits is odd.
#[inline]
#[target_feature(enable = "avx2")]
fn even(x: __m256i) -> __m256i {
    // The shifts add up to seven: the upper bit of a byte gathers those of its byte alone.
    let y = _mm256_xor_si256(x, _mm256_slli_epi32::<4>(x));
    let y = _mm256_xor_si256(y, _mm256_slli_epi32::<2>(y));
    let y = _mm256_xor_si256(y, _mm256_slli_epi32::<1>(y));
    _mm256_or_si256(x, _mm256_and_si256(y, _mm256_set1_epi8(-128)))
}

/// The f16 `d`, eight times.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn half(d: u16) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(d as i16))
}

/// `d * factor * (2 * n + 1)`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn odd(d: u16, factor: f32, n: __m256i) -> __m256 {
    let odd = _mm256_add_epi32(_mm256_slli_epi32::<1>(n), _mm256_set1_epi32(1));
    _mm256_mul_ps(_mm256_cvtepi32_ps(odd), _mm256_mul_ps(half(d), _mm256_set1_ps(factor)))
}

/// The eight nibbles of four bytes, the lower ones first.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: [u8; 4]) -> __m256i {
    let x = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(i32::from_le_bytes(bytes)));
    _mm256_and_si256(_mm256_or_si256(x, _mm256_slli_epi64::<28>(x)), _mm256_set1_epi32(15))
}

/// [`odd`] of the nibbles of eight bytes, for 16 weights each.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn odd_nibbles(d: u16, [a, b, c, e, f, g, h, i]: [u8; 8]) -> [__m256; 2] {
    [[a, b, c, e], [f, g, h, i]].map(|bytes| odd(d, 0.125, nibbles(bytes)))
}

/// 16 bytes at p in 16 bits each.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widened(p: *const u8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(p.cast()) })
}

/// The points of IQ1 with the numbers in the lower eleven bits of 32 words, eight times, and the shift
/// of one: down where bit 11 is set.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted(words: [__m256i; 2]) -> [__m256i; 8] {
    let numbers = Numbers(words.map(|words| _mm256_and_si256(words, _mm256_set1_epi16(0x7ff))));
    // SAFETY: any bits are words.
    let fours: [i64; 8] = unsafe { std::mem::transmute(words) };
    eight!(u => {
        // SAFETY: IQ1 has 2^11 points.
        let points = unsafe { points_of_8(&IQ1, numbers.at(4 * u)) };
        let from_zero = _mm256_add_epi8(points, _mm256_set1_epi8(1));
        let up = _mm256_andnot_si256(upper_bytes(fours[u]), _mm256_set1_epi8(8));
        // No byte is above 16, so none crosses into the next.
        _mm256_add_epi8(_mm256_slli_epi16::<3>(from_zero), _mm256_srli_epi16::<2>(up))
    })
}

/// The upper bytes of four words, eight times each.
#[inline]
#[target_feature(enable = "avx2")]
fn upper_bytes(four: i64) -> __m256i {
    let eight = |byte: i64| byte * 0x0101_0101_0101_0101;
    _mm256_shuffle_epi8(_mm256_set1_epi64x(four), _mm256_set_epi64x(eight(7), eight(5), eight(3), eight(1)))
}

impl InVectors for BlockIQ1_S {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        let (qs, qh, d) = unsafe {
            let qh = _mm_loadu_si128((&raw const (*p).qh).cast());
            ((&raw const (*p).qs).cast::<u8>(), qh, (&raw const (*p).d).read_unaligned())
        };
        let words = [0, 1].map(|i| {
            // Each word of qh has three bits for four numbers.
            let four = _mm256_set_epi64x(
                0x0706_0706_0706_0706,
                0x0504_0504_0504_0504,
                0x0302_0302_0302_0302,
                0x0100_0100_0100_0100,
            );
            let which = _mm256_add_epi8(four, _mm256_set1_epi8(8 * i as i8));
            let words = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(qh), which);
            let to_top = _mm256_set1_epi64x(1 << 13 | 1 << 26 | 1 << 39 | 1 << 52);
            let high = _mm256_srli_epi16::<5>(_mm256_mullo_epi16(words, to_top));
            let high = _mm256_and_si256(high, _mm256_set1_epi16(0x700));
            let down = _mm256_and_si256(_mm256_srli_epi16::<4>(words), _mm256_set1_epi16(0x800));
            // SAFETY: 32 bytes at qs.
            let low = unsafe { widened(qs.add(16 * i)) };
            _mm256_or_si256(low, _mm256_or_si256(high, down))
        });
        let scales = _mm256_and_si256(_mm256_cvtepu16_epi32(_mm_srli_epi16::<12>(qh)), _mm256_set1_epi32(7));
        Vectors { q: shifted(words), signs: None, s: [odd(d, 0.125, scales); 2] }
    }
}

impl InVectors for BlockIQ1_M {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        let (qs, qh, scales) = unsafe {
            let qh = (&raw const (*p).qh).cast::<u8>();
            ((&raw const (*p).qs).cast::<u8>(), qh, (&raw const (*p).scales).cast::<u64>().read_unaligned())
        };
        let words = [0, 1].map(|i| {
            // SAFETY: 16 bytes at qh, 32 at qs.
            let (low, bytes) = unsafe { (widened(qs.add(16 * i)), _mm_loadl_epi64(qh.add(8 * i).cast())) };
            // The lower nibble, then the upper one: three bits and the direction of the shift.
            let x = _mm256_cvtepu8_epi32(bytes);
            let high = _mm256_or_si256(_mm256_slli_epi32::<8>(x), _mm256_slli_epi32::<20>(x));
            _mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi16(0xf00)))
        });
        // Four words have four scales of three bits each, and a nibble of the factor.
        let d =
            (scales >> 12 & 0xf | scales >> 24 & 0xf0 | scales >> 36 & 0xf00 | scales >> 48 & 0xf000) as u16;
        let four = _mm256_cvtepu16_epi64(_mm_cvtsi64_si128(scales as i64));
        let eight = |which: __m256i| {
            let scales = _mm256_permutevar8x32_epi32(four, which);
            let scales = _mm256_srlv_epi32(scales, _mm256_set_epi32(9, 6, 3, 0, 9, 6, 3, 0));
            odd(d, 0.125, _mm256_and_si256(scales, _mm256_set1_epi32(7)))
        };
        Vectors {
            q: shifted(words),
            signs: None,
            s: [
                eight(_mm256_set_epi32(2, 2, 2, 2, 0, 0, 0, 0)),
                eight(_mm256_set_epi32(6, 6, 6, 6, 4, 4, 4, 4)),
            ],
        }
    }
}

impl InVectors for BlockIQ2_XXS {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        unsafe {
            // Eight times: four bytes that are points, 28 bits of signs and four of a scale.
            let qs = (&raw const (*p).qs).cast::<u8>();
            let x = [0, 32].map(|at| _mm256_castsi256_ps(_mm256_loadu_si256(qs.add(at).cast())));
            let odd_words = _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(x[0], x[1]));
            let words = _mm256_permute4x64_epi64::<0xd8>(odd_words);
            let signs = signs_of_28(words);
            let q = eight!(u => points_of_8(&IQ2_XXS, qs.add(8 * u)));
            let d = (&raw const (*p).d).read_unaligned();
            Vectors { q, signs: Some(signs), s: [odd(d, 0.125, _mm256_srli_epi32::<28>(words)); 2] }
        }
    }
}

impl InVectors for BlockIQ2_XS {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        unsafe {
            let qs = (&raw const (*p).qs).cast::<u16>();
            let x = [0, 16].map(|at| _mm256_loadu_si256(qs.add(at).cast()));
            let numbers = Numbers(x.map(|x| _mm256_and_si256(x, _mm256_set1_epi16(0x1ff))));
            let sevens = _mm256_packus_epi16(_mm256_srli_epi16::<9>(x[0]), _mm256_srli_epi16::<9>(x[1]));
            let sevens = _mm256_permute4x64_epi64::<0xd8>(sevens);
            let signs = even(sevens);
            let q = eight!(u => points_of_8(&IQ2_XS, numbers.at(4 * u)));
            let (d, scales) = ((&raw const (*p).d).read_unaligned(), (&raw const (*p).scales).read());
            Vectors { q, signs: Some(signs), s: odd_nibbles(d, scales) }
        }
    }
}

impl InVectors for BlockIQ2_S {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        unsafe {
            let qs = (&raw const (*p).qs).cast::<u8>();
            let signs = _mm256_loadu_si256((&raw const (*p).signs).cast());
            let qh = _mm_loadl_epi64((&raw const (*p).qh).cast());
            let numbers = Numbers([0, 1].map(|i| {
                // Each byte of qh has two bits for four numbers.
                let bytes = _mm256_cvtepu8_epi64(if i == 0 { qh } else { _mm_srli_epi64::<32>(qh) });
                let low = _mm256_or_si256(_mm256_slli_epi64::<8>(bytes), _mm256_slli_epi64::<22>(bytes));
                let high = _mm256_or_si256(_mm256_slli_epi64::<36>(bytes), _mm256_slli_epi64::<50>(bytes));
                let high = _mm256_and_si256(_mm256_or_si256(low, high), _mm256_set1_epi16(0x300));
                _mm256_or_si256(widened(qs.add(16 * i)), high)
            }));
            let q = eight!(u => points_of_8(&IQ2_S, numbers.at(4 * u)));
            let (d, scales) = ((&raw const (*p).d).read_unaligned(), (&raw const (*p).scales).read());
            Vectors { q, signs: Some(signs), s: odd_nibbles(d, scales) }
        }
    }
}

impl InVectors for BlockIQ3_XXS {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        unsafe {
            let qs = (&raw const (*p).qs).cast::<u8>();
            let words = _mm256_loadu_si256((&raw const (*p).signs).cast());
            let signs = signs_of_28(words);
            let q = eight!(u => points_of_4(&IQ3_XXS, qs.add(8 * u)));
            let d = (&raw const (*p).d).read_unaligned();
            Vectors { q, signs: Some(signs), s: [odd(d, 0.25, _mm256_srli_epi32::<28>(words)); 2] }
        }
    }
}

impl InVectors for BlockIQ3_S {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        unsafe {
            let qs = (&raw const (*p).qs).cast::<u8>();
            let qh = (&raw const (*p).qh).cast::<i16>();
            let signs = _mm256_loadu_si256((&raw const (*p).signs).cast());
            let numbers = Numbers([0, 1, 2, 3].map(|i| {
                let bit = _mm256_set_epi16(
                    -0x8000, 0x4000, 0x2000, 0x1000, 0x800, 0x400, 0x200, 0x100, 128, 64, 32, 16, 8, 4, 2, 1,
                );
                let bits = _mm256_and_si256(_mm256_set1_epi16(qh.add(i).read_unaligned()), bit);
                let high = _mm256_and_si256(_mm256_cmpeq_epi16(bits, bit), _mm256_set1_epi16(0x100));
                _mm256_or_si256(widened(qs.add(16 * i)), high)
            }));
            let q = eight!(u => points_of_4(&IQ3_S, numbers.at(8 * u)));
            let (d, scales) = ((&raw const (*p).d).read_unaligned(), (&raw const (*p).scales).read());
            Vectors { q, signs: Some(signs), s: [odd(d, 1.0, nibbles(scales)); 2] }
        }
    }
}

/// Three times each byte, without what overflows. Without `now`, powers of three would become
/// multiplications in 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn tripled(x: __m256i) -> __m256i {
    now(_mm256_add_epi8(x, _mm256_add_epi8(x, x)))
}

/// The first digit to base three of each byte as a fraction of 256; bytes are 128 below their value,
/// which [`tripled`] keeps, so that they compare as signed.
#[inline]
#[target_feature(enable = "avx2")]
fn digits(x: __m256i) -> __m256i {
    let from = |least: u8| _mm256_cmpgt_epi8(x, _mm256_set1_epi8((least - 1).wrapping_sub(128) as i8));
    _mm256_abs_epi8(_mm256_add_epi8(from(86), from(171)))
}

impl InVectors for BlockTQ1_0 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        let (x, y, z, d) = unsafe {
            let qs = (&raw const (*p).qs).cast::<u8>();
            let z = (&raw const (*p).qh).cast::<i32>().read_unaligned();
            let y = _mm_loadu_si128(qs.add(32).cast());
            (_mm256_loadu_si256(qs.cast()), y, z, (&raw const (*p).d).read_unaligned())
        };
        let below = |x: __m256i| _mm256_xor_si256(x, _mm256_set1_epi8(-128));
        // Times a power of three, the next digit is the first: five of 32 bytes, five of 16 and
        // four of 4.
        let mut thirds = [below(x); 5];
        for i in 1..5 {
            thirds[i] = tripled(thirds[i - 1]);
        }
        let y = below(_mm256_broadcastsi128_si256(y));
        let pair = _mm256_blend_epi32::<0xf0>(y, tripled(y));
        let next = tripled(tripled(pair));
        let last = tripled(tripled(next));
        let z = below(_mm256_set1_epi32(z));
        let z = _mm256_blend_epi32::<0xaa>(z, tripled(z));
        let z = _mm256_blend_epi32::<0xcc>(z, tripled(tripled(z)));
        let last = _mm256_blend_epi32::<0xf0>(last, z);
        let [a, b, c, e, f] = thirds;
        Vectors { q: [a, b, c, e, f, pair, next, last].map(|x| digits(x)), signs: None, s: [half(d); 2] }
    }
}

impl InVectors for BlockTQ2_0 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn vectors(p: *const Self) -> Vectors {
        // SAFETY: one block at p.
        let (x, d) = unsafe {
            let qs = (&raw const (*p).qs).cast::<u8>();
            let x = [0, 32].map(|at| _mm256_loadu_si256(qs.add(at).cast()));
            (x, (&raw const (*p).d).read_unaligned())
        };
        let two = |u: usize| {
            let by = _mm256_set1_epi64x(2 * (u as i64 % 4));
            _mm256_and_si256(_mm256_srlv_epi64(x[u / 4], by), _mm256_set1_epi8(3))
        };
        Vectors { q: eight!(u => two(u)), signs: None, s: [half(d); 2] }
    }
}
