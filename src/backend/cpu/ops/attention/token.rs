//! The scores of a block token by token, as inner products: every key is read once for a few of the
//! token's heads. For so few rows, transposing the keys would cost more than it saves; this is
//! generation.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::Simd;
use super::{Attention, BLOCK, Block, CHUNK, Q_STRIDE, ROWS, Scratch, Tile, cells, softmax, values};

/// Cells whose inner products are summed together.
const STEP: usize = 4;

/// Adds the block, which is in scratch, to every row of the tile.
///
/// # Safety
/// The rows of the tile are in `x`, and what the block's `seen` names of keys and values.
#[inline(always)]
pub(super) unsafe fn block<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch, b: &Block) {
    let (dk, dv, n_heads) = (a.shape.head_dim_k, a.shape.head_dim_v, part.n_heads);
    for t in 0..part.n_tokens {
        // SAFETY: the contract above; rows `row .. row + n_heads` are the token's.
        unsafe {
            let word = *b.words.add(t * a.mask_words) & b.in_use;
            if word == 0 {
                continue;
            }
            let row = t * n_heads;
            let mut h = 0;
            while h < n_heads {
                let n = (n_heads - h).min(S::WIDE_ROWS);
                match n {
                    1 => scores::<S, 1>(x, dk, word, row + h),
                    2 => scores::<S, 2>(x, dk, word, row + h),
                    3 => scores::<S, 3>(x, dk, word, row + h),
                    _ => scores::<S, 4>(x, dk, word, row + h),
                }
                h += n;
            }
            softmax::weigh::<S>(x, row, &[word; ROWS][..n_heads]);
            let mut list = [0; BLOCK];
            values::add_rows::<S>(x, dv, cells(word, &mut list), row, n_heads);
        }
    }
}

/// `s[r][c] = q[r] . k[c]` for `H` rows from `row` on and at least the cells in `word`.
#[inline(always)]
unsafe fn scores<S: Simd, const H: usize>(x: &Scratch, dk: usize, word: u64, row: usize) {
    let ld = dk.next_multiple_of(S::N);
    // SAFETY: `H` rows from `row` on; rows for all cells of a block, padded as queries are.
    unsafe {
        for c in (0..BLOCK).step_by(STEP).filter(|c| word >> c & 15 != 0) {
            let mut q = x.q.add(row * Q_STRIDE);
            let mut acc = [[S::splat(0.0); STEP]; H];
            let mut from = 0;
            while from < ld {
                let n = (ld - from).min(CHUNK);
                let k = x.k.add(c * ld + from);
                let mut d = 0;
                while d < n {
                    let mut kv = [S::splat(0.0); STEP];
                    for i in 0..STEP {
                        kv[i] = S::load(k.add(i * ld + d));
                    }
                    for h in 0..H {
                        let qv = S::load(q.add(h * Q_STRIDE + d));
                        for i in 0..STEP {
                            acc[h][i] = S::fma(qv, kv[i], acc[h][i]);
                        }
                    }
                    d += S::N;
                }
                from += n;
                q = q.add(ROWS * Q_STRIDE);
            }
            for h in 0..H {
                let to = x.s.add((row + h) * BLOCK + c);
                to.cast::<[f32; STEP]>().write_unaligned(S::sum4(acc[h]));
            }
        }
    }
}
