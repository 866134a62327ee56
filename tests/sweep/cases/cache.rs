//! Writing and turning the cache, attention over it, and both with all that goes with them in a layer.

use std::sync::Arc;

use rocmforge::backend::{Inputs, KvLayer};
use rocmforge::graph::{Input, KvHalf, RopeStyle, TensorId};
use rocmforge::quant::GgmlType;
use rocmforge_testkit::rng::Rng;

use super::rows::params;
use super::{few_and_many, full, name, or_brief};
use crate::net::{Case, Net, Size};

const TYPES: [GgmlType; 4] = [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0];

/// Heads and their elements.
#[derive(Clone, Copy)]
struct Heads {
    n_head: usize,
    n_head_kv: usize,
    dim: usize,
}

impl Heads {
    fn layer(self) -> KvLayer {
        KvLayer { n_head_kv: self.n_head_kv, head_dim_k: self.dim, head_dim_v: self.dim }
    }

    fn fits(self, ty: GgmlType) -> bool {
        self.dim.is_multiple_of(ty.block_len())
    }
}

/// Which of the cells below `n_kv` tokens see: (token, cell, tokens, cells, random).
type Sees = Arc<dyn Fn(usize, usize, usize, usize, &mut Rng) -> bool + Send + Sync>;

/// Inputs of a run over `n_kv` cells: tokens are written to the last of them, and see themselves.
fn over(n_kv: usize, sees: Sees) -> impl Fn(&mut Inputs, &mut Rng) + Send {
    move |inputs, rng| {
        let (n, words) = (inputs.n_tokens, inputs.cell_shift.len() / 64);
        let n_kv = n_kv.max(n);
        inputs.n_kv = n_kv;
        inputs.cells = (0..inputs.cells.len()).map(|t| ((n_kv - n + t) % (words * 64)) as i32).collect();
        inputs.mask.fill(0);
        for (t, row) in inputs.mask.chunks_mut(words).enumerate().take(n) {
            for c in 0..n_kv {
                if c == n_kv - n + t || sees(t, c, n, n_kv, rng) {
                    row[c / 64] |= 1 << (c % 64);
                }
            }
        }
    }
}

/// What came before a token.
fn causal() -> Sees {
    Arc::new(|t, c, n, n_kv, _| c + n <= n_kv + t)
}

/// The same in a window.
fn window(w: usize) -> Sees {
    Arc::new(move |t, c, n, n_kv, _| c + n <= n_kv + t && c + n + w > n_kv + t)
}

/// Every other run of some cells: sequences side by side.
fn sequences(each: usize) -> Sees {
    Arc::new(move |t, c, n, n_kv, _| c + n <= n_kv + t && c / each % 3 == t % 3)
}

/// Some here and there.
fn holes() -> Sees {
    Arc::new(|t, c, n, n_kv, rng| c + n <= n_kv + t && rng.below(5) == 0)
}

/// Itself only.
fn alone() -> Sees {
    Arc::new(|_, _, _, _, _| false)
}

/// One cell far from its own.
fn first() -> Sees {
    Arc::new(|_, c, _, _, _| c == 0)
}

