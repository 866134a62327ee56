//! Weighted values: the second half of a block's work, for a few rows or a whole group.
//!
//! Values lie in panels, `[head_dim_v / width][BLOCK][width]`, two vectors wide.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::Simd;
use super::{BLOCK, Scratch};

/// `o[r] = o[r] * shrink[r] + sum_c s[r][c] v[c]` over `cells`, for the `TILE_ROWS` rows from `row`.
///
/// # Safety
/// The rows are in `x`, and the values of the cells.
#[inline(always)]
pub(super) unsafe fn add_group<S: Simd>(x: &Scratch, dv: usize, cells: &[u8], row: usize) {
    // SAFETY: the contract above.
    unsafe {
        match S::TILE_ROWS {
            12 => rows::<S, 12>(x, dv, cells, row),
            _ => rows::<S, 6>(x, dv, cells, row),
        }
    }
}

/// The same for `n` rows.
///
/// # Safety
/// As [`add_group`].
#[inline(always)]
pub(super) unsafe fn add_rows<S: Simd>(x: &Scratch, dv: usize, cells: &[u8], row: usize, n: usize) {
    let mut i = 0;
    while i < n {
        // SAFETY: the contract above.
        unsafe {
            match n - i {
                1 => rows::<S, 1>(x, dv, cells, row + i),
                2 => rows::<S, 2>(x, dv, cells, row + i),
                3 => rows::<S, 3>(x, dv, cells, row + i),
                _ => rows::<S, 4>(x, dv, cells, row + i),
            }
        }
        i += (n - i).min(4);
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, const R: usize>(x: &Scratch, dv: usize, cells: &[u8], row: usize) {
    let width = 2 * S::N;
    // SAFETY: rows of `o` are padded to 32 floats, a multiple of `width`; so are the values.
    unsafe {
        let s = x.s.add(row * BLOCK);
        let mut shrink = [0.0; R];
        for r in 0..R {
            shrink[r] = *x.shrink.add(row + r);
        }
        let mut d = 0;
        while d < dv {
            let o = x.o.add(row * x.ld_v + d);
            let v = x.v.add(d * BLOCK);
            let mut acc = [[S::splat(0.0); 2]; R];
            for r in 0..R {
                for w in 0..2 {
                    acc[r][w] = S::mul(S::load(o.add(r * x.ld_v + w * S::N)), S::splat(shrink[r]));
                }
            }
            for c in cells.iter().map(|&c| usize::from(c)) {
                let v = v.add(c * width);
                let (v0, v1) = (S::load(v), S::load(v.add(S::N)));
                for r in 0..R {
                    let p = S::splat(*s.add(r * BLOCK + c));
                    acc[r][0] = S::fma(p, v0, acc[r][0]);
                    acc[r][1] = S::fma(p, v1, acc[r][1]);
                }
            }
            for r in 0..R {
                for w in 0..2 {
                    S::store(o.add(r * x.ld_v + w * S::N), acc[r][w]);
                }
            }
            d += width;
        }
    }
}
