//! A block for all rows of a tile at once: keys and values become f32 panels in scratch, then two
//! register-blocked matrix products run over the rows. Bound by FMA throughput; this is prompts.
//!
//! A panel is two vectors wide. Keys are transposed, `[BLOCK / width][head_dim_k][width]`, so that
//! a vector holds the same element of neighbouring cells; values are
//! `[head_dim_v / width][BLOCK][width]`. One row group (`TILE_ROWS`) times one panel stays in
//! registers; its scores stay in the first-level cache while panels pass from the second.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::{Elem, Simd};
use super::{Attention, BLOCK, Block, CHUNK, KvType, Q_STRIDE, ROWS, Scratch, Tile};
use super::{low_bits, softmax, with_kv};

/// The largest [`Simd::TILE_ROWS`].
const MAX_GROUP: usize = 12;

/// Adds the block to every row of the tile, or does nothing and returns false: when a value that
/// some row does not see is not finite, a product with weight 0 would spread it.
///
/// # Safety
/// The rows of the tile are in `x`; cells of the block below `n_kv` are in the cache.
#[inline(always)]
pub(super) unsafe fn block<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch, b: &Block) -> bool {
    let (dk, dv) = (a.shape.head_dim_k, a.shape.head_dim_v);
    let first = part.h_kv * a.shape.n_cells + b.index * BLOCK;
    let n_rows = part.n_tokens * part.n_heads;
    let width = 2 * S::N;
    // SAFETY: the contract above; `first` is a cell of this block's head, and rows are padded to
    // whole groups in scratch.
    unsafe {
        let k = a.k.add(first * dk * a.type_k.bytes());
        let v = a.v.add(first * dv * a.type_v.bytes());
        with_kv!(a.type_k, E => load_keys::<S, E>(k.cast(), dk, b.seen, x));
        let finite = with_kv!(a.type_v, E => load_values::<S, E>(v.cast(), dv, b.seen, x));
        if !finite && !all_alike(a, part, b) {
            return false;
        }

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
            let end = BLOCK - seen.leading_zeros() as usize;
            let mut d = 0;
            while d < dv {
                let panel = x.kv.add(d * BLOCK);
                if dv - d > S::N {
                    value_group::<S, 2>(panel, end, x, row, d);
                } else {
                    value_group::<S, 1>(panel, end, x, row, d);
                }
                d += width;
            }
        }
        true
    }
}

/// Whether every token of the tile sees the same cells of the block.
#[inline(always)]
unsafe fn all_alike(a: &Attention<'_>, part: &Tile, b: &Block) -> bool {
    // SAFETY: `t` is a token of the tile.
    (0..part.n_tokens).all(|t| unsafe { *b.words.add(t * a.mask_words) } & b.in_use == b.seen)
}

/// Converts and transposes the keys of the cells in `seen`; the others become zeros.
#[inline(always)]
unsafe fn load_keys<S: Simd, E: Elem>(k: *const E, dk: usize, seen: u64, x: &Scratch) {
    let ld = dk.next_multiple_of(S::N);
    let width = 2 * S::N;
    // SAFETY: rows of `ld` floats for `BLOCK` cells fit either buffer; only cells seen are read.
    unsafe {
        for c in 0..BLOCK {
            let row = x.kv.add(c * ld);
            let mut d = 0;
            while d < dk {
                let v = if seen >> c & 1 == 0 {
                    S::splat(0.0)
                } else if dk - d >= S::N {
                    E::load::<S>(k.add(c * dk + d))
                } else {
                    E::load_part::<S>(k.add(c * dk + d), dk - d)
                };
                S::store(row.add(d), v);
                d += S::N;
            }
        }
        let mut c = 0;
        while c < BLOCK {
            let panel = x.kt.add(c / width * width * ld + c % width);
            let mut d = 0;
            while d < ld {
                S::transpose(x.kv.add(c * ld + d), ld, panel.add(d * width), width);
                d += S::N;
            }
            c += S::N;
        }
    }
}

/// Converts the values of the cells in `seen`; the others become zeros. Returns whether all are
/// finite.
#[inline(always)]
unsafe fn load_values<S: Simd, E: Elem>(v: *const E, dv: usize, seen: u64, x: &Scratch) -> bool {
    let width = 2 * S::N;
    // SAFETY: panels for `dv` rounded up to a vector fit the buffer; only cells seen are read.
    unsafe {
        let zero = S::splat(0.0);
        let mut check = zero;
        for c in 0..BLOCK {
            let mut d = 0;
            while d < dv {
                let val = if seen >> c & 1 == 0 {
                    zero
                } else if dv - d >= S::N {
                    E::load::<S>(v.add(c * dv + d))
                } else {
                    E::load_part::<S>(v.add(c * dv + d), dv - d)
                };
                // Zero times anything that is not finite is NaN.
                check = S::fma(val, zero, check);
                S::store(x.kv.add(d / width * width * BLOCK + c * width + d % width), val);
                d += S::N;
            }
        }
        !S::sum(check).is_nan()
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

/// `o[r ..][d ..] = o * shrink + s . v` for one row group, `W` vectors of one panel of values and
/// the first `end` cells.
#[inline(always)]
unsafe fn value_group<S: Simd, const W: usize>(
    panel: *const f32,
    end: usize,
    x: &Scratch,
    r: usize,
    d: usize,
) {
    // SAFETY: the group's rows are in scratch.
    unsafe {
        match S::TILE_ROWS {
            12 => value_tile::<S, 12, W>(panel, end, x, r, d),
            _ => value_tile::<S, 6, W>(panel, end, x, r, d),
        }
    }
}

#[inline(always)]
unsafe fn value_tile<S: Simd, const R: usize, const W: usize>(
    panel: *const f32,
    end: usize,
    x: &Scratch,
    row: usize,
    d: usize,
) {
    // SAFETY: `R` rows of `s` and `o`; `end` rows of the panel.
    unsafe {
        let s = x.s.add(row * BLOCK);
        let o = x.o.add(row * x.ld_v + d);
        let mut acc = [[S::splat(0.0); W]; R];
        for r in 0..R {
            let shrink = S::splat(*x.shrink.add(row + r));
            for w in 0..W {
                acc[r][w] = S::mul(S::load(o.add(r * x.ld_v + w * S::N)), shrink);
            }
        }
        let mut v = panel;
        for c in 0..end {
            let mut vv = [S::splat(0.0); W];
            for w in 0..W {
                vv[w] = S::load(v.add(w * S::N));
            }
            for r in 0..R {
                let p = S::splat(*s.add(r * BLOCK + c));
                for w in 0..W {
                    acc[r][w] = S::fma(p, vv[w], acc[r][w]);
                }
            }
            v = v.add(2 * S::N);
        }
        for r in 0..R {
            for w in 0..W {
                S::store(o.add(r * x.ld_v + w * S::N), acc[r][w]);
            }
        }
    }
}
