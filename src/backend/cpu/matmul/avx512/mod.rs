//! AVX-512 with VNNI: quantised weights. [`group`] unpacks the types, [`matvec`] serves few
//! columns, [`tile`] many.

mod group;
mod matvec;
mod tile;

use std::arch::x86_64::*;

use super::{Job, TILE_FROM};
use crate::quant::GgmlType;

pub(super) use tile::SCRATCH;

/// 256 weights of one row in the order of k.
struct Group {
    /// Unsigned quants, 64 in each.
    w: [__m512i; 4],
    /// [`Quant::HALF`]: 16 scales, each for 16 quants. Else 8 scales, each for 32, and then 8
    /// factors of the activation sums: the minima, or where [`Quant::OFFSET`] is set the scales.
    s: __m512,
}

/// A weight type.
trait Quant {
    const BLOCK_LEN: usize;
    const BLOCK_BYTES: usize;
    /// What is to be subtracted from each unsigned quant; 0 for types with minima.
    const OFFSET: i32;
    /// One scale for every 16 quants instead of 32.
    const HALF: bool;
    /// The next 256 weights, or of `n` blocks where that is less (types with blocks of 32 only):
    /// what lies beyond them has finite values that the caller multiplies by zero.
    unsafe fn group(p: *const u8, n: usize) -> Group;
}

/// # Safety
/// `job` was checked by the caller; the machine has the features of [`super::Isa::Avx512`].
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