pub fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for dim in [8, 32, 40, 64, 96, 128, 256] {
        for ty in TYPES {
            let heads = Heads { n_head: 3, n_head_kv: 3, dim };
            if heads.fits(ty) {
                cases.push(writes(heads, ty));
                cases.push(shifts(heads, ty));
            }
        }
    }
    let tokens = or_brief(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 33, 64, 65], &[1, 3, 8, 33, 64]);
    for dim in [16, 32, 40, 64, 72, 80, 96, 112, 128, 256] {
        for ty in TYPES {
            let heads = Heads { n_head: 4, n_head_kv: 2, dim };
            if heads.fits(ty) {
                let name = format!("attention/dim={dim}/{}", name(ty));
                let case = Case::new(name).cache(heads.layer(), 256, ty);
                let case = attention(case, heads, &tokens, 200, causal());
                cases.push(attention(case, heads, &[(4, 1), (8, 5), (64, 40)], 130, holes()));
            }
        }
    }
    for (n_head, n_head_kv) in [
        (1, 1),
        (4, 4),
        (2, 1),
        (6, 2),
        (9, 3),
        (4, 1),
        (10, 2),
        (12, 2),
        (7, 1),
        (14, 2),
        (8, 1),
        (16, 2),
        (32, 1),
    ] {
        let heads = Heads { n_head, n_head_kv, dim: 64 };
        let name = format!("attention/heads={n_head}:{n_head_kv}");
        let case = Case::new(name).cache(
            heads.layer(),
            320,
            if n_head % 3 == 0 { GgmlType::Q8_0 } else { GgmlType::F16 },
        );
        let case = attention(case, heads, &tokens, 300, causal());
        // More cells than heads of a key share a block from.
        cases.push(attention(case, heads, &[(8, 8), (33, 20), (100, 77), (128, 128)], 177, sequences(7)));
        let case = Case::new(format!("attention/long/heads={n_head}:{n_head_kv}"));
        let case = case.cache(heads.layer(), 4608, GgmlType::F16);
        cases.push(attention(case, heads, &or_brief(&[1, 3, 8, 12], &[1, 8]), 4500, causal()));
    }
    for (what, sees) in [
        ("causal", causal()),
        ("window=1", window(1)),
        ("window=64", window(64)),
        ("window=100", window(100)),
        ("sequences=1", sequences(1)),
        ("sequences=64", sequences(64)),
        ("sequences=100", sequences(100)),
        ("holes", holes()),
        ("alone", alone()),
        ("first", first()),
    ] {
        let heads = Heads { n_head: 4, n_head_kv: 2, dim: 64 };
        let case = Case::new(format!("mask/{what}")).cache(heads.layer(), 1088, GgmlType::F16);
        let tokens = or_brief(&[1, 2, 8, 9, 33, 64, 200], &[1, 8, 64]);
        let case = attention(case, heads, &tokens, 1030, sees.clone());
        let case = attention(case, heads, &[(4, 2), (16, 9), (64, 33), (64, 63)], 65, sees.clone());
        cases.push(
            [1, 2, 63, 64, 65, 128, 129, 257]
                .iter()
                .fold(case, |case, &n_kv| attention(case, heads, &[(1, 1), (2, 1)], n_kv, sees.clone())),
        );
    }
    for ty in TYPES {
        let heads = Heads { n_head: 4, n_head_kv: 2, dim: 64 };
        let case = Case::new(format!("attention/many/{}", name(ty))).cache(heads.layer(), 768, ty);
        let sizes: &[Size] = if all { &[(200, 200), (512, 512), (512, 300)] } else { &[(256, 200)] };
        cases.push(attention(case, heads, sizes, 700, causal()));
        if all {
            let case = Case::new(format!("attention/very-long/{}", name(ty))).cache(heads.layer(), 32768, ty);
            let case = attention(case, heads, &full(&[1, 8, 9, 64]), 32700, causal());
            cases.push(attention(case, heads, &full(&[1, 7, 16]), 32001, window(5000)));
            for (dim, ratio) in [(128, (8, 2)), (80, (6, 2)), (256, (4, 1)), (112, (7, 1)), (96, (3, 1))] {
                let heads = Heads { n_head: ratio.0, n_head_kv: ratio.1, dim };
                if heads.fits(ty) {
                    let case = Case::new(format!("attention/many/dim={dim}/{}", name(ty)));
                    let case = case.cache(heads.layer(), 1024, ty);
                    cases.push(attention(case, heads, &[(200, 200), (512, 512), (512, 300)], 999, causal()));
                }
            }
        }
    }
    // Keys and values of different types.
    for k in TYPES {
        for v in TYPES.into_iter().filter(|&v| v != k) {
            let heads = Heads { n_head: 6, n_head_kv: 2, dim: 64 };
            let case = Case::new(format!("attention/mixed/{}-{}", name(k), name(v)));
            let case = case.cache(heads.layer(), 256, k).values(v);
            cases.push(attention(case, heads, &[(1, 1), (3, 3), (9, 9), (64, 50)], 200, causal()));
            cases.push(layer(heads, 64, [k, v]));
        }
    }
    // Of one token, all of a layer's attention is one launch where it can be.
    for (dim, n_rot, ratio) in [
        (64, 64, (4, 2)),
        (64, 32, (7, 1)),
        (128, 128, (8, 2)),
        (96, 96, (3, 1)),
        (40, 40, (4, 4)),
        (80, 32, (2, 2)),
    ]
    .into_iter()
    .chain([(64, 24, (4, 2)), (256, 256, (2, 1)), (128, 64, (12, 2)), (32, 32, (6, 2))])
    {
        for ty in TYPES {
            let heads = Heads { n_head: ratio.0, n_head_kv: ratio.1, dim };
            if heads.fits(ty) {
                cases.push(layer(heads, n_rot, [ty; 2]));
            }
        }
    }
    cases
}

fn halves(net: &mut Net<'_>, heads: Heads, [k, v]: [GgmlType; 2]) -> [TensorId; 2] {
    let ne = [heads.dim, net.n_cells(), heads.n_head_kv];
    [(KvHalf::K, k), (KvHalf::V, v)].map(|(half, ty)| net.kv(0, half, ty, ne))
}

/// Tokens to cells all over the cache.
fn scattered(inputs: &mut Inputs, rng: &mut Rng) {
    let n_cells = inputs.cell_shift.len();
    let (first, step) = (rng.below(n_cells), 1 + 2 * rng.below(n_cells / 2));
    // Odd steps through a power of two cells never meet.
    inputs.cells.iter_mut().enumerate().for_each(|(i, c)| *c = ((first + i * step) % n_cells) as i32);
}

fn writes(heads: Heads, ty: GgmlType) -> Case {
    let types = [ty; 2];
    let case = Case::new(format!("kv_write/dim={}/{}", heads.dim, name(ty))).cache(heads.layer(), 128, ty);
    case.fed(&few_and_many(), scattered, move |net| {
        let n = heads.dim * heads.n_head_kv;
        // Whole rows, and the last of three in a matrix.
        let (x, y) = (net.x(n), net.other(3 * n));
        let y = net.part(y, 2 * n, n);
        let cells = net.of_run(Input::Cells);
        for (kv, x) in halves(net, heads, types).into_iter().zip([x, y]) {
            let x = net.heads(x, heads.dim);
            net.kv_write(kv, x, cells);
        }
        vec![]
    })
}

