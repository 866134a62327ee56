//! AVX2: quantised weights. [`group`] unpacks the types, [`matvec`] serves few columns, [`tile`]
//! many.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs in 16 bits, saturating. With
//! activations in [-127, 127] and weights of at most 7 bits a pair stays below 2^15, and so do
//! the sums of [`chunk`] pairs. 8-bit weights give their sign to the activation instead, which
//! leaves `|w| <= 128`: `2 * 128 * 127` fits too. What is to be subtracted from unsigned quants is
//! a minimum here, be it the type's own or offset times scale.

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
    /// Quants, 32 in each: unsigned, or signed if [`chunk`] is 0.
    w: [__m256i; 8],
    /// [`Form::half`]: 16 scales, each for 16 quants. Else 8 scales, each for 32, and zeros.
    s: [__m256; 2],
    /// Minima likewise, for unsigned quants; over 128 with [`Form::half`].
    m: [__m256; 2],
}

/// A weight type.
trait Quant {
    const TY: GgmlType;
    const FORM: Form = form(Self::TY);
    /// The next 256 weights, or of `n` blocks where that is less (types with blocks of 32 only):
    /// what lies beyond them has finite values that the caller multiplies by zero. Minima are
    /// only set where [`Form::min`] is.
    unsafe fn group(p: *const u8, n: usize) -> Group;
}

/// How many sums of two products may be added in 16 bits: `chunk * 2 * 127 * max < 2^15`. 0 for
/// 8-bit weights, whose quants are signed.
const fn chunk(form: Form) -> usize {
    match form.max {
        0..=15 if !form.half => 8,
        0..=31 => 4,
        32..=63 => 2,
        64..=127 => 1,
        _ => 0,
    }
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
/// `job` was checked by the caller; the machine has the features of [`super::Isa::Avx2`].
pub(super) unsafe fn matmul(ty: GgmlType, job: &Job) {
    let kernel = kernel_of!(ty, kernel, kernel);
    // SAFETY: the caller's.
    unsafe {
        match (kernel.form.half, chunk(kernel.form)) {
            (false, 8) => run::<false, 8>(&kernel, job),
            (false, 4) => run::<false, 4>(&kernel, job),
            (false, 1) => run::<false, 1>(&kernel, job),
            (false, 0) => run::<false, 0>(&kernel, job),
            (true, 4) => run::<true, 4>(&kernel, job),
            (true, 2) => run::<true, 2>(&kernel, job),
            (true, 1) => run::<true, 1>(&kernel, job),
            _ => unreachable!("no type has this form"),
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

unsafe fn run<const HALF: bool, const CHUNK: usize>(kernel: &Kernel, job: &Job) {
    // SAFETY: the caller's.
    unsafe {
        match job.n {
            1 => (kernel.one)(job),
            2 => matvec::few::<HALF, CHUNK, 2>(kernel, job),
            3 => matvec::few::<HALF, CHUNK, 3>(kernel, job),
            4 => matvec::few::<HALF, CHUNK, 4>(kernel, job),
            _ => tile::rows::<HALF, CHUNK>(kernel, job),
        }
    }
    const { assert!(TILE_FROM == 5) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack<Q: Quant>(p: *const u8, n: usize, to: *mut Group) {
    let per_group = const { GROUP / Q::TY.block_len() };
    let bytes = const { GROUP / Q::TY.block_len() * Q::TY.block_bytes() };
    // SAFETY: the caller's: n blocks at p, room for their groups at the aligned `to`.
    unsafe {
        let (whole, rest) = (n / per_group, n % per_group);
        for i in 0..whole {
            to.add(i).write(complete::<Q>(p.add(i * bytes), per_group));
        }
        if rest > 0 {
            to.add(whole).write(complete::<Q>(p.add(whole * bytes), rest));
        }
    }
}

/// [`Quant::group`] with the minima that an offset stands for.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn complete<Q: Quant>(p: *const u8, n: usize) -> Group {
    let form = Q::FORM;
    // SAFETY: the caller's.
    let mut group = unsafe { Q::group(p, n) };
    if !form.min && chunk(form) != 0 {
        let offset = _mm256_set1_ps(form.offset as f32 / if form.half { 128.0 } else { 1.0 });
        group.m = group.s.map(|s| _mm256_mul_ps(s, offset));
    }
    group
}

/// Sums of two products in each 16-bit lane.
#[inline]
#[target_feature(enable = "avx2")]
fn products<const CHUNK: usize>(w: __m256i, q: __m256i) -> __m256i {
    if CHUNK == 0 {
        _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
    } else {
        _mm256_maddubs_epi16(w, q)
    }
}

impl<B: InVectors> Quant for B {
    const TY: GgmlType = B::TY;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn group(p: *const u8, _n: usize) -> Group {
        // SAFETY: one block at p.
        let Vectors { mut q, signs, s } = unsafe { B::vectors(p.cast()) };
        if let Some(signs) = signs {
            // SAFETY: any bits are words.
            let signs: [i32; 8] = unsafe { std::mem::transmute(signs) };
            for (q, below) in q.iter_mut().zip(signs) {
                *q = signed(Self::FORM.offset as i8, *q, below);
            }
        }
        let s = if Self::FORM.half { s } else { [s[0], _mm256_setzero_ps()] };
        Group { w: q, s, m: [_mm256_setzero_ps(); 2] }
    }
}

/// `offset + q`, or `offset - q` where the bit of a byte is set in `below`.
#[inline]
#[target_feature(enable = "avx2")]
fn signed(offset: i8, q: __m256i, below: i32) -> __m256i {
    let below = spread(below);
    _mm256_add_epi8(_mm256_set1_epi8(offset), _mm256_sub_epi8(_mm256_xor_si256(q, below), below))
}

/// The bytes all ones of which the bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(bits: i32) -> __m256i {
    // Byte i of the word eight times, then bit i of each eight.
    let which = _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
    let bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), which), bit);
    _mm256_cmpeq_epi8(bytes, bit)
}
