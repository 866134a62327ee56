//! Products of a weight matrix with activation columns: `dst[t][r] = dot(weight row r, act t)`.
//!
//! Owns the kernels and the format of quantised activations. Knows nothing of threads (callers
//! split the rows), tensors or graphs, and allocates nothing.
//!
//! Quantised weights are multiplied as the file stores them by activations in 8 bits ([`act`]):
//! integer products are exact inside a block, scales and sums over blocks are f32. Float weights
//! (f32, f16, bf16) are multiplied in f32.
//!
//! Two ways through, chosen by the number of columns alone:
//! - few columns (generation): each weight is read once, unpacked in registers and used at once;
//!   bound by memory;
//! - many columns (prompts): tiles of rows are unpacked into scratch as interleaved bytes and used
//!   for all columns; bound by arithmetic.
//!
//! The bits of a result depend on its weight row, its activation row, the instruction set and on
//! which of the two ways was taken, and on nothing else: not on the row range, the thread, or the
//! other columns.
//!
//! A weight type is its [`form`] and one `group` function for each instruction set
//! (`scalar::unpack` for the portable one); the types that are looked up share their functions
//! ([`lattice`], `lattice_x86`). The kernels around it know the form only.

#![allow(clippy::needless_range_loop, reason = "kernels step through several arrays at once")]

/// The kernel of a type: `$group` of its name in the caller's module `group`, or `$lattice` of its
/// block.
macro_rules! kernel_of {
    ($ty:expr, $group:ident, $lattice:ident $(, $more:ty)?) => {
        match $ty {
            GgmlType::Q4_0 => $group::<group::Q4_0 $(, $more)?>(),
            GgmlType::Q4_1 => $group::<group::Q4_1 $(, $more)?>(),
            GgmlType::Q5_0 => $group::<group::Q5_0 $(, $more)?>(),
            GgmlType::Q5_1 => $group::<group::Q5_1 $(, $more)?>(),
            GgmlType::Q8_0 => $group::<group::Q8_0 $(, $more)?>(),
            GgmlType::Q2_K => $group::<group::Q2K $(, $more)?>(),
            GgmlType::Q3_K => $group::<group::Q3K $(, $more)?>(),
            GgmlType::Q4_K => $group::<group::Q4K $(, $more)?>(),
            GgmlType::Q5_K => $group::<group::Q5K $(, $more)?>(),
            GgmlType::Q6_K => $group::<group::Q6K $(, $more)?>(),
            GgmlType::IQ4_NL => $group::<group::Iq4Nl $(, $more)?>(),
            GgmlType::IQ4_XS => $group::<group::Iq4Xs $(, $more)?>(),
            GgmlType::MXFP4 => $group::<group::Mxfp4 $(, $more)?>(),
            GgmlType::IQ1_S => $lattice::<crate::quant::BlockIQ1_S>(),
            GgmlType::IQ1_M => $lattice::<crate::quant::BlockIQ1_M>(),
            GgmlType::IQ2_XXS => $lattice::<crate::quant::BlockIQ2_XXS>(),
            GgmlType::IQ2_XS => $lattice::<crate::quant::BlockIQ2_XS>(),
            GgmlType::IQ2_S => $lattice::<crate::quant::BlockIQ2_S>(),
            GgmlType::IQ3_XXS => $lattice::<crate::quant::BlockIQ3_XXS>(),
            GgmlType::IQ3_S => $lattice::<crate::quant::BlockIQ3_S>(),
            GgmlType::TQ1_0 => $lattice::<crate::quant::BlockTQ1_0>(),
            GgmlType::TQ2_0 => $lattice::<crate::quant::BlockTQ2_0>(),
            other => panic!("{} weights have no kernel", other.name()),
        }
    };
}

mod act;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float;
#[cfg(target_arch = "x86_64")]
mod float_tile;
mod form;
mod lattice;
#[cfg(target_arch = "x86_64")]
mod lattice_x86;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use act::{act_row_bytes, quantize_act};

use super::Isa;
use crate::quant::GgmlType;

/// Row ranges should begin at multiples of this: a tile that two callers share is unpacked twice.
pub const ROW_TILE: usize = 32;

/// From this many columns on, quantised weights go through tiles.
const TILE_FROM: usize = 5;

/// And float weights: transposing them pays later.
#[cfg(target_arch = "x86_64")]
const FLOAT_TILE_FROM: usize = 64;

/// What [`matmul`] wants its activations as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// Rows of k f32.
    F32,
    /// Rows made by [`quantize_act`].
    Q8,
}

/// The activations that weights of type `ty` are multiplied by.
pub const fn act_kind(ty: GgmlType) -> ActKind {
    match ty {
        GgmlType::F32 | GgmlType::F16 | GgmlType::BF16 => ActKind::F32,
        _ => ActKind::Q8,
    }
}

/// A weight matrix `[n_rows, k]` in the blocks of its file.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// Element type; [`GgmlType::is_computable`].
    pub ty: GgmlType,
    /// All rows, one after another; any alignment.
    pub data: &'a [u8],
    /// Elements of a row: whole blocks of `ty`.
    pub k: usize,
    /// Rows.
    pub n_rows: usize,
}

/// Activation rows, f32 or quantised as [`act_kind`] of the weight says.
#[derive(Clone, Copy, Debug)]
pub struct Acts<'a> {
    /// The first row begins at the first byte. Rows of f32 are aligned to 4; quantised rows to
    /// anything, 64 being fastest.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// Rows that are live: tokens.
    pub n: usize,
}

