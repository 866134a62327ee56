//! NEON: quantised weights. [`group`] unpacks the types, [`dot`] multiplies bytes, [`matvec`]
//! serves few columns, [`tile`] many.
//!
//! Quants are made signed when they are unpacked, so offsets cost nothing later and all types are
//! one of three forms: a scale for 32 quants, a scale for 16, or a scale and a minimum for 32.

mod dot;
mod group;
mod matvec;
mod tile;

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Job, TILE_FROM, scalar};
use crate::quant::GgmlType;
use dot::{Dot, Pairs, Sdot};

pub(super) use tile::SCRATCH;

/// A weight type, unpacked 256 weights at a time: those at `p`, of which blocks `0..=last` exist
/// (types with blocks of 32 may have fewer than eight). What is beyond them has finite values that
/// the caller drops or multiplies by zero.
trait Quant {
    const BLOCK_LEN: usize;
    const BLOCK_BYTES: usize;
    /// One scale for every 16 quants instead of 32.
    const HALF: bool = false;
    /// A minimum for every 32 quants.
    const MINIMA: bool = false;
    /// Quants of the 32 weights from `32 * u` on.
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2];
    /// With `HALF` 16 scales; else 8 scales, then 8 minima if there are any.
    unsafe fn scales(p: *const u8, last: usize) -> [float32x4_t; 4];
}

/// # Safety
/// `job` was checked by the caller.
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    // SAFETY: the caller's.
    unsafe { by_type::<Pairs>(ty, job) }
}

/// # Safety
/// `job` was checked by the caller; the machine has the features of [`super::Isa::Dotprod`].
pub(super) unsafe fn matmul_dotprod(ty: GgmlType, job: &Job) {
    // SAFETY: the caller's.
    unsafe { by_type::<Sdot>(ty, job) }
}

unsafe fn by_type<D: Dot>(ty: GgmlType, job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match ty {
            GgmlType::Q4_0 => run::<group::Q4_0, D>(job),
            GgmlType::Q8_0 => run::<group::Q8_0, D>(job),
            GgmlType::Q4_K => run::<group::Q4K, D>(job),
            GgmlType::Q5_K => run::<group::Q5K, D>(job),
            GgmlType::Q6_K => run::<group::Q6K, D>(job),
            other => scalar::matmul(other, job),
        }
    }
}

unsafe fn run<Q: Quant, D: Dot>(job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match job.n {
            1 => matvec::rows::<Q, D, 1>(job),
            2 => matvec::rows::<Q, D, 2>(job),
            3 => matvec::rows::<Q, D, 3>(job),
            4 => matvec::rows::<Q, D, 4>(job),
            _ => tile::rows::<Q, D>(job),
        }
    }
    const { assert!(TILE_FROM == 5) }
}

/// Four f16 as f32.
#[inline(always)]
pub(super) fn f16x4(h: uint16x4_t) -> float32x4_t {
    let v: float32x4_t;
    // The intrinsics of f16 vectors are younger than the oldest compiler we support.
    // SAFETY: part of every aarch64; touches its operands only.
    unsafe {
        asm!("fcvtl {v:v}.4s, {h:v}.4h", v = lateout(vreg) v, h = in(vreg) h,
            options(pure, nomem, nostack, preserves_flags));
    }
    v
}

/// The block for each number from 0 to 7, which is a constant to each copy.
macro_rules! eight {
    ($i:ident => $body:block) => {
        eight!($i => $body, 0 1 2 3 4 5 6 7)
    };
    ($i:ident => $body:block, $($n:literal)+) => {$({
        let $i: usize = $n;
        $body
    })+};
}
use eight;
