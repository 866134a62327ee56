//! NEON: quantised weights. [`group`] unpacks the types, [`dot`] multiplies bytes, [`matvec`]
//! serves few columns, [`tile`] many.
//!
//! Quants are made signed when they are unpacked, so that offsets cost nothing later: a type has a
//! scale for 32 quants or for 16, with minima or without.

mod dot;
mod group;
mod matvec;
mod tile;

use std::arch::aarch64::*;
use std::arch::asm;

use super::form::{Form, form};
use super::lattice::{Lattice, Unpacked};
use super::{Job, TILE_FROM};
use crate::quant::GgmlType;
use dot::{Dot, Pairs, Sdot};

pub(super) use tile::SCRATCH;

/// Scales and minima of 256 weights: 16 each with [`Form::half`], else 8 in the first two vectors.
struct Scales {
    s: [float32x4_t; 4],
    /// With [`Form::min`], over 128 with [`Form::half`].
    m: [float32x4_t; 4],
}

/// 256 weights of one row in the order of k.
#[repr(C)]
struct Group {
    /// Signed quants, 32 in each.
    w: [[int8x16_t; 2]; 8],
    scales: Scales,
}

/// A type that is unpacked in registers: the 256 weights at `p`, of which blocks `0..=last` exist
/// (types with blocks of 32 may have fewer than eight). What is beyond them has finite values that
/// the caller drops or multiplies by zero.
trait Quant {
    const TY: GgmlType;
    const FORM: Form = form(Self::TY);
    /// Quants of the 32 weights from `32 * u` on.
    unsafe fn quants(p: *const u8, last: usize, u: usize) -> [int8x16_t; 2];
    unsafe fn scales(p: *const u8, last: usize) -> Scales;
}

/// What the shared kernels know of a type.
struct Kernel {
    form: Form,
    /// Weights and bytes of a block.
    block_len: usize,
    block_bytes: usize,
    /// The 256 weights at a pointer, of which blocks up to a last one exist, to memory.
    unpack: unsafe fn(*const u8, usize, *mut Group),
    /// One column, unpacked in registers; not for types that are unpacked in memory.
    one: Option<unsafe fn(&Job)>,
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
    let kernel = kernel_of!(ty, in_registers, in_memory, D);
    // SAFETY: the caller's.
    unsafe {
        match (kernel.form.half, kernel.form.min) {
            (false, false) => run::<D, false, false>(&kernel, job),
            (false, true) => run::<D, false, true>(&kernel, job),
            (true, false) => run::<D, true, false>(&kernel, job),
            (true, true) => run::<D, true, true>(&kernel, job),
        }
    }
}

const fn in_registers<Q: Quant, D: Dot>() -> Kernel {
    Kernel {
        form: Q::FORM,
        block_len: Q::TY.block_len(),
        block_bytes: Q::TY.block_bytes(),
        unpack: unpack::<Q>,
        one: Some(matvec::one::<Q, D>),
    }
}

const fn in_memory<B: Lattice>() -> Kernel {
    Kernel {
        form: form(B::TY),
        block_len: B::TY.block_len(),
        block_bytes: B::TY.block_bytes(),
        unpack: unpack_lattice::<B>,
        one: None,
    }
}

unsafe fn run<D: Dot, const HALF: bool, const MIN: bool>(kernel: &Kernel, job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match (job.n, kernel.one) {
            (1, Some(one)) => one(job),
            (1, None) => matvec::few::<D, HALF, MIN, 1>(kernel, job),
            (2, _) => matvec::few::<D, HALF, MIN, 2>(kernel, job),
            (3, _) => matvec::few::<D, HALF, MIN, 3>(kernel, job),
            (4, _) => matvec::few::<D, HALF, MIN, 4>(kernel, job),
            _ => tile::rows::<D, HALF, MIN>(kernel, job),
        }
    }
    const { assert!(TILE_FROM == 5) }
}

unsafe fn unpack<Q: Quant>(p: *const u8, last: usize, to: *mut Group) {
    // SAFETY: the caller's: the blocks at p, room at the aligned `to`.
    unsafe {
        eight!(u => {
            (*to).w[u] = Q::quants(p, last, u);
        });
        (&raw mut (*to).scales).write(Q::scales(p, last));
    }
}

unsafe fn unpack_lattice<B: Lattice>(p: *const u8, _last: usize, to: *mut Group) {
    let form = const { form(B::TY) };
    let mut unpacked = Unpacked::ZERO;
    // SAFETY: one block at p, room at `to`; 32 quants in every four words.
    unsafe {
        p.cast::<B>().read_unaligned().unpack(&mut unpacked);
        let offset = vdupq_n_s8(form.offset as i8);
        let q = unpacked.q.as_ptr().cast::<i8>();
        for u in 0..8 {
            (*to).w[u] = [0, 16].map(|i| vsubq_s8(vld1q_s8(q.add(32 * u + i)), offset));
        }
        let s = std::array::from_fn(|i| vld1q_f32(unpacked.s.as_ptr().add(4 * i)));
        (&raw mut (*to).scales).write(Scales { s, m: s });
    }
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