/// Bytes of scratch that [`matmul`] needs for each thread.
pub fn scratch_bytes(ty: GgmlType, k: usize, n_max: usize) -> usize {
    let need = match act_kind(ty) {
        ActKind::F32 => {
            let few = float::SCRATCH;
            #[cfg(target_arch = "x86_64")]
            let few = if n_max < FLOAT_TILE_FROM { few } else { few.max(float_tile::SCRATCH) };
            few
        }
        ActKind::Q8 => {
            let scalar = scalar::scratch_bytes(k);
            #[cfg(target_arch = "x86_64")]
            let scalar =
                if n_max < TILE_FROM { scalar } else { scalar.max(avx2::SCRATCH).max(avx512::SCRATCH) };
            #[cfg(target_arch = "aarch64")]
            let scalar = if n_max < TILE_FROM { scalar } else { scalar.max(neon::SCRATCH) };
            let _ = n_max;
            scalar
        }
    };
    need + SCRATCH_ALIGN
}

/// Kernels may want their scratch on a cache line.
const SCRATCH_ALIGN: usize = 64;

/// A checked call, as the kernels see it.
struct Job {
    /// The first weight row of the range.
    w: *const u8,
    /// Bytes of a weight row.
    w_stride: usize,
    k: usize,
    /// Rows of the range.
    rows: usize,
    x: *const u8,
    /// Bytes of an activation row.
    x_stride: usize,
    /// Columns.
    n: usize,
    /// Where the first row of the range meets column 0.
    dst: *mut f32,
    /// Elements from one column of `dst` to the next.
    dst_stride: usize,
    /// Aligned to `SCRATCH_ALIGN`, `scratch_bytes` long.
    scratch: *mut u8,
}

/// `dst[t * dst_stride + r] = dot(weight row r, act t)` for `r` in `rows` and `t` in `0..x.n`.
///
/// Several threads may call it for the same matrix on disjoint row ranges, each with its own
/// scratch of [`scratch_bytes`]. Nothing but the elements named is written.
///
/// # Safety
/// `dst` is valid for writes of the elements named, and nobody else touches them meanwhile.
/// `isa` is one of [`Isa::available`].
///
/// # Panics
/// When a slice is shorter than the sizes say, or the type is not computable.
pub unsafe fn matmul(
    isa: Isa,
    w: &Weight,
    rows: Range<usize>,
    x: &Acts,
    dst: *mut f32,
    dst_stride: usize,
    scratch: &mut [u8],
) {
    let w_stride = w.k / w.ty.block_len() * w.ty.block_bytes();
    assert!(w.k.is_multiple_of(w.ty.block_len()), "whole blocks of {}", w.ty.name());
    assert!(rows.start <= rows.end && rows.end <= w.n_rows, "rows within the matrix");
    assert!(w.data.len() / w.n_rows.max(1) >= w_stride, "all weight rows");
    if rows.is_empty() || x.n == 0 {
        return;
    }
    let x_row = match act_kind(w.ty) {
        ActKind::F32 => {
            assert!(x.data.as_ptr().cast::<f32>().is_aligned() && x.row_bytes.is_multiple_of(4));
            4 * w.k
        }
        ActKind::Q8 => act_row_bytes(w.k),
    };
    assert!(x.row_bytes >= x_row || x.n == 1, "activation rows do not overlap");
    assert!(x.data.len() >= (x.n - 1) * x.row_bytes + x_row, "all activation rows");
    let align = scratch.as_ptr().align_offset(SCRATCH_ALIGN);
    assert!(scratch.len() >= scratch_bytes(w.ty, w.k, x.n), "scratch");
    let job = Job {
        w: w.data[rows.start * w_stride..].as_ptr(),
        w_stride,
        k: w.k,
        rows: rows.len(),
        x: x.data.as_ptr(),
        x_stride: x.row_bytes,
        n: x.n,
        // SAFETY: the caller vouches for dst at the rows of the range.
        dst: unsafe { dst.add(rows.start) },
        dst_stride,
        // SAFETY: `scratch_bytes` includes the bytes lost to alignment.
        scratch: unsafe { scratch.as_mut_ptr().add(align) },
    };
    // SAFETY: the sizes were checked above, dst and isa by the caller.
    unsafe {
        match (act_kind(w.ty), isa) {
            (ActKind::F32, _) => float::matmul(isa, w.ty, &job),
            (ActKind::Q8, Isa::Scalar) => scalar::matmul(w.ty, &job),
            #[cfg(target_arch = "x86_64")]
            (ActKind::Q8, Isa::Avx2) => avx2::matmul(w.ty, &job),
            #[cfg(target_arch = "x86_64")]
            (ActKind::Q8, Isa::Avx512) => avx512::matmul(w.ty, &job),
            #[cfg(target_arch = "aarch64")]
            (ActKind::Q8, Isa::Neon) => neon::matmul(w.ty, &job),
            #[cfg(target_arch = "aarch64")]
            (ActKind::Q8, Isa::Dotprod) => neon::matmul_dotprod(w.ty, &job),
            (ActKind::Q8, other) => unreachable!("{other:?} on another architecture"),
        }
    }
}

/// The f16 with these bits.
#[inline(always)]
fn f16(bits: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bits).to_f32()
}
