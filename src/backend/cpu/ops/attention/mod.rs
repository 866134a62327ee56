//! Attention in one pass over the cache, with the softmax computed as it goes (Milakov and
//! Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135).
//!
//! `out[t][h] = sum_c softmax_c(scale * q[t][h] . k[c]) v[c]` over the cells `c` that token `t`
//! sees. Query rows (a token's query head each) are gathered into tiles that share one key and
//! value head. A tile walks the cache in blocks of 64 cells, one word of the mask; blocks that
//! nobody in the tile sees are not touched. Each row keeps its running maximum, sum and weighted
//! values in scratch, in units of `2^x`: the scores are scaled by `log2 e` beforehand.
//!
//! A block is worked on in one of two ways, whichever moves less: [`tile`] converts keys and
//! values to f32 panels once and runs register-blocked matrix products over all rows (prompts),
//! [`token`] takes them token by token straight from the cache (generation). Both leave the same
//! state, so they mix freely within a tile.
//!
//! A cell that a token does not see has no influence on its result, whatever its memory holds.
//!
//! Error: scores and sums are f32; against f64 on the same rounded cache, below 2e-6 of the
//! largest value up to 4096 cells.

mod softmax;
mod tile;
mod token;

use std::ops::Range;

use super::simd::{Elem, MAX_LANES, Simd, StoreElem};

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

/// What one half of the KV cache is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvType {
    /// IEEE half precision.
    F16,
    /// Single precision.
    F32,
}

impl KvType {
    /// Bytes of an element.
    pub const fn bytes(self) -> usize {
        match self {
            KvType::F16 => 2,
            KvType::F32 => 4,
        }
    }
}

/// Runs `$body` with `$E` standing for the element type of a cache half.
macro_rules! with_kv {
    ($ty:expr, $E:ident => $body:expr) => {
        match $ty {
            KvType::F16 => {
                type $E = half::f16;
                $body
            }
            KvType::F32 => {
                type $E = f32;
                $body
            }
        }
    };
}
use with_kv;

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

/// Attention of the tokens `tokens` and the query heads `heads`, which may belong to several key
/// heads. A token that sees no cell gets zeros.
///
/// Work is best cut by tokens for prompts (a few dozen each) and by heads in generation, along
/// whole groups that share a key head where there are enough.
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
    /// Keys of the block, transposed: see [`tile`].
    kt: *mut f32,
    /// Keys of the block by rows, then its values in panels: see [`tile`].
    kv: *mut f32,
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
    offsets: [usize; 8],
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
            BLOCK * dk.max(dv),
            ROWS,
            ROWS * MAX_LANES,
            ROWS,
        ];
        let mut offsets = [0; 8];
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
        let [q, o, s, kt, kv, max, sums, shrink] = layout.offsets.map(|o| base.wrapping_add(o).cast::<f32>());
        Scratch { q, o, s, kt, kv, max, sums, shrink, ld_v: shape.head_dim_v.next_multiple_of(32) }
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
            let b = Block { index: block, in_use, words, seen };
            let tiled = seeing * part.n_heads >= MIN_TILE_ROWS && tile::block::<S>(a, part, x, &b);
            if !tiled {
                token::block::<S>(a, part, x, &b);
            }
        }
        finish::<S>(a, part, x);
    }
}

/// A block of the cache as a tile sees it.
struct Block {
    /// Its first cell is `64 * index`.
    index: usize,
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
