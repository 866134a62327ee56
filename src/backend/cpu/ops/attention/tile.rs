//! The scores of a block for all rows of a tile at once: keys are transposed in scratch, then a
//! register-blocked matrix product runs over the rows. Bound by FMA throughput; this is prompts.
//!
//! A panel is two vectors wide: `[BLOCK / width][head_dim_k][width]`, so that a vector holds the
//! same element of neighbouring cells. One row group (`TILE_ROWS`) times one panel stays in
//! registers; its scores stay in the first-level cache while panels pass from the second.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::Simd;
use super::{Attention, BLOCK, Block, CHUNK, Q_STRIDE, ROWS, Scratch, Tile};
use super::{cells, low_bits, softmax, values};

/// The largest [`Simd::TILE_ROWS`].
const MAX_GROUP: usize = 12;

/// Adds the block, which is in scratch, to every row of the tile.
///
/// # Safety
/// The rows of the tile are in `x`, and what the block's `seen` names of keys and values.
#[inline(always)]
pub(super) unsafe fn block<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch, b: &Block) {
    let (dk, dv) = (a.shape.head_dim_k, a.shape.head_dim_v);
    let n_rows = part.n_tokens * part.n_heads;
    let width = 2 * S::N;
    // SAFETY: the contract above; rows are padded to whole groups in scratch.
    unsafe {
        transpose_keys::<S>(dk, b.seen, x);
        // Group by group, so that a group's scores do not leave the first-level cache.
        let (mut t, mut h) = (0, 0);
        for row in (0..n_rows).step_by(S::TILE_ROWS) {
            let mut words = [0; MAX_GROUP];
            let words = &mut words[..(n_rows - row).min(S::TILE_ROWS)];
            let mut seen = 0;
            for word in words.iter_mut() {
                *word = *b.words.add(t * a.mask_words) & b.in_use;
                seen |= *word;
                h += 1;
                if h == part.n_heads {
                    (t, h) = (t + 1, 0);
                }
            }
            if seen == 0 {
                continue;
            }
            let mut cell = 0;
            while cell < BLOCK {
                if seen & low_bits(width) << cell != 0 {
                    let panel = x.kt.add(cell * dk.next_multiple_of(S::N));
                    score_group::<S>(panel, dk, x, row, cell);
                }
                cell += width;
            }
            softmax::weigh::<S>(x, row, words);
            let mut list = [0; BLOCK];
            values::add_group::<S>(x, dv, cells(seen, &mut list), row);
        }
    }
}

/// Transposes the keys, in panels of cells of which any is in `seen`.
#[inline(always)]
unsafe fn transpose_keys<S: Simd>(dk: usize, seen: u64, x: &Scratch) {
    let ld = dk.next_multiple_of(S::N);
    let width = 2 * S::N;
    // SAFETY: rows of `ld` floats for `BLOCK` cells fit either buffer.
    unsafe {
        let mut c = 0;
        while c < BLOCK {
            if seen & low_bits(S::N) << c != 0 {
                let panel = x.kt.add(c / width * width * ld + c % width);
                let mut d = 0;
                while d < ld {
                    S::transpose(x.k.add(c * ld + d), ld, panel.add(d * width), width);
                    d += S::N;
                }
            }
            c += S::N;
        }
    }
}

/// `s[r ..][cell ..] = q . k` for one row group and one panel of keys.
#[inline(always)]
unsafe fn score_group<S: Simd>(panel: *const f32, dk: usize, x: &Scratch, r: usize, cell: usize) {
    // SAFETY: the group's rows are in scratch.
    unsafe {
        let q = x.q.add(r * Q_STRIDE);
        let s = x.s.add(r * BLOCK + cell);
        match S::TILE_ROWS {
            12 => score_tile::<S, 12>(panel, dk, q, s),
            _ => score_tile::<S, 6>(panel, dk, q, s),
        }
    }
}

#[inline(always)]
unsafe fn score_tile<S: Simd, const R: usize>(panel: *const f32, dk: usize, mut q: *const f32, s: *mut f32) {
    let width = 2 * S::N;
    // SAFETY: `R` rows at `q` and `s`; `dk` rows of the panel.
    unsafe {
        let mut acc = [[S::splat(0.0); 2]; R];
        let mut from = 0;
        let mut k = panel;
        while from < dk {
            let n = (dk - from).min(CHUNK);
            for d in 0..n {
                let k0 = S::load(k);
                let k1 = S::load(k.add(S::N));
                for r in 0..R {
                    let qv = S::splat(*q.add(r * Q_STRIDE + d));
                    acc[r][0] = S::fma(qv, k0, acc[r][0]);
                    acc[r][1] = S::fma(qv, k1, acc[r][1]);
                }
                k = k.add(width);
            }
            from += n;
            q = q.add(ROWS * Q_STRIDE);
        }
        for r in 0..R {
            S::store(s.add(r * BLOCK), acc[r][0]);
            S::store(s.add(r * BLOCK + S::N), acc[r][1]);
        }
    }
}
