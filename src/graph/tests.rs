//! The passes and the memory plan on small graphs. Tests on whole architectures are in
//! `model::arch`.

use super::passes::*;
use super::plan::{ALIGN, plan};
use super::*;

struct Pack4;
impl Packing for Pack4 {
    fn wants_packed(&self, weight: GgmlType) -> bool {
        weight == GgmlType::Q4_0
    }
    fn packed_row_bytes(&self, k: usize) -> usize {
        k * 2
    }
}

fn ops(g: &Graph) -> Vec<Op> {
    g.nodes.iter().map(|n| n.op).filter(|op| !op.is_leaf()).collect()
}

/// `norm(x) * w`, then two products of it.
fn two_products(ty: GgmlType) -> Graph {
    let mut g = Builder::new(4, 4);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let x = g.get_rows(table, ids);
    let w = g.weight(WeightId(1), GgmlType::F32, [64, 1, 1, 1]);
    let n = g.rms_norm(x, 1e-5);
    let n = g.mul(n, w);
    let a = g.weight(WeightId(2), ty, [64, 32, 1, 1]);
    let b = g.weight(WeightId(3), ty, [64, 32, 1, 1]);
    let (a, b) = (g.mat_mul(a, n), g.mat_mul(b, n));
    let y = g.add(a, b);
    g.finish(&[y])
}

const PLAIN: Op = Op::MatMul { bias: false, residual: false };
const RESIDUAL: Op = Op::MatMul { bias: false, residual: true };
const NORM: Op = Op::RmsNorm { eps: Bits32(1e-5) };

#[test]
fn fusion_folds_norm_weight_and_sum() {
    let g = two_products(GgmlType::F32);
    assert_eq!(ops(&g), [Op::GetRows, NORM, Op::Mul, PLAIN, PLAIN, Op::Add]);
    let g = eliminate_dead(fuse(g));
    assert_eq!(ops(&g), [Op::GetRows, NORM, PLAIN, RESIDUAL]);
    assert_eq!(g.node(TensorId(4)).src.len(), 2, "the norm reads its weight");
}

#[test]
fn packing_is_done_once_per_input_and_by_its_maker() {
    let g = pack_activations(two_products(GgmlType::Q4_0), &Pack4);
    assert_eq!(ops(&g).iter().filter(|&&op| op == Op::Pack).count(), 2);
    let g = eliminate_common(g);
    let g = eliminate_dead(fuse(g));
    assert_eq!(ops(&g).iter().filter(|&&op| op == Op::Pack).count(), 1);
    let g = eliminate_dead(fuse_packing(g));
    assert_eq!(ops(&g).iter().filter(|&&op| op == Op::Pack).count(), 0);
    let norm = g.nodes.iter().find(|n| n.op == NORM).unwrap();
    assert_eq!((norm.dtype, norm.nb[1], norm.ne), (DType::Packed, 128, [64, 4, 1, 1]));
}

#[test]
fn packing_stays_apart_when_the_f32_rows_are_read_too() {
    let mut g = Builder::new(4, 4);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let x = g.get_rows(table, ids);
    let n = g.rms_norm(x, 1e-5);
    let w = g.weight(WeightId(1), GgmlType::Q4_0, [64, 64, 1, 1]);
    let y = g.mat_mul(w, n);
    let y = g.mul(y, n);
    let g = optimise(g.finish(&[y]), &Pack4);
    assert_eq!(ops(&g), [Op::GetRows, NORM, Op::Pack, PLAIN, Op::Mul]);
    assert_eq!(g.nodes.iter().find(|n| n.op == NORM).unwrap().dtype, DType::F32);
}

#[test]
fn a_product_that_two_read_is_not_fused() {
    let mut g = Builder::new(1, 1);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let x = g.get_rows(table, ids);
    let w = g.weight(WeightId(1), GgmlType::F32, [64, 64, 1, 1]);
    let y = g.mat_mul(w, x);
    let s = g.silu(y);
    let z = g.add(y, s);
    let g = optimise(g.finish(&[z]), &Pack4);
    assert_eq!(ops(&g), [Op::GetRows, PLAIN, Op::Silu, Op::Add]);
}

