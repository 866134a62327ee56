//! Writes of new keys and values to the KV cache.

use half::f16;

use super::KvType;
use super::elementwise::convert;
use super::simd::{Simd, StoreElem};

by_isa! {
    /// Writes one token's heads `row: [n_head_kv][head_dim]` to cell `cell` of the cache half
    /// `cache: [n_head_kv][n_cells][head_dim]` of type `ty`; f16 is rounded to nearest.
    /// `cell < n_cells`.
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
    // SAFETY: the caller's contract, passed on.
    unsafe {
        match ty {
            KvType::F16 => heads::<S, f16>(cache.cast(), n_cells, cell, row, n_head_kv, head_dim),
            KvType::F32 => heads::<S, f32>(cache.cast(), n_cells, cell, row, n_head_kv, head_dim),
        }
    }
}

#[inline(always)]
unsafe fn heads<S: Simd, E: StoreElem>(
    cache: *mut E,
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
            let to = cache.add((h * n_cells + cell) * head_dim);
            convert::<S, E, f32>(to, row.add(h * head_dim), head_dim);
        }
    }
}
