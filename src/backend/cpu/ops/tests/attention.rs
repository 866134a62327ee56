use std::ops::Range;

use super::super::*;
use super::{Rng, pack, unpack};
use crate::backend::cpu::Isa;

/// Error allowed, relative to the largest value.
const BOUND: f64 = 4e-6;

/// Types of keys and values: each on either side, alike and mixed.
const PAIRS: [(KvType, KvType); 6] = [
    (KvType::F16, KvType::F16),
    (KvType::F32, KvType::F32),
    (KvType::Bf16, KvType::Bf16),
    (KvType::Q8_0, KvType::Q8_0),
    (KvType::Q8_0, KvType::F32),
    (KvType::F16, KvType::Q8_0),
];

/// A micro-batch over a cache. Whatever no token sees holds NaN.
struct Case {
    shape: AttnShape,
    n_tokens: usize,
    n_kv: usize,
    mask: Vec<u64>,
    mask_words: usize,
    q: Vec<f32>,
    q_stride: usize,
    /// As f32; exactly representable in f16, and made so in the other types.
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn new(
        rng: &mut Rng,
        (n_head, n_head_kv): (usize, usize),
        (head_dim_k, head_dim_v): (usize, usize),
        (n_tokens, n_kv): (usize, usize),
        sees: impl Fn(&mut Rng, usize, usize) -> bool,
    ) -> Case {
        let n_cells = (n_kv + 1).next_multiple_of(64);
        let scale = 1.0 / (head_dim_k as f32).sqrt();
        let shape = AttnShape { n_head, n_head_kv, head_dim_k, head_dim_v, n_cells, scale };
        // Beyond the cells in use the mask is all ones and must not be believed.
        let mask_words = n_cells / 64 + 1;
        let mut mask = vec![u64::MAX; n_tokens * mask_words];
        let mut seen = vec![false; n_cells];
        for t in 0..n_tokens {
            for c in 0..n_kv {
                let see = sees(rng, t, c);
                seen[c] |= see;
                if !see {
                    mask[t * mask_words + c / 64] &= !(1 << (c % 64));
                }
            }
        }
        let q_stride = n_head * head_dim_k + 24;
        let mut q = vec![f32::NAN; n_tokens * q_stride];
        for row in q.chunks_mut(q_stride) {
            row[..n_head * head_dim_k].fill_with(|| 1.5 * rng.normal());
        }
        let mut cache = |dim: usize| {
            let mut x = vec![f32::NAN; n_head_kv * n_cells * dim];
            for (i, row) in x.chunks_mut(dim).enumerate() {
                if seen[i % n_cells] {
                    row.fill_with(|| half::f16::from_f32(rng.normal()).to_f32());
                }
            }
            x
        };
        let (k, v) = (cache(head_dim_k), cache(head_dim_v));
        Case { shape, n_tokens, n_kv, mask, mask_words, q, q_stride, k, v }
    }

    fn sees(&self, t: usize, c: usize) -> bool {
        self.mask[t * self.mask_words + c / 64] >> (c % 64) & 1 != 0
    }

    /// Runs the given parts; whatever they do not cover stays NaN. No gaps between rows.
    fn run_parts(
        &self,
        isa: Isa,
        types: (KvType, KvType),
        parts: &[(Range<usize>, Range<usize>)],
    ) -> Vec<f32> {
        let (k, v) = (pack(types.0, &self.k), pack(types.1, &self.v));
        let out_stride = self.shape.n_head * self.shape.head_dim_v;
        let mut out = vec![f32::NAN; self.n_tokens * out_stride];
        let a = Attention {
            shape: self.shape,
            type_k: types.0,
            type_v: types.1,
            q: self.q.as_ptr(),
            q_stride: self.q_stride,
            k: k.as_ptr(),
            v: v.as_ptr(),
            mask: &self.mask,
            mask_words: self.mask_words,
            n_kv: self.n_kv,
            out: out.as_mut_ptr(),
            out_stride,
        };
        for (tokens, heads) in parts {
            // All ones is NaN.
            let mut scratch = vec![0xFF; attention_scratch_bytes(&self.shape)];
            // SAFETY: the set is available; the buffers have the stated shapes.
            unsafe { attention(isa, &a, tokens.clone(), heads.clone(), &mut scratch) };
        }
        out
    }

    fn run(&self, isa: Isa, types: (KvType, KvType)) -> Vec<f32> {
        self.run_parts(isa, types, &[(0..self.n_tokens, 0..self.shape.n_head)])
    }

    /// The same over the values that the cache really holds.
    fn rounded(&self, types: (KvType, KvType)) -> Case {
        let again = |x: &[f32], ty| unpack(ty, &pack(ty, x));
        Case { k: again(&self.k, types.0), v: again(&self.v, types.1), ..shallow(self) }
    }

