//! Attention in one pass over the cache, with the softmax computed as it goes (Milakov and
//! Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135).
//!
//! `out[t][h] = sum_c softmax_c(scale * q[t][h] . k[c]) v[c]` over the cells `c` that token `t`
//! sees. Query rows (a token's query head each) are gathered into tiles that share one key and
//! value head. A tile walks the cache in blocks of 64 cells, one word of the mask; blocks that
//! nobody in the tile sees are not touched. Each row keeps its running maximum, sum and weighted
//! values in scratch, in units of `2^x`: the scores are scaled by `log2 e` beforehand.
//!
//! The keys and values of a block that anybody sees become f32 in scratch, whatever their type in
//! the cache; what follows knows no types. Scores are computed in one of two ways, whichever moves
//! less: [`tile`] transposes the keys and runs register-blocked matrix products over all rows
//! (prompts), [`token`] takes the inner products of each token's queries (generation). Both leave
//! the same state, so they mix freely within a tile. Values are added in one way ([`values`]).
//!
//! A cell that a token does not see has no influence on its result, whatever its memory holds.
//!
//! Error: scores and sums are f32; against f64 on the same rounded cache, below 4e-6 of the
//! largest value up to 4096 cells.

mod softmax;
mod tile;
mod token;
mod values;

use std::ops::Range;

use super::kv::{KvType, load_row};
use super::simd::{Elem, MAX_LANES, Simd, StoreElem, prefetch};

/// Cells in a block: the bits of a word of the mask.
const BLOCK: usize = 64;
/// Query rows in a tile, at most; a multiple of every [`Simd::TILE_ROWS`].
const ROWS: usize = 192;
/// Elements of a query row that lie together; longer rows are cut into chunks.
const CHUNK: usize = 256;
/// Floats from one query row to the next within a chunk. A constant, so that a matrix product
/// addresses all its rows from one register; a line more than a power of two, so that they do
/// not fall into the same cache sets.
const Q_STRIDE: usize = CHUNK + 16;
/// Rows that see a block from which on [`tile`] is faster than [`token`].
const MIN_TILE_ROWS: usize = 12;
/// Vectors in scratch start at multiples of this.
const ALIGN: usize = 64;

/// Sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttnShape {
    /// Query heads; a multiple of `n_head_kv`. Heads `g * i ..  g * (i + 1)`, with
    /// `g = n_head / n_head_kv`, share key and value head `i`.
    pub n_head: usize,
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Elements of a query and of a key head.
    pub head_dim_k: usize,
    /// Elements of a value head.
    pub head_dim_v: usize,
    /// Cells the cache has room for: from one head to the next.
    pub n_cells: usize,
    /// Factor on the scores.
    pub scale: f32,
}

/// One layer's attention over a micro-batch: what every call for a part of it shares.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Sizes.
    pub shape: AttnShape,
    /// Type of the keys.
    pub type_k: KvType,
    /// Type of the values.
    pub type_v: KvType,
    /// `[n_tokens][n_head * head_dim_k]`, rows `q_stride` floats apart.
    pub q: *const f32,
    /// From one token's queries to the next, in floats.
    pub q_stride: usize,
    /// `[n_head_kv][n_cells][head_dim_k]`.
    pub k: *const u8,
    /// `[n_head_kv][n_cells][head_dim_v]`.
    pub v: *const u8,
    /// Bit `c % 64` of word `t * mask_words + c / 64` says that token `t` sees cell `c`.
    pub mask: &'a [u64],
    /// Words from one token's mask to the next.
    pub mask_words: usize,
    /// Cells in use: neither mask nor cache is read beyond.
    pub n_kv: usize,
    /// `[n_tokens][n_head * head_dim_v]`, rows `out_stride` floats apart.
    pub out: *mut f32,
    /// From one token's results to the next, in floats.
    pub out_stride: usize,
}

// SAFETY: it is only a description; whoever calls `attention` with it answers for the memory.
unsafe impl Send for Attention<'_> {}
// SAFETY: as above.
unsafe impl Sync for Attention<'_> {}

/// Bytes of scratch that [`attention`] needs; each thread has its own.
pub fn attention_scratch_bytes(shape: &AttnShape) -> usize {
    Scratch::layout(shape).bytes + ALIGN
}

