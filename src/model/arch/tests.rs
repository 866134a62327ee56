//! The passes and the plan on the graphs of real architectures.

use super::*;
use crate::graph::passes::{self, Packing};
use crate::graph::plan::plan;
use crate::graph::{DType, Op, RopeParams};
use crate::model::Pooling;
use crate::quant::GgmlType;

struct PackQuants;
impl Packing for PackQuants {
    fn wants_packed(&self, weight: GgmlType) -> bool {
        weight == GgmlType::Q4_0
    }
    fn packed_row_bytes(&self, k: usize) -> usize {
        k * 2
    }
}

const N_LAYER: usize = 4;

const LOGITS: Wanted = Wanted { logits: true, embeddings: false };

fn hparams() -> Hparams {
    let rope = RopeParams {
        n_rot: 16,
        freq_base: 1e4,
        freq_scale: 1.0,
        ext_factor: 0.0,
        attn_factor: 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        n_ctx_orig: 512,
    };
    Hparams {
        n_ctx_train: 512,
        n_embd: 64,
        n_layer: N_LAYER,
        n_ff: vec![160; N_LAYER],
        n_head: vec![4; N_LAYER],
        n_head_kv: vec![2; N_LAYER],
        head_dim_k: 16,
        head_dim_v: 16,
        rms_eps: 1e-5,
        rope,
        pooling: Pooling::None,
        n_vocab: 512,
    }
}

fn tensors(bias: bool) -> TensorTable {
    let mut all = vec![("token_embd.weight".to_string(), GgmlType::Q4_0, [64, 512])];
    all.push(("output_norm.weight".into(), GgmlType::F32, [64, 1]));
    for il in 0..N_LAYER {
        for (name, ne) in [
            ("attn_q", [64, 64]),
            ("attn_k", [64, 32]),
            ("attn_v", [64, 32]),
            ("attn_output", [64, 64]),
            ("ffn_gate", [64, 160]),
            ("ffn_up", [64, 160]),
            ("ffn_down", [160, 64]),
        ] {
            all.push((format!("blk.{il}.{name}.weight"), GgmlType::Q4_0, ne));
        }
        for name in ["attn_norm", "ffn_norm"] {
            all.push((format!("blk.{il}.{name}.weight"), GgmlType::F32, [64, 1]));
        }
        for (name, n) in [("attn_q", 64), ("attn_k", 32), ("attn_v", 32)].into_iter().filter(|_| bias) {
            all.push((format!("blk.{il}.{name}.bias"), GgmlType::F32, [n, 1]));
        }
    }
    TensorTable::of(all)
}

fn graph(arch: &str, n_tokens: usize, n_outputs: usize) -> Graph {
    let (type_k, type_v) = (GgmlType::F16, GgmlType::F16);
    let spec = GraphSpec { n_tokens, n_outputs, wanted: LOGITS, n_cells: 256, type_k, type_v };
    Arch::find(arch).unwrap().graph(&hparams(), &tensors(arch == "qwen2"), &spec).unwrap()
}

fn count(g: &Graph, f: impl Fn(Op) -> bool) -> usize {
    g.nodes.iter().filter(|n| f(n.op)).count()
}

#[test]
fn common_subexpressions_leave_one_rope_table() {
    let g = graph("llama", 8, 8);
    assert_eq!(count(&g, |op| matches!(op, Op::RopeTable(_))), N_LAYER);
    let g = passes::eliminate_common(g);
    assert_eq!(count(&g, |op| matches!(op, Op::RopeTable(_))), 1);
    assert_eq!(count(&g, |op| matches!(op, Op::Input(_))), 5, "each input once");
}

#[test]
fn without_outputs_the_last_layer_ends_at_its_cache() {
    let with = passes::eliminate_dead(graph("llama", 8, 8));
    let without = passes::eliminate_dead(graph("llama", 8, 0));
    let mat_mul = |op| matches!(op, Op::MatMul { .. });
    assert_eq!(count(&with, mat_mul), 7 * N_LAYER + 1);
    // Of the last layer only keys and values are left, and no head.
    assert_eq!(count(&without, mat_mul), 7 * (N_LAYER - 1) + 2);
    assert_eq!(count(&without, |op| op == Op::KvWrite), 2 * N_LAYER);
}

#[test]
fn fusion_takes_in_norm_weights_biases_gates_and_residuals() {
    for (arch, biases) in [("llama", 0), ("qwen2", 3 * N_LAYER)] {
        let g = passes::eliminate_dead(passes::eliminate_common(graph(arch, 8, 8)));
        let f = passes::eliminate_dead(passes::fuse(g.clone()));
        assert_eq!(count(&g, |op| op == Op::Mul), 3 * N_LAYER + 1);
        assert_eq!(count(&f, |op| op == Op::Mul), 0);
        assert_eq!(count(&g, |op| op == Op::Add), 2 * N_LAYER + biases);
        assert_eq!(count(&f, |op| op == Op::Add), 0);
        assert_eq!(count(&f, |op| op == Op::SwiGlu), N_LAYER);
        assert_eq!(count(&f, |op| matches!(op, Op::MatMul { residual: true, .. })), 2 * N_LAYER);
        assert_eq!(count(&f, |op| matches!(op, Op::MatMul { bias: true, .. })), biases);
    }
}

#[test]
fn each_input_of_products_is_packed_once() {
    let g = passes::optimise(graph("qwen2", 8, 8), &PackQuants);
    // Norms and gates pack what they make; only attention's result needs a pass of its own.
    assert_eq!(count(&g, |op| op == Op::Pack), N_LAYER);
    let packed = |g: &Graph| g.nodes.iter().filter(|n| n.dtype == DType::Packed).count();
    assert_eq!(packed(&g), N_LAYER * 4 + 1);
    // Per layer: two norms, q, k, v, two rotations, two cache writes, attention, pack, output, gate,
    // up, swiglu, down; then embedding, angles, two selections of rows, norm and head.
    assert_eq!(g.n_ops(), 16 * N_LAYER + 6);
}

#[test]
fn the_plan_reuses_memory() {
    let g = passes::optimise(graph("llama", 512, 1), &PackQuants);
    let p = plan(&g);
    assert!(p.arena_bytes * N_LAYER < p.unshared_bytes, "{} of {}", p.arena_bytes, p.unshared_bytes);
    assert!(p.waves.len() < g.n_ops(), "independent operations share a wave");
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let (hp, spec) = (
        hparams(),
        GraphSpec {
            n_tokens: 1,
            n_outputs: 1,
            wanted: LOGITS,
            n_cells: 64,
            type_k: GgmlType::F16,
            type_v: GgmlType::F16,
        },
    );
    let e = Arch::find("qwen2").unwrap().graph(&hp, &tensors(false), &spec).unwrap_err().to_string();
    assert!(e.contains("blk.0.attn_q.bias"), "{e}");
    let mut wide = hp.clone();
    wide.n_ff[2] = 192;
    let e = Arch::find("llama").unwrap().graph(&wide, &tensors(false), &spec).unwrap_err().to_string();
    assert!(e.contains("blk.2.ffn_gate.weight") && e.contains("192"), "{e}");
    let e = Arch::find("mamba").err().unwrap().to_string();
    assert!(e.contains("mamba") && e.contains("llama"), "{e}");
}
