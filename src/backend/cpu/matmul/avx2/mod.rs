//! AVX2: quantised weights. [`group`] unpacks the types, [`matvec`] serves few columns, [`tile`]
//! many.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs in 16 bits, saturating. With
//! activations in [-127, 127] and weights of at most 6 bits a pair stays below 2^15, and so do the
//! sums of [`Quant::CHUNK`] pairs. 8-bit weights give their sign to the activation instead, which
//! leaves `|w| <= 128`: `2 * 128 * 127` fits too.

mod group;
mod matvec;
mod tile;

use std::arch::x86_64::*;

use super::{Job, TILE_FROM};
use crate::quant::GgmlType;

pub(super) use tile::SCRATCH;

/// 256 weights of one row in the order of k.
struct Group {
    /// Quants, 32 in each; signed for [`Quant::SIGNED`], else unsigned.
    w: [__m256i; 8],
    /// [`Quant::HALF`]: 16 scales, each for 16 quants. Else 8 scales, each for 32, and for types
    /// without offset or sign the 8 minima.
    s: [__m256; 2],
}

/// A weight type.
trait Quant {
    const BLOCK_LEN: usize;
    const BLOCK_BYTES: usize;
    /// Quants are signed bytes, without offset or minima.
    const SIGNED: bool = false;
    /// What is to be subtracted from each unsigned quant; 0 for types with minima.
    const OFFSET: i32 = 0;
    /// One scale for every 16 quants instead of 32.
    const HALF: bool = false;
    /// How many sums of two products may be added in 16 bits: `CHUNK * 2 * 127 * max < 2^15`.
    const CHUNK: usize;
    /// The next 256 weights, or of `n` blocks where that is less (types with blocks of 32 only):
    /// what lies beyond them has finite values that the caller multiplies by zero.
    unsafe fn group(p: *const u8, n: usize) -> Group;
}

/// # Safety
/// `job` was checked by the caller; the machine has the features of [`super::Isa::Avx2`].
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match ty {
            GgmlType::Q4_0 => run::<group::Q4_0>(job),
            GgmlType::Q8_0 => run::<group::Q8_0>(job),
            GgmlType::Q4_K => run::<group::Q4K>(job),
            GgmlType::Q5_K => run::<group::Q5K>(job),
            GgmlType::Q6_K => run::<group::Q6K>(job),
            other => panic!("{} weights have no kernel", other.name()),
        }
    }
}

unsafe fn run<Q: Quant>(job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match job.n {
            1 => matvec::rows::<Q, 1>(job),
            2 => matvec::rows::<Q, 2>(job),
            3 => matvec::rows::<Q, 3>(job),
            4 => matvec::rows::<Q, 4>(job),
            _ => tile::rows::<Q>(job),
        }
    }
    const { assert!(TILE_FROM == 5) }
}

/// Sums of two products in each 16-bit lane.
#[inline]
#[target_feature(enable = "avx2")]
fn products<Q: Quant>(w: __m256i, q: __m256i) -> __m256i {
    if Q::SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
    } else {
        _mm256_maddubs_epi16(w, q)
    }
}