    /// Plain attention in f64.
    fn reference(&self) -> Vec<f64> {
        let s = &self.shape;
        let (dk, dv) = (s.head_dim_k, s.head_dim_v);
        let mut out = Vec::new();
        for t in 0..self.n_tokens {
            for h in 0..s.n_head {
                let first = h / (s.n_head / s.n_head_kv) * s.n_cells;
                let q = &self.q[t * self.q_stride + h * dk..][..dk];
                let cells: Vec<usize> = (0..self.n_kv).filter(|&c| self.sees(t, c)).collect();
                let score = |&c: &usize| -> f64 {
                    let k = &self.k[(first + c) * dk..][..dk];
                    let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    dot * f64::from(s.scale)
                };
                let scores: Vec<f64> = cells.iter().map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                let mut row = vec![0.0; dv];
                for (&c, s) in cells.iter().zip(&scores) {
                    let p = (s - max).exp() / sum;
                    for (o, &v) in row.iter_mut().zip(&self.v[(first + c) * dv..]) {
                        *o += p * f64::from(v);
                    }
                }
                out.extend(row);
            }
        }
        out
    }

    fn check(&self, what: &str) {
        for types in PAIRS {
            let whole = |ty, dim: usize| ty != KvType::Q8_0 || dim.is_multiple_of(32);
            if !whole(types.0, self.shape.head_dim_k) || !whole(types.1, self.shape.head_dim_v) {
                continue;
            }
            let want = self.rounded(types).reference();
            for &isa in Isa::available() {
                close(&format!("{what}, {isa:?}, {types:?}"), &self.run(isa, types), &want);
            }
        }
    }
}

fn close(what: &str, got: &[f32], want: &[f64]) {
    let largest = want.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs() / largest;
        assert!(error <= BOUND, "{what}: element {i} is {g}, should be {w}: error {error:.2e}");
    }
}

/// Tokens at the end of the cells in use, each seeing what comes before it.
fn causal(n_tokens: usize, n_kv: usize) -> impl Fn(&mut Rng, usize, usize) -> bool {
    move |_, t, c| c + n_tokens <= n_kv + t
}

#[test]
fn generation() {
    let mut rng = Rng(10);
    for heads in [(1, 1), (4, 2), (8, 2), (14, 2), (8, 1), (9, 3)] {
        for n_kv in [1, 3, 63, 64, 65, 200] {
            Case::new(&mut rng, heads, (64, 64), (1, n_kv), causal(1, n_kv)).check("one token");
        }
    }
}

#[test]
fn prompts() {
    let mut rng = Rng(11);
    for (heads, n_tokens, n_kv) in [
        ((2, 2), 40, 40),
        ((4, 2), 33, 100),
        ((8, 2), 64, 64),
        ((14, 2), 61, 190),
        ((8, 1), 7, 130),
        ((2, 1), 200, 260),
        ((3, 3), 193, 193),
    ] {
        Case::new(&mut rng, heads, (64, 64), (n_tokens, n_kv), causal(n_tokens, n_kv)).check("prompt");
    }
}

#[test]
fn head_sizes() {
    let mut rng = Rng(12);
    for dim in [8, 16, 24, 32, 40, 64, 72, 80, 96, 112, 128, 192, 256, 264, 520, 33] {
        for n_tokens in [1, 17] {
            let what = format!("head of {dim}, {n_tokens} tokens");
            Case::new(&mut rng, (4, 2), (dim, dim), (n_tokens, 90), causal(n_tokens, 90)).check(&what);
        }
    }
    for dims in [(192, 128), (64, 80), (576, 512)] {
        for n_tokens in [1, 17] {
            Case::new(&mut rng, (4, 2), dims, (n_tokens, 70), causal(n_tokens, 70)).check("unlike halves");
        }
    }
}

#[test]
fn any_mask() {
    let mut rng = Rng(13);
    for n_tokens in [1, 2, 5, 30] {
        for heads in [(2, 2), (14, 2)] {
            let shape = (n_tokens, 300);
            // Bits at random, from nearly none to nearly all.
            for density in [0.01, 0.5, 0.99] {
                Case::new(&mut rng, heads, (64, 64), shape, |r, _, _| r.unit() < density).check("random");
            }
            // Several sequences: interleaved cells, and runs of cells.
            Case::new(&mut rng, heads, (64, 64), shape, |_, t, c| c % 5 == t % 5).check("interleaved");
            Case::new(&mut rng, heads, (64, 64), shape, |_, t, c| c / 70 == t % 4).check("runs");
            // A sliding window.
            let window = |_: &mut Rng, t: usize, c: usize| (t + 200..t + 250).contains(&c);
            Case::new(&mut rng, heads, (64, 64), shape, window).check("window");
            // Some tokens see nothing at all.
            let case = Case::new(&mut rng, heads, (64, 64), shape, |_, t, c| t % 3 == 1 && c < 200);
            case.check("blind");
            let out = case.run(Isa::detect().unwrap(), (KvType::F16, KvType::F16));
            assert!(out[..heads.0 * 64].iter().all(|&x| x.to_bits() == 0), "a blind token gets zeros");
        }
    }
}