#[test]
fn dead_code_goes_and_effects_stay() {
    let mut g = Builder::new(1, 1);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let x = g.get_rows(table, ids);
    let dead = g.silu(x);
    g.add(dead, x);
    let kv = g.kv(0, KvHalf::K, GgmlType::F16, [64, 128, 1]);
    let cells = g.input(Input::Cells, 64);
    let heads = g.reshape(x, [64, 1, 1, 1]);
    g.kv_write(kv, heads, cells);
    let g = eliminate_dead(g.finish(&[]));
    assert_eq!(ops(&g), [Op::GetRows, Op::View, Op::KvWrite]);
}

#[test]
fn plan_reuses_memory_and_keeps_what_is_alive_apart() {
    // A chain of 8: each value dies once the next is made, so two places are enough.
    let mut g = Builder::new(1, 1);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let mut x = g.get_rows(table, ids);
    for _ in 0..8 {
        x = g.silu(x);
    }
    let p = plan(&g.finish(&[x]));
    assert_eq!((p.arena_bytes, p.unshared_bytes), (2 * 256, 9 * 256));
    assert_eq!(p.waves.len(), 9);
}

#[test]
fn plan_never_overlaps_tensors_that_live_together() {
    let g = optimise(two_products(GgmlType::Q4_0), &Pack4);
    let p = plan(&g);
    let wave_of = |id: TensorId| p.waves.iter().position(|w| w.contains(&id));
    let mut spans = Vec::new();
    for (i, node) in g.nodes.iter().enumerate() {
        let id = TensorId(i as u32);
        if let (Some(offset), Some(born)) = (p.offsets[i], wave_of(id)) {
            assert_eq!(offset % ALIGN, 0);
            assert!(offset + node.n_bytes() <= p.arena_bytes);
            let readers =
                g.nodes.iter().enumerate().filter(|(_, n)| n.src.iter().any(|&s| g.storage(s) == id));
            let mut last = readers.filter_map(|(j, _)| wave_of(TensorId(j as u32))).max().unwrap_or(born);
            if g.roots.contains(&id) {
                last = usize::MAX;
            }
            spans.push((born, last, offset, offset + node.n_bytes()));
        }
    }
    assert!(spans.len() > 3);
    for (i, a) in spans.iter().enumerate() {
        for b in &spans[i + 1..] {
            let together = a.0 <= b.1 && b.0 <= a.1;
            assert!(!together || a.3 <= b.2 || b.3 <= a.2, "{a:?} and {b:?} share memory");
        }
    }
}

#[test]
fn views_keep_their_source_alive() {
    let mut g = Builder::new(2, 2);
    let table = g.weight(WeightId(0), GgmlType::F32, [64, 10, 1, 1]);
    let ids = g.input(Input::Tokens, 64);
    let x = g.get_rows(table, ids);
    let v = g.view(x, [32, 2, 1, 1], [4, 256, 512, 512], 128, Extent::Tokens);
    let a = g.silu(x);
    let b = g.silu(a);
    let view_reader = g.node(Op::Add, &[v, v], [32, 2, 1, 1], Extent::Tokens);
    let g = g.finish(&[b, view_reader]);
    let p = plan(&g);
    // All four of x, a, b and the sum are placed; x may share with none that lives in its waves.
    assert_eq!(p.waves.len(), 3);
    assert_ne!(p.offsets[x.0 as usize], p.offsets[a.0 as usize]);
    assert_ne!(p.offsets[x.0 as usize], p.offsets[view_reader.0 as usize]);
}

#[test]
fn a_guard_keeps_every_tensor_apart() {
    let g = optimise(two_products(GgmlType::Q4_0), &Pack4);
    let g = Graph { guard: 100, ..g };
    let p = plan(&g);
    let places = g.nodes.iter().zip(&p.offsets);
    let mut spans: Vec<_> = places.filter_map(|(n, at)| at.map(|at| (at, at + n.n_bytes()))).collect();
    spans.sort_unstable();
    spans.push((p.arena_bytes, p.arena_bytes));
    assert!(spans.len() > 3 && spans[0].0 >= 100);
    assert!(spans.windows(2).all(|w| w[0].1 + 100 <= w[1].0), "{spans:?}");
}
