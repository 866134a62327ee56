//! Rows of matrices, norms, what is done element by element, and rotations.

use rocmforge::backend::Inputs;
use rocmforge::graph::{Extent, Input, RopeParams, RopeStyle};
use rocmforge::quant::GgmlType;
use rocmforge_testkit::rng::Rng;

use super::{few_and_many, full, name, types};
use crate::net::{Case, N_ROWS, noise};

pub fn params(n_rot: usize) -> RopeParams {
    RopeParams {
        n_rot,
        freq_base: 10_000.0,
        freq_scale: 1.0,
        ext_factor: 0.0,
        attn_factor: 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        n_ctx_orig: 4096,
    }
}

pub fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for ty in types() {
        let lengths: &[usize] = match ty.block_len() {
            1 => &[1, 7, 33, 256, 1025, 8193, 16400],
            32 => &[32, 96, 1056, 8224, 16416],
            _ => &[256, 768, 1280, 8448, 16640],
        };
        for &k in lengths {
            let case = Case::new(format!("get_rows/{}/k={k}", name(ty)));
            let sizes = if k < 2000 { few_and_many() } else { full(&[1, 5, 9]) };
            cases.push(case.program(&sizes, move |net| {
                let table = net.matrix(ty, [k, N_ROWS, 1]);
                let ids = net.of_run(Input::Tokens);
                vec![net.get_rows(table, ids)]
            }));
        }
    }
    for n in [1, 2, 3, 31, 32, 33, 64, 100, 255, 256, 1000, 1023, 1024, 1025, 2048, 4097, 11008] {
        cases.push(elementwise(n));
        cases.push(norms(n));
    }
    // Rows that are packed: a product of 32 rows shows what every group was packed to.
    for n in [32, 64, 96, 992, 1024, 1056, 4096, 4128] {
        cases.push(packed(n));
    }
    if all {
        cases.push(packed(32768));
        let many = Case::new("norm/4096").program(&[(4096, 4096), (4096, 4000)], |net| {
            let x = net.x(130);
            vec![net.rms_norm(x, 1e-6)]
        });
        cases.push(many);
    }
    cases.extend([selected(), hidden(), extremes()]);
    for (dim, n_rot) in [(16, 16), (64, 64), (64, 32), (64, 24), (40, 40), (72, 18), (80, 20), (96, 96)]
        .into_iter()
        .chain([(112, 2), (128, 128), (128, 64), (256, 256), (256, 66)])
    {
        cases.push(rope(dim, n_rot));
    }
    cases.extend([tables(), tables_with_factors()]);
    cases
}

fn elementwise(n: usize) -> Case {
    let sizes = if n < 300 { few_and_many() } else { full(&[1, 3, 9]) };
    Case::new(format!("elementwise/n={n}")).program(&sizes, move |net| {
        let (x, y, row) = (net.x(n), net.other(n), net.row(n));
        let add = net.add(x, y);
        let (scaled, moved) = (net.mul(x, row), net.add(y, row));
        let mul = net.mul(x, y);
        let (silu, gated) = (net.silu(y), net.swiglu(y, x));
        vec![add, mul, scaled, moved, silu, gated]
    })
}

fn norms(n: usize) -> Case {
    let sizes = if n < 300 { few_and_many() } else { full(&[1, 3, 9]) };
    Case::new(format!("norm/n={n}"))
        .program(&sizes, move |net| {
            let x = net.x(n);
            let w = net.row(n);
            let (plain, small) = (net.rms_norm(x, 1e-5), net.rms_norm(x, 0.5));
            vec![plain, net.mul(small, w)]
        })
        // Each head of a token, of queries and keys in one matrix.
        .program(&sizes, move |net| {
            let x = net.x(5 * n);
            let w = net.row(n);
            let heads = net.heads(x, n);
            let plain = net.rms_norm(heads, 1e-6);
            let normed = net.mul(plain, w);
            let shape = [3 * n, net.ne(x)[1], 1, 1];
            let middle = net.part(x, n, 3 * n);
            let part = net.heads(middle, n);
            let part = net.rms_norm(part, 1e-6);
            let capacity = net.n_tokens;
            let normed = net.reshape(normed, [5 * n, capacity, 1, 1]);
            let part = net.reshape(part, shape);
            let sum = net.add(normed, x);
            let part = net.silu(part);
            vec![sum, part]
        })
}

/// Rows packed as they are, by a norm, and by a gate.
fn packed(n: usize) -> Case {
    let sizes = if n < 300 { few_and_many() } else { full(&[1, 3, 9, 64]) };
    Case::new(format!("packed/n={n}"))
        .program(&sizes, move |net| {
            let x = net.x(n);
            let w = net.matrix(GgmlType::Q8_0, [n, 32, 1]);
            vec![net.mat_mul(w, x)]
        })
        .program(&sizes, move |net| {
            let (x, w) = (net.x(n), net.matrix(GgmlType::Q8_0, [n, 32, 1]));
            let row = net.row(n);
            let x = net.rms_norm(x, 1e-5);
            let x = net.mul(x, row);
            vec![net.mat_mul(w, x)]
        })
        .program(&sizes, move |net| {
            let (x, y, w) = (net.x(n), net.other(n), net.matrix(GgmlType::Q8_0, [n, 32, 1]));
            let x = net.swiglu(x, y);
            vec![net.mat_mul(w, x)]
        })
}

