//! A block token by token: every key and value that the token sees is read once from the cache
//! and used for all its heads. Bound by memory when there are few heads; this is generation.

// Loops over indices of several arrays at once, unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::super::simd::{Elem, Simd, prefetch};
use super::{
    Attention, BLOCK, Block, CHUNK, KvType, Q_STRIDE, ROWS, Scratch, Tile, low_bits, softmax, with_kv,
};

/// The cells of a block of which all are seen.
const IN_ORDER: [u8; BLOCK] = {
    let mut cells = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        cells[i] = i as u8;
        i += 1;
    }
    cells
};

/// Adds the block to every row of the tile.
///
/// # Safety
/// The rows of the tile are in `x`; cells of the block below `n_kv` are in the cache.
#[inline(always)]
pub(super) unsafe fn block<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch, b: &Block) {
    let (dk, dv) = (a.shape.head_dim_k, a.shape.head_dim_v);
    let first = part.h_kv * a.shape.n_cells + b.index * BLOCK;
    // SAFETY: the contract above; `first` is a cell of this block's head.
    unsafe {
        let k = a.k.add(first * dk * a.type_k.bytes());
        let v = a.v.add(first * dv * a.type_v.bytes());
        // Values come from memory while scores are computed.
        let ahead = (v, dv * a.type_v.bytes());
        for t in 0..part.n_tokens {
            let word = *b.words.add(t * a.mask_words) & b.in_use;
            if word == 0 {
                continue;
            }
            let n = word.count_ones() as usize;
            let mut list = [0u8; BLOCK];
            let cells = if word == low_bits(n) {
                &IN_ORDER[..n]
            } else {
                let mut rest = word;
                for cell in &mut list[..n] {
                    *cell = rest.trailing_zeros() as u8;
                    rest &= rest - 1;
                }
                &list[..n]
            };
            let row = t * part.n_heads;

            with_kv!(a.type_k, E => scores::<S, E>(k.cast(), dk, cells, x, row, part.n_heads, ahead));
            softmax::weigh::<S>(x, row, &[low_bits(n); ROWS][..part.n_heads]);
            with_kv!(a.type_v, E => values::<S, E>(v.cast(), dv, cells, x, row, part.n_heads));
        }
    }
}

/// `s[r][i] = q[r] . k[cells[i]]` for `n_heads` rows from `row` on. Meanwhile the same cells of
/// `ahead`, a pointer and the bytes of a cell there, are fetched.
#[inline(always)]
unsafe fn scores<S: Simd, E: Elem>(
    k: *const E,
    dk: usize,
    cells: &[u8],
    x: &Scratch,
    row: usize,
    n_heads: usize,
    ahead: (*const u8, usize),
) {
    let mut h = 0;
    while h < n_heads {
        let n = (n_heads - h).min(S::WIDE_ROWS);
        let ahead = if h == 0 { ahead } else { (ahead.0, 0) };
        // SAFETY: rows `row + h ..` of the tile; cells of the block.
        unsafe {
            let q = x.q.add((row + h) * Q_STRIDE);
            let s = x.s.add((row + h) * BLOCK);
            match n {
                1 => scores_of::<S, E, 1>(k, dk, cells, q, s, ahead),
                2 => scores_of::<S, E, 2>(k, dk, cells, q, s, ahead),
                3 => scores_of::<S, E, 3>(k, dk, cells, q, s, ahead),
                _ => scores_of::<S, E, 4>(k, dk, cells, q, s, ahead),
            }
        }
        h += n;
    }
}

#[inline(always)]
unsafe fn scores_of<S: Simd, E: Elem, const H: usize>(
    k: *const E,
    dk: usize,
    cells: &[u8],
    q: *const f32,
    s: *mut f32,
    (ahead, ahead_bytes): (*const u8, usize),
) {
    // SAFETY: `H` rows at `q` and `s`, and `cells` of the block at `k`, by the caller.
    unsafe {
        let mut i = 0;
        while i + 4 <= cells.len() {
            let at = |j: usize| k.add(usize::from(cells[i + j]) * dk);
            for &cell in &cells[i..i + 4] {
                for line in (0..ahead_bytes).step_by(64) {
                    prefetch(ahead.wrapping_add(usize::from(cell) * ahead_bytes + line));
                }
            }
            let dots = products::<S, E, H, 4>([at(0), at(1), at(2), at(3)], dk, q);
            for (h, dots) in dots.into_iter().enumerate() {
                let four = S::sum4(dots);
                s.add(h * BLOCK + i).cast::<[f32; 4]>().write_unaligned(four);
            }
            i += 4;
        }
        while i < cells.len() {
            let dots = products::<S, E, H, 1>([k.add(usize::from(cells[i]) * dk)], dk, q);
            for (h, dots) in dots.into_iter().enumerate() {
                *s.add(h * BLOCK + i) = S::sum(dots[0]);
            }
            i += 1;
        }
    }
}

