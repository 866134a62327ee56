//! Routing to experts, their products, and the sum of what they give.

use rocmforge::quant::GgmlType;

use super::{few_and_many, name, some, types};
use crate::net::{Case, Size};
use rocmforge_testkit::brief;

/// Experts to choose from, those chosen, and a token's elements and those of an expert's rows.
#[derive(Clone, Copy)]
struct Shape {
    n_expert: usize,
    n_used: usize,
    n: usize,
    n_ff: usize,
}

pub fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, k) in [(1, 1), (2, 1), (8, 2), (31, 5), (33, 33), (64, 8), (65, 4), (128, 8), (200, 6), (1000, 3)]
    {
        cases.push(routing(n, k));
    }
    let small = Shape { n_expert: 6, n_used: 2, n: 256, n_ff: 256 };
    let mut sizes = if all { few_and_many() } else { some() };
    sizes.extend([(128, 100), (300, 300)]);
    for ty in types() {
        let few: &[Size] =
            if brief() { &[(1, 1), (8, 3), (9, 9)] } else { &[(1, 1), (5, 5), (8, 3), (33, 33)] };
        let main = !brief() && matches!(ty, GgmlType::Q4_0 | GgmlType::Q4_K | GgmlType::F16);
        cases.push(layer(ty, small, if all || main { &sizes } else { few }));
    }
    let shapes = [
        Shape { n_expert: 2, n_used: 1, n: 512, n_ff: 512 },
        Shape { n_expert: 4, n_used: 4, n: 256, n_ff: 768 },
        Shape { n_expert: 64, n_used: 8, n: 256, n_ff: 256 },
        Shape { n_expert: 128, n_used: 8, n: 256, n_ff: 256 },
    ];
    for shape in shapes {
        cases.push(layer(
            GgmlType::Q4_K,
            shape,
            if all {
                &sizes
            } else if brief() {
                &[(3, 3), (12, 9)]
            } else {
                &[(1, 1), (3, 3), (8, 8), (9, 5), (100, 100)]
            },
        ));
    }
    cases
}

/// The choice and its weights, of exact logits, with equal ones among them.
fn routing(n: usize, k: usize) -> Case {
    let mut sizes = few_and_many();
    sizes.extend([(300, 300), (512, 300)]);
    Case::new(format!("routing/{k}of{n}"))
        .program(&sizes, move |net| {
            let logits = net.x(n);
            let ids = net.top_k(logits, k);
            vec![ids, net.expert_weights(logits, ids, 1.0)]
        })
        .program(&sizes, move |net| {
            let table = net.rows(n, crate::net::N_ROWS, |rng| {
                (0..n * crate::net::N_ROWS).map(|_| rng.below(4) as f32 - 1.0).collect()
            });
            let tokens = net.of_run(rocmforge::graph::Input::Tokens);
            let logits = net.get_rows(table, tokens);
            let ids = net.top_k(logits, k);
            vec![ids, net.expert_weights(logits, ids, 2.5)]
        })
}

/// All of a layer's experts, with and without a residual.
fn layer(ty: GgmlType, s: Shape, sizes: &[Size]) -> Case {
    let case = Case::new(format!("experts/{}/{}of{}/{}x{}", name(ty), s.n_used, s.n_expert, s.n, s.n_ff));
    [false, true].into_iter().fold(case, |case, residual| {
        case.program(sizes, move |net| {
            let (x, logits) = (net.x(s.n), net.other(s.n_expert));
            let row = net.row(s.n);
            let h = net.rms_norm(x, 1e-5);
            let h = net.mul(h, row);
            let ids = net.top_k(logits, s.n_used);
            let weights = net.expert_weights(logits, ids, 1.0);
            let groups = net.group_by_expert(ids, s.n_expert);
            let rows = net.get_rows(h, groups.rows);
            let [gate, up] = [0, 1].map(|_| net.matrix(ty, [s.n, s.n_ff, s.n_expert]));
            let down = net.matrix(ty, [s.n_ff, s.n, s.n_expert]);
            let (gate, up) = (net.mat_mul_id(gate, rows, &groups), net.mat_mul_id(up, rows, &groups));
            let y = net.swiglu(gate, up);
            let y = net.mat_mul_id(down, y, &groups);
            let y = net.combine(y, &groups, weights);
            vec![if residual { net.add(y, x) } else { y }]
        })
    })
}