/// What a sequence holds, even infinities, must not leak into tokens that do not see it.
#[test]
fn sequences_are_isolated() {
    let mut rng = Rng(14);
    for n_tokens in [2, 40] {
        let sees = |_: &mut Rng, t: usize, c: usize| c % 2 == t % 2;
        let clean = Case::new(&mut rng, (4, 2), (64, 64), (n_tokens, 150), sees);
        let want = clean.reference();
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for halves in [(true, false), (false, true), (true, true)] {
                let mut case = Case { k: clean.k.clone(), v: clean.v.clone(), ..shallow(&clean) };
                for (on, x) in [(halves.0, &mut case.k), (halves.1, &mut case.v)] {
                    for (i, row) in x.chunks_mut(64).enumerate() {
                        if on && i % 2 == 1 {
                            row[i % 64] = poison;
                        }
                    }
                }
                for &isa in Isa::available() {
                    let got = case.run(isa, (KvType::F16, KvType::F32));
                    for t in (0..n_tokens).step_by(2) {
                        let row = t * 256..(t + 1) * 256;
                        close("isolated", &got[row.clone()], &want[row]);
                    }
                }
            }
        }
    }
}

fn shallow(c: &Case) -> Case {
    Case { mask: c.mask.clone(), q: c.q.clone(), k: Vec::new(), v: Vec::new(), ..*c }
}

/// A NaN that a token does see has to show.
#[test]
fn a_visible_nan_shows() {
    let mut rng = Rng(15);
    for n_tokens in [1, 20] {
        let mut case = Case::new(&mut rng, (2, 1), (64, 64), (n_tokens, 100), causal(n_tokens, 100));
        case.k[10 * 64 + 3] = f32::NAN;
        for &isa in Isa::available() {
            let out = case.run(isa, (KvType::F16, KvType::F16));
            assert!(out.iter().all(|x| x.is_nan()), "{isa:?}");
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let mut rng = Rng(16);
    for n_tokens in [1, 20] {
        let mut case = Case::new(&mut rng, (2, 1), (64, 64), (n_tokens, 200), causal(n_tokens, 200));
        case.shape.scale = 40.0;
        let want = case.reference();
        for &isa in Isa::available() {
            let got = case.run(isa, (KvType::F16, KvType::F16));
            for (&g, &w) in got.iter().zip(&want) {
                // Scores of thousands carry errors of 1e-4, so weights do too.
                assert!((f64::from(g) - w).abs() < 5e-3, "{isa:?}: {g} {w}");
            }
        }
    }
}

/// Parts of the work are written where they belong, and nothing else is.
#[test]
fn parts_make_the_whole() {
    let mut rng = Rng(17);
    let case = Case::new(&mut rng, (14, 2), (64, 64), (9, 130), causal(9, 130));
    let want = case.reference();
    let f16s = (KvType::F16, KvType::F16);
    for &isa in Isa::available() {
        let parts = [(0..3, 0..5), (0..3, 5..14), (3..9, 0..8), (3..9, 8..9), (3..9, 9..14)];
        close("parts", &case.run_parts(isa, f16s, &parts), &want);
        let one = case.run_parts(isa, f16s, &[(4..6, 3..9)]);
        for (i, x) in one.iter().enumerate() {
            let (t, h) = (i / (14 * 64), i / 64 % 14);
            assert_eq!(x.is_nan(), !((4..6).contains(&t) && (3..9).contains(&h)), "{t} {h}");
        }
        assert_eq!(case.run(isa, f16s), case.run(isa, f16s), "the same bits each time");
        let none = case.run_parts(isa, f16s, &[(0..0, 0..14), (0..9, 3..3)]);
        assert!(none.iter().all(|x| x.is_nan()));
    }
}

/// More heads on one key head than a tile has rows.
#[test]
fn wide_groups() {
    let mut rng = Rng(18);
    Case::new(&mut rng, (250, 1), (16, 16), (3, 100), causal(3, 100)).check("250 heads");
}

#[test]
fn long_context() {
    let mut rng = Rng(19);
    for n_tokens in [1, 24] {
        Case::new(&mut rng, (2, 1), (64, 64), (n_tokens, 4096), causal(n_tokens, 4096)).check("4096 cells");
    }
}

#[test]
fn no_cells_in_use() {
    let case = Case::new(&mut Rng(20), (2, 1), (64, 64), (3, 0), |_, _, _| true);
    for &isa in Isa::available() {
        let out = case.run(isa, (KvType::F16, KvType::F16));
        assert!(out.iter().all(|&x| x == 0.0));
    }
}