/// Tokens of one key head's queries that fill a tile: the best size for a part of a prompt. Half
/// as many cost the conversion of keys and values twice.
pub fn attention_tile_tokens(shape: &AttnShape) -> usize {
    (ROWS * shape.n_head_kv / shape.n_head).max(1)
}

/// Attention of the tokens `tokens` and the query heads `heads`, which may belong to several key
/// heads. A token that sees no cell gets zeros.
///
/// Work is best cut by tokens for prompts ([`attention_tile_tokens`] each) and by heads in
/// generation, along whole groups that share a key head where there are enough.
///
/// # Safety
/// See the [module](crate::backend::cpu::ops). `q` and `out` hold the rows named by `tokens`;
/// of `out`, only `heads` of `tokens` are written, so disjoint parts may run at the same time.
///
/// # Panics
/// If `scratch`, `mask` or a range does not fit the sizes.
pub unsafe fn attention(
    isa: crate::backend::cpu::Isa,
    a: &Attention<'_>,
    tokens: Range<usize>,
    heads: Range<usize>,
    scratch: &mut [u8],
) {
    let s = &a.shape;
    assert!(scratch.len() >= attention_scratch_bytes(s), "attention scratch is too small");
    assert!(s.n_head_kv > 0 && s.n_head.is_multiple_of(s.n_head_kv), "heads do not form groups");
    assert!(heads.end <= s.n_head && a.n_kv <= s.n_cells, "heads or cells out of range");
    assert!(a.n_kv.div_ceil(BLOCK) <= a.mask_words, "mask rows are too short");
    assert!(tokens.end * a.mask_words <= a.mask.len(), "mask has too few rows");

    let group = s.n_head / s.n_head_kv;
    let scratch = Scratch::new(s, scratch);
    let mut h = heads.start;
    while h < heads.end {
        let h_kv = h / group;
        let n_heads = ((h_kv + 1) * group).min(heads.end).min(h + ROWS) - h;
        // As many tokens as fit a tile, evenly.
        let n_tiles = tokens.len().div_ceil(ROWS / n_heads).max(1);
        for i in 0..n_tiles {
            let at = |i: usize| tokens.start + tokens.len() * i / n_tiles;
            let part = Tile { t0: at(i), n_tokens: at(i + 1) - at(i), h0: h, n_heads, h_kv };
            // SAFETY: the caller's contract; the tile lies within `tokens` and `heads`.
            unsafe { attend(isa, a, &part, &scratch) }
        }
        h += n_heads;
    }
}

/// Query rows worked on together: heads of some tokens, all of one key head. Row `i` is head
/// `h0 + i % n_heads` of token `t0 + i / n_heads`.
struct Tile {
    t0: usize,
    n_tokens: usize,
    h0: usize,
    n_heads: usize,
    h_kv: usize,
}

/// Where everything lies in a thread's scratch.
struct Scratch {
    /// `[n_chunks][ROWS][Q_STRIDE]`: scaled queries, zeros up to a whole vector.
    q: *mut f32,
    /// `[ROWS][ld_v]`: weighted sums of values.
    o: *mut f32,
    /// `[ROWS][BLOCK]`: scores, then weights, of the block at hand.
    s: *mut f32,
    /// `[BLOCK][head_dim_k]`, rows padded to vectors: keys of the block.
    k: *mut f32,
    /// Keys of the block, transposed: see [`tile`].
    kt: *mut f32,
    /// Values of the block in panels: see [`values`].
    v: *mut f32,
    /// `[ROWS]`: running maximum of the scores.
    max: *mut f32,
    /// `[ROWS][MAX_LANES]`: running sums of the weights, lane by lane.
    sums: *mut f32,
    /// `[ROWS]`: how much the block shrank what was summed before.
    shrink: *mut f32,
    /// From one row of `o` to the next.
    ld_v: usize,
}

/// Offsets of [`Scratch`] in bytes.
struct Layout {
    offsets: [usize; 9],
    bytes: usize,
}

