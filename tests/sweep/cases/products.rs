//! Products of every type: rows, columns and lengths that fill no tile, with all that kernels do besides.

use rocmforge::graph::TensorId;
use rocmforge::quant::GgmlType;

use super::{few_and_many, full, is_main, name, or_brief, some, types};
use crate::net::{Case, Net, Size};
use rocmforge_testkit::brief;

/// With what is added: a bias, a residual, both or neither.
fn product(net: &mut Net<'_>, ty: GgmlType, x: TensorId, m: usize, bias: bool, residual: bool) -> TensorId {
    let k = net.ne(x)[0];
    let w = net.matrix(ty, [k, m, 1]);
    let mut y = net.mat_mul(w, x);
    if bias {
        let b = net.row(m);
        y = net.add(y, b);
    }
    if residual {
        let r = net.other(m);
        y = net.add(y, r);
    }
    y
}

fn norm(net: &mut Net<'_>, x: TensorId) -> TensorId {
    let n = net.ne(x)[0];
    let w = net.row(n);
    let x = net.rms_norm(x, 1e-5);
    net.mul(x, w)
}

/// Lengths of rows: one block, odd numbers of groups and blocks, and some thousands.
fn lengths(ty: GgmlType, all: bool) -> &'static [usize] {
    match (ty.block_len(), all) {
        (1, _) => &[1, 7, 8, 33, 100, 256, 2051, 4104],
        (32, true) => &[32, 64, 96, 288, 992, 1056, 2080, 4864],
        (32, false) => &[32, 96, 1056, 4864],
        (_, true) => &[256, 512, 768, 1280, 2304, 4352],
        (_, false) => &[256, 768, 4352],
    }
}

pub fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for ty in types() {
        let main = is_main(ty);
        let sizes = if all || main { few_and_many() } else { some() };
        for &k in lengths(ty, all || main) {
            let long = match all || main {
                true => {
                    [full(&[1, 2, 3, 8, 9, 16, 17, 33, 48, 63, 64, 65]), vec![(32, 17), (64, 40)]].concat()
                }
                false => or_brief(&[1, 3, 8, 9, 33, 64], &[1, 9, 33]),
            };
            let sizes = if k < 800 { sizes.clone() } else { long };
            let rows: &[usize] = if brief() { &[3, 130] } else { &[1, 3, 31, 33, 130] };
            cases.push(plain(format!("product/{}/k={k}", name(ty)), ty, k, rows, &sizes));
        }
        // A length that is whole blocks of all types, and one that is not of 512.
        for k in [512, 1280] {
            let sizes = if all || k == 512 { sizes.clone() } else { or_brief(&[1, 5, 64], &[1, 9]) };
            // Rows of whole blocks of all types.
            let m = if all { 768 } else { 256 };
            cases.extend([added(ty, k, &sizes), several(ty, k, &sizes)]);
            cases.extend([normed(ty, k, m, &sizes), gated(ty, k, m, &sizes)]);
        }
        if all || main {
            let name = format!("product/{}/many", name(ty));
            cases.push(plain(name, ty, 512, &[65, 200], &[(200, 200), (512, 200), (512, 512)]));
        }
        if all {
            let k = if ty.block_len() == 1 { 11010 } else { 11008 };
            cases.push(plain(format!("product/{}/k={k}", name(ty)), ty, k, &[33], &few_and_many()));
            let sizes = full(&[1, 2, 3, 7, 8, 9, 33, 64, 200]);
            cases.push(plain(format!("product/{}/k=32768", name(ty)), ty, 32768, &[31], &sizes));
            let sizes = full(&[1, 5, 8, 16, 33, 64, 200, 512]);
            cases.push(plain(format!("product/{}/rows", name(ty)), ty, 768, &[4097, 4224], &sizes));
            let (name, sizes) = (format!("product/{}/4096", name(ty)), [(4096, 4096), (4096, 3001)]);
            cases.push(plain(name, ty, 256, &[97], &sizes));
        }
    }
    cases
}