/// Some cells move, by different steps either way.
fn shifts(heads: Heads, ty: GgmlType) -> Case {
    let types = [ty; 2];
    let case = Case::new(format!("kv_rope/dim={}/{}", heads.dim, name(ty))).cache(heads.layer(), 192, ty);
    [(RopeStyle::Norm, heads.dim), (RopeStyle::Neox, heads.dim), (RopeStyle::Neox, heads.dim / 2)]
        .into_iter()
        .fold(case, |case, (style, n_rot)| {
            let feed = |inputs: &mut Inputs, rng: &mut Rng| {
                inputs.n_kv = 130;
                for shift in &mut inputs.cell_shift {
                    *shift = [0, 0, -3, 1000, -100_000, rng.below(4096) as i32][rng.below(6)];
                }
            };
            case.fed(&[(1, 1)], feed, move |net| {
                let shift = net.of_run(Input::CellShift);
                let table = net.rope_table(shift, params(n_rot), None);
                let [k, _] = halves(net, heads, types);
                net.kv_rope(k, table, style);
                vec![]
            })
        })
}

/// Attention of random queries over random cells.
fn attention(case: Case, heads: Heads, sizes: &[Size], n_kv: usize, sees: Sees) -> Case {
    let types = [case.kv.type_k, case.kv.type_v];
    case.fed(sizes, over(n_kv, sees), move |net| {
        let n = heads.n_head * heads.dim;
        // Queries of some size: scores of some tens, and of next to nothing.
        let x = net.x(n + 8);
        let q = net.part(x, 8, n);
        let q = net.heads(q, heads.dim);
        let [k, v] = halves(net, heads, types);
        let mask = net.of_run(Input::Mask);
        let scale = 1.0 / (heads.dim as f32).sqrt();
        vec![net.attention(q, k, v, mask, scale)]
    })
}

/// A layer's attention: products, norms of heads or none, rotation, cache, attention and the product behind it.
fn layer(heads: Heads, n_rot: usize, types: [GgmlType; 2]) -> Case {
    let kv = if types[0] == types[1] { name(types[0]) } else { types.map(name).join("-") };
    let name = format!("layer/dim={}/rot={n_rot}/heads={}/{kv}", heads.dim, heads.n_head);
    let case = Case::new(name).cache(heads.layer(), 192, types[0]).values(types[1]);
    let kinds =
        [(RopeStyle::Norm, false, false), (RopeStyle::Neox, false, true), (RopeStyle::Neox, true, false)];
    kinds.into_iter().fold(case, |case, (style, normed, one)| {
        let sizes = [or_brief(&[1, 2, 8, 9, 33], &[1, 9]), vec![(4, 3), (64, 40)]].concat();
        case.fed(&sizes, over(150, causal()), move |net| {
            let w = GgmlType::Q8_0;
            let (n, n_kv) = (heads.n_head * heads.dim, heads.n_head_kv * heads.dim);
            let x = net.x(256);
            let row = net.row(256);
            let h = net.rms_norm(x, 1e-5);
            let h = net.mul(h, row);
            let [q, k, v] = match one {
                // One matrix for all three.
                true => {
                    let w = net.matrix(w, [256, n + 2 * n_kv, 1]);
                    let qkv = net.mat_mul(w, h);
                    [(0, n), (n, n_kv), (n + n_kv, n_kv)].map(|(first, n)| net.part(qkv, first, n))
                }
                false => [n, n_kv, n_kv].map(|m| {
                    let w = net.matrix(w, [256, m, 1]);
                    let y = net.mat_mul(w, h);
                    let bias = net.row(m);
                    net.add(y, bias)
                }),
            };
            let [q, k, v] = [q, k, v].map(|x| net.heads(x, heads.dim));
            let [q, k] = match normed {
                true => [q, k].map(|x| {
                    let row = net.row(heads.dim);
                    let x = net.rms_norm(x, 1e-6);
                    net.mul(x, row)
                }),
                false => [q, k],
            };
            let positions = net.of_run(Input::Positions);
            let table = net.rope_table(positions, params(n_rot), None);
            let (q, k) = (net.rope(q, table, style), net.rope(k, table, style));
            let cells = net.of_run(Input::Cells);
            let [keys, values] = halves(net, heads, types);
            let (keys, values) = (net.kv_write(keys, k, cells), net.kv_write(values, v, cells));
            let mask = net.of_run(Input::Mask);
            let y = net.attention(q, keys, values, mask, 1.0 / (heads.dim as f32).sqrt());
            let w = if n.is_multiple_of(32) { w } else { GgmlType::F16 };
            let w = net.matrix(w, [n, 96, 1]);
            let y = net.mat_mul(w, y);
            let other = net.other(96);
            vec![net.add(y, other)]
        })
    })
}
