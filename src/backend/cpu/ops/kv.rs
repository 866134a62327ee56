//! Rows of the KV cache, one head of one cell each: their types, writing, reading, and rotation in
//! place.
//!
//! A row of `head_dim` elements lies in the cache as its type's blocks do in a file: single
//! elements for the floats, blocks of 32 with one f16 scale for Q8_0.
//!
//! Error: f16 and bf16 are rounded to nearest; an element of Q8_0 is off by at most half a step of
//! `max|x| / 127` over its block, and by what rounding the scale to f16 adds (2^-11 of the value).

use half::{bf16, f16};

use super::elementwise::convert;
use super::rope::rope_body;
use super::simd::{Elem, MAX_LANES, Simd, StoreElem};
use crate::graph::RopeStyle;
use crate::quant::{BlockQ8_0, QK8_0};

/// What one half of the KV cache is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Blocks of 32 bytes with a scale; a row is whole blocks.
    Q8_0,
}

impl KvType {
    /// Bytes of a row of `n` elements.
    pub const fn row_bytes(self, n: usize) -> usize {
        match self {
            KvType::F32 => 4 * n,
            KvType::F16 | KvType::Bf16 => 2 * n,
            KvType::Q8_0 => n / QK8_0 * size_of::<BlockQ8_0>(),
        }
    }
}

by_isa! {
    /// Writes one token's heads `row: [n_head_kv][head_dim]` to cell `cell` of the cache half
    /// `cache: [n_head_kv][n_cells][head_dim]` of type `ty`. `cell < n_cells`.
    pub unsafe fn kv_write(
        ty: KvType, cache: *mut u8, n_cells: usize, cell: usize,
        row: *const f32, n_head_kv: usize, head_dim: usize,
    ) = kv_write_body
}

#[inline(always)]
unsafe fn kv_write_body<S: Simd>(
    ty: KvType,
    cache: *mut u8,
    n_cells: usize,
    cell: usize,
    row: *const f32,
    n_head_kv: usize,
    head_dim: usize,
) {
    debug_assert!(cell < n_cells);
    for h in 0..n_head_kv {
        // SAFETY: `h` and `cell` are below the dimensions of the cache and of the row.
        unsafe {
            let to = cache.add((h * n_cells + cell) * ty.row_bytes(head_dim));
            store_row::<S>(ty, to, row.add(h * head_dim), head_dim);
        }
    }
}

by_isa! {
    /// Rotates the key `row: [head_dim]` of type `ty` by a row of the table, `table: [n_rot]`;
    /// see [`rope`](super::rope()). `scratch` is `[head_dim]`.
    pub unsafe fn kv_rope(
        ty: KvType, style: RopeStyle, row: *mut u8, table: *const f32,
        head_dim: usize, n_rot: usize, scratch: *mut f32,
    ) = kv_rope_body
}

#[inline(always)]
unsafe fn kv_rope_body<S: Simd>(
    ty: KvType,
    style: RopeStyle,
    row: *mut u8,
    table: *const f32,
    head_dim: usize,
    n_rot: usize,
    scratch: *mut f32,
) {
    // SAFETY: the row and the scratch have `head_dim` elements, says the caller.
    unsafe {
        load_row::<S>(ty, row, head_dim, |d, x| {
            if head_dim - d >= S::N {
                S::store(scratch.add(d), x)
            } else {
                f32::store_part::<S>(scratch.add(d), x, head_dim - d)
            }
        });
        rope_body::<S>(style, scratch, scratch, table, 1, head_dim, n_rot);
        store_row::<S>(ty, row, scratch, head_dim);
    }
}

/// Rounds the `n` elements at `from` to a row of type `ty`.
#[inline(always)]
unsafe fn store_row<S: Simd>(ty: KvType, to: *mut u8, from: *const f32, n: usize) {
    // SAFETY: `n` elements at either side; for Q8_0 they are whole blocks, of alignment 2 as are
    // all rows of the cache.
    unsafe {
        match ty {
            KvType::F32 => convert::<S, f32, f32>(to.cast(), from, n),
            KvType::F16 => convert::<S, f16, f32>(to.cast(), from, n),
            KvType::Bf16 => {
                let to: *mut bf16 = to.cast();
                for i in 0..n {
                    *to.add(i) = bf16::from_f32(*from.add(i));
                }
            }
            KvType::Q8_0 => {
                let to: *mut BlockQ8_0 = to.cast();
                for b in 0..n / QK8_0 {
                    *to.add(b) = quantize::<S>(&*from.add(b * QK8_0).cast());
                }
            }
        }
    }
}

/// One block; with a scale of NaN if any element is not finite, so that the damage shows.
#[inline(always)]
unsafe fn quantize<S: Simd>(x: &[f32; QK8_0]) -> BlockQ8_0 {
    // As integers, magnitudes order like floats, with infinity and NaN above all others.
    let max = f32::from_bits(x.iter().fold(0, |m, v| m.max(v.to_bits() & 0x7fff_ffff)));
    if !max.is_finite() {
        return BlockQ8_0 { d: f16::NAN.to_bits(), qs: [0; QK8_0] };
    }
    let d = max / 127.0;
    // Below this the inverse overflows, and as f16 the scale is zero anyway.
    let id = if d > 1e-30 { 1.0 / d } else { 0.0 };
    // Adding 1.5 * 2^23 leaves no bits for a fraction.
    const MAGIC: f32 = 12_582_912.0;
    let mut qs = [0; QK8_0];
    for (q, v) in qs.iter_mut().zip(x) {
        *q = ((v * id + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32) as i8;
    }
    let mut half = [f16::ZERO; MAX_LANES];
    // SAFETY: the vector is at most `MAX_LANES` long; the instruction set is the caller's.
    unsafe { S::store_f16(half.as_mut_ptr(), S::splat(d)) };
    BlockQ8_0 { d: half[0].to_bits(), qs }
}

/// Gives `put` the row of `n` elements at `from`, as f32, vector by vector: the place of its first
/// element, and the vector, with zeros past the end of the row.
#[inline(always)]
pub(super) unsafe fn load_row<S: Simd>(
    ty: KvType,
    from: *const u8,
    n: usize,
    mut put: impl FnMut(usize, S::V),
) {
    // SAFETY: `n` elements at `from`; for Q8_0 they are whole blocks.
    unsafe {
        match ty {
            KvType::F32 => floats::<S, f32>(from.cast(), n, put),
            KvType::F16 => floats::<S, f16>(from.cast(), n, put),
            KvType::Bf16 => floats::<S, bf16>(from.cast(), n, put),
            KvType::Q8_0 => {
                let mut d = 0;
                while d < n {
                    let block: *const BlockQ8_0 = from.cast::<BlockQ8_0>().add(d / QK8_0);
                    // The vector that begins with the scale lies within the block.
                    let scale = S::splat(S::first(S::load_f16(block.cast())));
                    let q = (&raw const (*block).qs).cast::<i8>();
                    let mut i = 0;
                    while i < QK8_0 {
                        put(d + i, S::mul(S::load_i8(q.add(i)), scale));
                        i += S::N;
                    }
                    d += QK8_0;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn floats<S: Simd, E: Elem>(from: *const E, n: usize, mut put: impl FnMut(usize, S::V)) {
    let mut d = 0;
    // SAFETY: every access is below `n`.
    unsafe {
        while d + S::N <= n {
            put(d, E::load::<S>(from.add(d)));
            d += S::N;
        }
        if d < n {
            put(d, E::load_part::<S>(from.add(d), n - d));
        }
    }
}