/// A product alone, of each number of rows.
fn plain(name: String, ty: GgmlType, k: usize, n_rows: &[usize], sizes: &[Size]) -> Case {
    n_rows.iter().fold(Case::new(name), |case, &m| {
        case.program(sizes, move |net| {
            let x = net.x(k);
            vec![product(net, ty, x, m, false, false)]
        })
    })
}

fn added(ty: GgmlType, k: usize, sizes: &[Size]) -> Case {
    let case = Case::new(format!("added/{}/k={k}", name(ty)));
    [(true, false), (false, true), (true, true)].iter().fold(case, |case, &(bias, residual)| {
        [33, 64].iter().fold(case, |case, &m| {
            case.program(sizes, move |net| {
                let x = net.x(k);
                vec![product(net, ty, x, m, bias, residual)]
            })
        })
    })
}

/// Products of one input: of one type, with and without biases, and with one of another type among them.
fn several(ty: GgmlType, k: usize, sizes: &[Size]) -> Case {
    Case::new(format!("several/{}/k={k}", name(ty)))
        .program(sizes, move |net| {
            let x = net.x(k);
            [(96, false), (33, false), (7, false)].map(|(m, b)| product(net, ty, x, m, b, false)).into()
        })
        .program(sizes, move |net| {
            let x = net.x(k);
            [(64, true), (32, false), (31, true), (65, true)]
                .map(|(m, b)| product(net, ty, x, m, b, false))
                .into()
        })
        .program(sizes, move |net| {
            let x = net.x(k);
            let other = if ty == GgmlType::Q6_K { GgmlType::Q4_K } else { GgmlType::Q6_K };
            let q = product(net, ty, x, 64, false, false);
            let v = product(net, other, x, 33, false, false);
            let r = product(net, ty, x, 32, false, true);
            vec![q, v, r]
        })
        // One matrix for all inputs of an attention, cut into views.
        .program(sizes, move |net| {
            let x = net.x(k);
            let qkv = product(net, ty, x, 160, true, false);
            let [q, v] = [(0, 64), (96, 64)].map(|(first, n)| net.part(qkv, first, n));
            let k = net.part(qkv, 64, 32);
            let qv = net.add(q, v);
            vec![qv, net.silu(k)]
        })
}

/// A product, its residual, the norm of that, and products of the normed rows.
fn normed(ty: GgmlType, k: usize, m: usize, sizes: &[Size]) -> Case {
    Case::new(format!("normed/{}/k={k}", name(ty)))
        .program(sizes, move |net| {
            let x = net.x(k);
            let h = product(net, ty, x, m, false, true);
            let n = norm(net, h);
            let [a, b] = [33, 64].map(|rows| product(net, ty, n, rows, false, false));
            vec![h, a, b]
        })
        .program(sizes, move |net| {
            let x = net.x(k);
            let h = product(net, ty, x, m, true, false);
            let n = norm(net, h);
            let [gate, up] = [64, 64].map(|rows| product(net, ty, n, rows, false, false));
            let y = net.swiglu(gate, up);
            vec![y, h]
        })
        // With the norm's rows themselves wanted.
        .program(sizes, move |net| {
            let x = net.x(k);
            let h = product(net, ty, x, m, true, true);
            let n = norm(net, h);
            let y = product(net, ty, n, 31, true, true);
            vec![n, y]
        })
}

/// Gate, up, their product and the way down.
fn gated(ty: GgmlType, k: usize, m: usize, sizes: &[Size]) -> Case {
    [(m, false), (512, true)].iter().fold(
        Case::new(format!("gated/{}/k={k}", name(ty))),
        |case, &(m, bias)| {
            case.program(sizes, move |net| {
                let x = net.x(k);
                let n = norm(net, x);
                let [gate, up] = [0, 1].map(|_| product(net, ty, n, m, bias, false));
                let y = net.swiglu(gate, up);
                vec![product(net, ty, y, 33, false, true)]
            })
        },
    )
}