impl Scratch {
    fn layout(shape: &AttnShape) -> Layout {
        let dk = shape.head_dim_k.next_multiple_of(32);
        let dv = shape.head_dim_v.next_multiple_of(32);
        let floats = [
            dk.div_ceil(CHUNK) * ROWS * Q_STRIDE,
            ROWS * dv,
            ROWS * BLOCK,
            BLOCK * dk,
            BLOCK * dk,
            BLOCK * dv,
            ROWS,
            ROWS * MAX_LANES,
            ROWS,
        ];
        let mut offsets = [0; 9];
        let mut bytes = 0;
        for (offset, n) in offsets.iter_mut().zip(floats) {
            *offset = bytes;
            bytes += (4 * n).next_multiple_of(ALIGN);
        }
        Layout { offsets, bytes }
    }

    fn new(shape: &AttnShape, scratch: &mut [u8]) -> Scratch {
        let layout = Self::layout(shape);
        let skip = scratch.as_ptr().align_offset(ALIGN);
        // Checked by a slice: the parts lie within it, each at a multiple of `ALIGN`.
        let base = scratch[skip..skip + layout.bytes].as_mut_ptr();
        let [q, o, s, k, kt, v, max, sums, shrink] =
            layout.offsets.map(|o| base.wrapping_add(o).cast::<f32>());
        Scratch { q, o, s, k, kt, v, max, sums, shrink, ld_v: shape.head_dim_v.next_multiple_of(32) }
    }
}

by_isa! {
    /// One tile.
    unsafe fn attend(a: &Attention<'_>, part: &Tile, x: &Scratch) = attend_body
}

#[inline(always)]
unsafe fn attend_body<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch) {
    // SAFETY: rows are below `n_tokens * n_heads <= ROWS`; blocks hold only cells below `n_kv`.
    unsafe {
        start::<S>(a, part, x);
        for block in 0..a.n_kv.div_ceil(BLOCK) {
            let in_use = low_bits(a.n_kv - block * BLOCK);
            let words = a.mask.as_ptr().add(part.t0 * a.mask_words + block);
            let mut seen = 0;
            let mut seeing = 0;
            for t in 0..part.n_tokens {
                let word = *words.add(t * a.mask_words) & in_use;
                seen |= word;
                seeing += usize::from(word != 0);
            }
            if seen == 0 {
                continue;
            }
            let b = Block { in_use, words, seen };
            let finite = load::<S>(a, part.h_kv * a.shape.n_cells + block * BLOCK, seen, x);
            // A product with weight 0 would spread a value that is not finite to rows that do not
            // see it.
            if seeing * part.n_heads >= MIN_TILE_ROWS && (finite || all_alike(a, part, &b)) {
                tile::block::<S>(a, part, x, &b);
            } else {
                token::block::<S>(a, part, x, &b);
            }
        }
        finish::<S>(a, part, x);
    }
}

/// A block of the cache as a tile sees it.
struct Block {
    /// Bits of its cells below `n_kv`.
    in_use: u64,
    /// The first token's word; the others' are `mask_words` apart.
    words: *const u64,
    /// Cells that any token sees.
    seen: u64,
}

/// The lowest `n` bits; all of them from 64 on.
fn low_bits(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// Whether every token of the tile sees the same cells of the block.
#[inline(always)]
unsafe fn all_alike(a: &Attention<'_>, part: &Tile, b: &Block) -> bool {
    // SAFETY: `t` is a token of the tile.
    (0..part.n_tokens).all(|t| unsafe { *b.words.add(t * a.mask_words) } & b.in_use == b.seen)
}

/// The cells in `word`, ascending, written to `list` if they are not simply the first.
#[inline(always)]
fn cells(mut word: u64, list: &mut [u8; BLOCK]) -> &[u8] {
    let n = word.count_ones() as usize;
    if word == low_bits(n) {
        return &IN_ORDER[..n];
    }
    for cell in &mut list[..n] {
        *cell = word.trailing_zeros() as u8;
        word &= word - 1;
    }
    &list[..n]
}

static IN_ORDER: [u8; BLOCK] = {
    let mut cells = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        cells[i] = i as u8;
        i += 1;
    }
    cells
};