/// Lane-wise partial sums of `H` queries times `C` keys.
#[inline(always)]
unsafe fn products<S: Simd, E: Elem, const H: usize, const C: usize>(
    k: [*const E; C],
    dk: usize,
    mut q: *const f32,
) -> [[S::V; C]; H] {
    // SAFETY: every access is below `dk`; queries are padded with zeros to whole vectors.
    unsafe {
        let mut acc = [[S::splat(0.0); C]; H];
        let mut from = 0;
        while from < dk {
            let end = (from + CHUNK).min(dk);
            let mut d = from;
            while d + S::N <= end {
                let mut kv = [S::splat(0.0); C];
                for c in 0..C {
                    kv[c] = E::load::<S>(k[c].add(d));
                }
                for h in 0..H {
                    let qv = S::load(q.add(h * Q_STRIDE + d - from));
                    for c in 0..C {
                        acc[h][c] = S::fma(qv, kv[c], acc[h][c]);
                    }
                }
                d += S::N;
            }
            if d < end {
                for c in 0..C {
                    let kv = E::load_part::<S>(k[c].add(d), end - d);
                    for h in 0..H {
                        let qv = S::load(q.add(h * Q_STRIDE + d - from));
                        acc[h][c] = S::fma(qv, kv, acc[h][c]);
                    }
                }
            }
            from = end;
            q = q.add(ROWS * Q_STRIDE);
        }
        acc
    }
}

/// `o[r] = o[r] * shrink[r] + sum_i s[r][i] v[cells[i]]` for `n_heads` rows from `row` on.
#[inline(always)]
unsafe fn values<S: Simd, E: Elem>(
    v: *const E,
    dv: usize,
    cells: &[u8],
    x: &Scratch,
    row: usize,
    n_heads: usize,
) {
    let mut h = 0;
    while h < n_heads {
        let n = (n_heads - h).min(S::WIDE_ROWS * 2);
        // SAFETY: rows `row + h ..` of the tile; cells of the block.
        unsafe {
            match n {
                1 => values_of::<S, E, 1, 4>(v, dv, cells, x, row + h),
                2 => values_of::<S, E, 2, 4>(v, dv, cells, x, row + h),
                3 => values_of::<S, E, 3, 2>(v, dv, cells, x, row + h),
                4 => values_of::<S, E, 4, 2>(v, dv, cells, x, row + h),
                5 => values_of::<S, E, 5, 2>(v, dv, cells, x, row + h),
                6 => values_of::<S, E, 6, 2>(v, dv, cells, x, row + h),
                7 => values_of::<S, E, 7, 2>(v, dv, cells, x, row + h),
                _ => values_of::<S, E, 8, 2>(v, dv, cells, x, row + h),
            }
        }
        h += n;
    }
}

#[inline(always)]
unsafe fn values_of<S: Simd, E: Elem, const H: usize, const W: usize>(
    v: *const E,
    dv: usize,
    cells: &[u8],
    x: &Scratch,
    row: usize,
) {
    let mut d = 0;
    // SAFETY: columns below `dv`, of rows that the caller vouches for.
    unsafe {
        while d + W * S::N <= dv {
            columns::<S, E, H, W>(v, dv, cells, x, row, d, S::N);
            d += W * S::N;
        }
        while d < dv {
            columns::<S, E, H, 1>(v, dv, cells, x, row, d, (dv - d).min(S::N));
            d += S::N;
        }
    }
}

/// `W` vectors of columns from `d` on; `width` is the number of columns in the last of them.
#[inline(always)]
unsafe fn columns<S: Simd, E: Elem, const H: usize, const W: usize>(
    v: *const E,
    dv: usize,
    cells: &[u8],
    x: &Scratch,
    row: usize,
    d: usize,
    width: usize,
) {
    // SAFETY: as for `values_of`; rows of `o` are padded to whole vectors.
    unsafe {
        let o = x.o.add(row * x.ld_v + d);
        let s = x.s.add(row * BLOCK);
        let mut acc = [[S::splat(0.0); W]; H];
        for h in 0..H {
            let shrink = S::splat(*x.shrink.add(row + h));
            for w in 0..W {
                acc[h][w] = S::mul(S::load(o.add(h * x.ld_v + w * S::N)), shrink);
            }
        }
        for (i, &cell) in cells.iter().enumerate() {
            let from = v.add(usize::from(cell) * dv + d);
            let mut vv = [S::splat(0.0); W];
            for w in 0..W {
                vv[w] = if w + 1 < W || width == S::N {
                    E::load::<S>(from.add(w * S::N))
                } else {
                    E::load_part::<S>(from.add(w * S::N), width)
                };
            }
            for h in 0..H {
                let p = S::splat(*s.add(h * BLOCK + i));
                for w in 0..W {
                    acc[h][w] = S::fma(p, vv[w], acc[h][w]);
                }
            }
        }
        for h in 0..H {
            for w in 0..W {
                S::store(o.add(h * x.ld_v + w * S::N), acc[h][w]);
            }
        }
    }
}
