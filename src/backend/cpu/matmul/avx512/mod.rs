//! AVX-512 with VNNI: quantised weights. [`group`] unpacks the types, [`matvec`] serves few
//! columns, [`tile`] many.

mod group;
mod matvec;
mod tile;

use std::arch::x86_64::*;

use super::act::GROUP;
use super::form::{Form, form};
use super::lattice_x86::{InVectors, Vectors};
use super::{Job, TILE_FROM};
use crate::quant::GgmlType;

pub(super) use tile::{SCRATCH, transposed};

/// 256 weights of one row in the order of k.
#[repr(C)]
struct Group {
    /// Unsigned quants, 64 in each.
    w: [__m512i; 4],
    /// [`Form::half`]: 16 scales, each for 16 quants. Else 8 scales, each for 32, and then 8
    /// factors of the activation sums: the minima, or the scales again.
    s: __m512,
    /// [`Form::half`] with minima: those, over 128. Else unused.
    m: __m512,
}

/// A weight type.
trait Quant {
    const TY: GgmlType;
    const FORM: Form = form(Self::TY);
    /// The next 256 weights, or of `n` blocks where that is less (types with blocks of 32 only):
    /// what lies beyond them has finite values that the caller multiplies by zero.
    unsafe fn group(p: *const u8, n: usize) -> Group;
}

/// What the shared kernels know of a type.
struct Kernel {
    form: Form,
    /// Weights and bytes of a block.
    block_len: usize,
    block_bytes: usize,
    /// Any number of blocks, to memory.
    unpack: unsafe fn(*const u8, usize, *mut Group),
    /// One column, unpacked in registers.
    one: unsafe fn(&Job),
}

/// # Safety
/// `job` was checked by the caller; the machine has the features of [`super::Isa::Avx512`].
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    let kernel = kernel_of!(ty, kernel, kernel);
    // SAFETY: the caller's.
    unsafe {
        match (kernel.form.half, kernel.form.min) {
            (false, false) => run::<false, false>(&kernel, job),
            (false, true) => run::<false, true>(&kernel, job),
            (true, false) => run::<true, false>(&kernel, job),
            (true, true) => run::<true, true>(&kernel, job),
        }
    }
}

const fn kernel<Q: Quant>() -> Kernel {
    Kernel {
        form: Q::FORM,
        block_len: Q::TY.block_len(),
        block_bytes: Q::TY.block_bytes(),
        unpack: unpack::<Q>,
        one: matvec::one::<Q>,
    }
}

unsafe fn run<const HALF: bool, const MIN: bool>(kernel: &Kernel, job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match job.n {
            1 => (kernel.one)(job),
            2 => matvec::few::<HALF, MIN, 2>(kernel, job),
            3 => matvec::few::<HALF, MIN, 3>(kernel, job),
            4 => matvec::few::<HALF, MIN, 4>(kernel, job),
            _ => tile::rows::<HALF, MIN>(kernel, job),
        }
    }
    const { assert!(TILE_FROM == 5) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
unsafe fn unpack<Q: Quant>(p: *const u8, n: usize, to: *mut Group) {
    let per_group = const { GROUP / Q::TY.block_len() };
    let bytes = const { GROUP / Q::TY.block_len() * Q::TY.block_bytes() };
    // SAFETY: the caller's: n blocks at p, room for their groups at the aligned `to`.
    unsafe {
        let (whole, rest) = (n / per_group, n % per_group);
        for i in 0..whole {
            to.add(i).write(Q::group(p.add(i * bytes), per_group));
        }
        if rest > 0 {
            to.add(whole).write(Q::group(p.add(whole * bytes), rest));
        }
    }
}

impl<B: InVectors> Quant for B {
    const TY: GgmlType = B::TY;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        let Vectors { q, signs, s } = unsafe { B::vectors(p.cast()) };
        let both = |u: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(q[2 * u]), q[2 * u + 1]);
        let mut w: [__m512i; 4] = std::array::from_fn(both);
        if let Some(signs) = signs {
            let offset = _mm512_set1_epi8(Self::FORM.offset as i8);
            // SAFETY: any bits are words.
            let signs: [u64; 4] = unsafe { std::mem::transmute(signs) };
            for (w, below) in w.iter_mut().zip(signs) {
                *w = _mm512_mask_sub_epi8(_mm512_add_epi8(offset, *w), below, offset, *w);
            }
        }
        let s = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(s[0]), s[1]);
        Group { w, s, m: _mm512_setzero_ps() }
    }
}