/// Converts the keys and values of the cells in `seen` of the block that begins at row `first` of
/// the cache. Returns whether all values are finite. Memory is asked for ahead: for the values
/// while keys are converted, for the next block's keys while values are.
#[inline(always)]
unsafe fn load<S: Simd>(a: &Attention<'_>, first: usize, seen: u64, x: &Scratch) -> bool {
    let (dk, dv) = (a.shape.head_dim_k, a.shape.head_dim_v);
    let (k_bytes, v_bytes) = (a.type_k.row_bytes(dk), a.type_v.row_bytes(dv));
    let (ld_k, width) = (dk.next_multiple_of(S::N), 2 * S::N);
    let mut list = [0; BLOCK];
    let cells = cells(seen, &mut list);
    // SAFETY: cells seen are below `n_kv`, and so in the cache; scratch has a row for each of a
    // block, padded to two vectors.
    unsafe {
        let (k, v) = (a.k.add(first * k_bytes), a.v.add(first * v_bytes));
        for c in cells.iter().map(|&c| usize::from(c)) {
            prefetch_row(v.wrapping_add(c * v_bytes), v_bytes);
            let to = x.k.add(c * ld_k);
            load_row::<S>(a.type_k, k.add(c * k_bytes), dk, |d, y| S::store(to.add(d), y));
        }
        let zero = S::splat(0.0);
        let mut check = zero;
        for c in cells.iter().map(|&c| usize::from(c)) {
            prefetch_row(k.wrapping_add((BLOCK + c) * k_bytes), k_bytes);
            let to = x.v.add(c * width);
            load_row::<S>(a.type_v, v.add(c * v_bytes), dv, |d, y| {
                // Zero times anything that is not finite is NaN.
                check = S::fma(y, zero, check);
                S::store(to.add(d / width * width * BLOCK + d % width), y);
            });
            if dv.next_multiple_of(S::N) % width != 0 {
                S::store(to.add(dv / width * width * BLOCK + S::N), zero);
            }
        }
        !S::sum(check).is_nan()
    }
}

/// Asks for a row of the cache; any address will do.
#[inline(always)]
fn prefetch_row(row: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        prefetch(row.wrapping_add(line));
    }
}

/// Gathers the queries and resets the rows' state.
#[inline(always)]
unsafe fn start<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch) {
    let dk = a.shape.head_dim_k;
    let n_rows = part.n_tokens * part.n_heads;
    // Matrix products take whole groups of rows; those beyond the last compute on zeros.
    let padded = n_rows.next_multiple_of(S::TILE_ROWS);
    // SAFETY: `padded <= ROWS`, since `ROWS` is a multiple of the step; the rest is the caller's.
    unsafe {
        let scale = S::splat(a.shape.scale * std::f32::consts::LOG2_E);
        for r in 0..padded {
            let (t, h) = (part.t0 + r / part.n_heads, part.h0 + r % part.n_heads);
            let mut d = 0;
            while d < dk {
                let to = x.q.add((d / CHUNK * ROWS + r) * Q_STRIDE + d % CHUNK);
                let v = if r >= n_rows {
                    S::splat(0.0)
                } else {
                    let from = a.q.add(t * a.q_stride + h * dk + d);
                    if dk - d >= S::N { S::load(from) } else { f32::load_part::<S>(from, dk - d) }
                };
                S::store(to, S::mul(v, scale));
                d += S::N;
            }
            let mut d = 0;
            while d < x.ld_v {
                S::store(x.o.add(r * x.ld_v + d), S::splat(0.0));
                d += S::N;
            }
            *x.max.add(r) = f32::NEG_INFINITY;
            S::store(x.sums.add(r * MAX_LANES), S::splat(0.0));
            *x.shrink.add(r) = 1.0;
        }
    }
}

/// Divides the weighted sums by the sums of weights.
#[inline(always)]
unsafe fn finish<S: Simd>(a: &Attention<'_>, part: &Tile, x: &Scratch) {
    let dv = a.shape.head_dim_v;
    for r in 0..part.n_tokens * part.n_heads {
        let (t, h) = (part.t0 + r / part.n_heads, part.h0 + r % part.n_heads);
        // SAFETY: `r` is a row of the tile; the caller vouches for its place in `out`.
        unsafe {
            let sum = S::sum(S::load(x.sums.add(r * MAX_LANES)));
            let factor = S::splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
            let from = x.o.add(r * x.ld_v);
            let to = a.out.add(t * a.out_stride + h * dv);
            let mut d = 0;
            while d < dv {
                let y = S::mul(S::load(from.add(d)), factor);
                if dv - d >= S::N {
                    S::store(to.add(d), y)
                } else {
                    f32::store_part::<S>(to.add(d), y, dv - d)
                }
                d += S::N;
            }
        }
    }
}