/// Rows that are chosen of what a graph made, and fewer of them than tokens.
fn selected() -> Case {
    let feed = |inputs: &mut Inputs, rng: &mut Rng| {
        inputs.output_ids.iter_mut().for_each(|id| *id = rng.below(inputs.n_tokens) as i32);
    };
    Case::new("selected").fed(&few_and_many(), feed, |net| {
        let x = net.x(257);
        let x = net.silu(x);
        let ids = net.of_run(Input::OutputIds);
        let y = net.get_rows(x, ids);
        let z = net.silu(y);
        vec![y, z]
    })
}

/// Rows that an earlier graph left.
fn hidden() -> Case {
    let feed = |inputs: &mut Inputs, rng: &mut Rng| {
        inputs.hidden = (0..256 * inputs.tokens.len()).map(|_| noise(rng)).collect();
    };
    Case::new("hidden").fed(&few_and_many(), feed, |net| {
        let x = net.hidden(256, Extent::Tokens);
        let (w, v) = (net.matrix(GgmlType::Q8_0, [256, 33, 1]), net.matrix(GgmlType::F16, [256, 31, 1]));
        let (y, z) = (net.mat_mul(w, x), net.mat_mul(v, x));
        vec![y, z, net.silu(x)]
    })
}

/// The ends of what f32 holds.
fn extremes() -> Case {
    let ends = |rng: &mut Rng| {
        let mut x: Vec<f32> = (0..64 * N_ROWS).map(|_| 40.0 * noise(rng)).collect();
        let ends = [0.0, -0.0, 80.0, -80.0, 87.0, -87.0, 88.5, -88.5, 1e4, -1e4, 1e30, -1e30, 1e-30, -1e-30];
        for (i, v) in x.iter_mut().enumerate().filter(|(i, _)| i % 5 == 0) {
            *v = ends[i / 5 % ends.len()];
        }
        x
    };
    let sized =
        |size: f32| move |rng: &mut Rng| (0..64 * N_ROWS).map(|_| size * noise(rng)).collect::<Vec<f32>>();
    let mut case = Case::new("extremes").program(&full(&[1, 9, 64]), move |net| {
        let (table, ids) = (net.rows(64, N_ROWS, ends), net.of_run(Input::Tokens));
        let x = net.get_rows(table, ids);
        vec![net.silu(x)]
    });
    // Rows that are packed, from nothing to very much; and norms of them.
    for size in [0.0, 1e-38, 1e-30, 1e-12, 1e12, 1e30] {
        case = case.program(&full(&[1, 9, 64]), move |net| {
            let (table, ids) = (net.rows(64, N_ROWS, sized(size)), net.of_run(Input::Tokens));
            let x = net.get_rows(table, ids);
            let w = net.matrix(GgmlType::Q4_0, [64, 33, 1]);
            vec![net.mat_mul(w, x)]
        });
    }
    for size in [0.0, 1e-12, 1e12] {
        case = case.program(&full(&[1, 9, 64]), move |net| {
            let (table, ids) = (net.rows(64, N_ROWS, sized(size)), net.of_run(Input::Tokens));
            let (x, row) = (net.get_rows(table, ids), net.row(64));
            let x = net.rms_norm(x, 1e-5);
            let x = net.mul(x, row);
            vec![x]
        });
    }
    case
}

/// Positions up to a million.
fn far(inputs: &mut Inputs, rng: &mut Rng) {
    inputs.positions.iter_mut().for_each(|p| *p = rng.below(1 << 20) as i32);
    inputs.positions[0] = 0;
}

fn rope(dim: usize, n_rot: usize) -> Case {
    let case = Case::new(format!("rope/dim={dim}/rot={n_rot}"));
    let sizes = few_and_many();
    [RopeStyle::Norm, RopeStyle::Neox].into_iter().fold(case, |case, style| {
        case.fed(&sizes, far, move |net| {
            let capacity = net.n_tokens;
            let x = net.x(dim * 7);
            let positions = net.of_run(Input::Positions);
            let table = net.rope_table(positions, params(n_rot), None);
            // Heads of a matrix that has others before and behind them.
            let part = net.part(x, dim, 3 * dim);
            let (all, part) = (net.heads(x, dim), net.heads(part, dim));
            let (all, part) = (net.rope(all, table, style), net.rope(part, table, style));
            let all = net.reshape(all, [7 * dim, capacity, 1, 1]);
            let part = net.reshape(part, [3 * dim, capacity, 1, 1]);
            let sum = net.add(all, x);
            vec![sum, net.silu(part)]
        })
    })
}

fn tables() -> Case {
    [2, 16, 64, 130, 256].into_iter().fold(Case::new("rope_table"), |case, n_rot| {
        case.fed(&few_and_many(), far, move |net| {
            let positions = net.of_run(Input::Positions);
            let slow = RopeParams { freq_base: 5e5, freq_scale: 0.25, attn_factor: 1.2, ..params(n_rot) };
            let (a, b) =
                (net.rope_table(positions, params(n_rot), None), net.rope_table(positions, slow, None));
            vec![a, b]
        })
    })
}

fn tables_with_factors() -> Case {
    [4, 64, 128].into_iter().fold(Case::new("rope_table/factors"), |case, n_rot| {
        case.fed(&few_and_many(), far, move |net| {
            let positions = net.of_run(Input::Positions);
            let factors = net
                .rows(n_rot / 2, 1, |rng| (0..n_rot / 2).map(|_| 1.0 + 7.0 * rng.uniform() as f32).collect());
            vec![net.rope_table(positions, params(n_rot), Some(factors))]
        })
    })
}
