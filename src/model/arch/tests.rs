//! The passes and the plan on the graphs of real architectures.

use super::*;
use crate::gguf::Writer;
use crate::graph::passes::{self, Packing};
use crate::graph::plan::plan;
use crate::graph::{DType, Input, Op, RopeParams};
use crate::model::{Experts, Pooling};
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
        longrope: false,
        experts: None,
    }
}

/// Eight experts, of which each token takes two.
fn mixture() -> Hparams {
    let (n_used, n_ff) = (vec![2; N_LAYER], vec![96; N_LAYER]);
    let experts = Experts { n_expert: 8, n_used, n_ff, weights_scale: 1.0 };
    Hparams { experts: Some(experts), ..hparams() }
}

type Tensors = Vec<(String, GgmlType, [usize; 3])>;

/// The tensors of an architecture's file.
fn tensors(arch: &str) -> Tensors {
    let mut all = vec![("token_embd.weight".to_string(), GgmlType::Q4_0, [64, 512, 1])];
    all.push(("output_norm.weight".into(), GgmlType::F32, [64, 1, 1]));
    let glm = matches!(arch, "chatglm" | "glm4");
    let attention: &[_] = match arch {
        "chatglm" => &[("attn_qkv", 128)],
        _ => &[("attn_q", 64), ("attn_k", 32), ("attn_v", 32)],
    };
    let network: &[_] = match arch {
        _ if glm => &[("ffn_up", [64, 320, 1]), ("ffn_down", [160, 64, 1])],
        "qwen3moe" => {
            &[("ffn_gate_exps", [64, 96, 8]), ("ffn_up_exps", [64, 96, 8]), ("ffn_down_exps", [96, 64, 8])]
        }
        _ => &[("ffn_gate", [64, 160, 1]), ("ffn_up", [64, 160, 1]), ("ffn_down", [160, 64, 1])],
    };
    let norms: &[_] = match arch {
        "qwen3" | "qwen3moe" => {
            &[("attn_norm", 64), ("ffn_norm", 64), ("attn_q_norm", 16), ("attn_k_norm", 16)]
        }
        "glm4" => &[("attn_norm", 64), ("ffn_norm", 64), ("post_attention_norm", 64), ("post_ffw_norm", 64)],
        _ => &[("attn_norm", 64), ("ffn_norm", 64)],
    };
    for il in 0..N_LAYER {
        let mut add = |name: &str, part: &str, ty, ne| all.push((format!("blk.{il}.{name}.{part}"), ty, ne));
        for &(name, n) in attention {
            add(name, "weight", GgmlType::Q4_0, [64, n, 1]);
            if glm || arch == "qwen2" {
                add(name, "bias", GgmlType::F32, [n, 1, 1]);
            }
        }
        add("attn_output", "weight", GgmlType::Q4_0, [64, 64, 1]);
        for &(name, ne) in network {
            add(name, "weight", GgmlType::Q4_0, ne);
        }
        for &(name, n) in norms {
            add(name, "weight", GgmlType::F32, [n, 1, 1]);
        }
        if arch == "qwen3moe" {
            add("ffn_gate_inp", "weight", GgmlType::F32, [64, 8, 1]);
        }
    }
    all
}

/// A file of such tensors, all zeros.
fn file(tensors: Tensors) -> File {
    let zeros = vec![0; 1 << 20];
    let mut w = Writer::new();
    for (name, ty, ne) in tensors {
        let n_bytes = ty.row_bytes(ne[0]).unwrap() * ne[1] * ne[2];
        w.tensor(&name, &ne.map(|n| n as u64), ty, &zeros[..n_bytes]).unwrap();
    }
    File::from_bytes(w.into_bytes().unwrap()).unwrap()
}

const SPEC: GraphSpec = GraphSpec {
    layers: 0..N_LAYER + 1,
    n_tokens: 8,
    n_outputs: 8,
    wanted: Wanted { logits: true, embeddings: false },
    n_ctx: 256,
    n_cells: 256,
    type_k: GgmlType::F16,
    type_v: GgmlType::F16,
};

fn graph(arch: &str, n_tokens: usize, n_outputs: usize) -> Graph {
    let spec = GraphSpec { n_tokens, n_outputs, ..SPEC };
    let hp = if arch == "qwen3moe" { mixture() } else { hparams() };
    Arch::find(arch).unwrap().graph(&hp, &file(tensors(arch)), &spec).unwrap()
}

fn refused(arch: &str, hp: &Hparams, tensors: Tensors) -> String {
    Arch::find(arch).unwrap().graph(hp, &file(tensors), &SPEC).unwrap_err().to_string()
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
    let e = refused("qwen2", &hparams(), tensors("llama"));
    assert!(e.contains("blk.0.attn_q.bias"), "{e}");
    let mut wide = hparams();
    wide.n_ff[2] = 192;
    let e = refused("llama", &wide, tensors("llama"));
    assert!(e.contains("blk.2.ffn_gate.weight") && e.contains("192"), "{e}");
    for (arch, lacks) in [
        ("qwen3", "attn_q_norm.weight"),
        ("glm4", "post_attention_norm.weight"),
        ("chatglm", "attn_qkv.bias"),
        ("chatglm", "ffn_up.weight"),
    ] {
        let mut all = tensors(arch);
        all.retain(|t| !t.0.ends_with(lacks));
        if lacks != "attn_qkv.bias" {
            assert!(refused(arch, &hparams(), all).contains(lacks), "{arch} without {lacks}");
            continue;
        }
        // Files without biases exist.
        Arch::find(arch).unwrap().graph(&hparams(), &file(all), &SPEC).unwrap();
    }
    let long = Hparams { longrope: true, ..hparams() };
    let e = refused("llama", &long, tensors("llama"));
    assert!(e.contains("rope_factors_short.weight"), "{e}");
    let e = Arch::find("mamba").err().unwrap().to_string();
    assert!(e.contains("mamba") && e.contains("llama"), "{e}");
}

#[test]
fn misshapen_experts_are_named() {
    let e = refused("qwen3moe", &hparams(), tensors("qwen3moe"));
    assert!(e.contains("expert_count"), "{e}");
    let mut fewer = mixture();
    fewer.experts.as_mut().unwrap().n_expert = 7;
    let e = refused("qwen3moe", &fewer, tensors("qwen3moe"));
    assert!(e.contains("blk.0.ffn_gate_inp.weight") && e.contains('7'), "{e}");
    for (name, ne) in
        [("ffn_up_exps", [64, 96, 7]), ("ffn_down_exps", [64, 96, 8]), ("ffn_gate_exps", [64, 96 * 8, 1])]
    {
        let mut all = tensors("qwen3moe");
        let name = format!("blk.1.{name}.weight");
        all.iter_mut().find(|t| t.0 == name).unwrap().2 = ne;
        let e = refused("qwen3moe", &mixture(), all);
        assert!(e.contains(&name) && e.contains("8]"), "{e}");
    }
    let mut old = tensors("llama");
    old.push(("blk.0.ffn_gate.0.weight".into(), GgmlType::Q4_0, [64, 96, 1]));
    old.push(("blk.0.ffn_gate_inp.weight".into(), GgmlType::F32, [64, 8, 1]));
    let e = refused("llama", &mixture(), old);
    assert!(e.contains("blk.0.ffn_gate.0.weight") && e.contains("ffn_gate_exps"), "{e}");
}

#[test]
fn every_expert_block_is_three_products_of_rows_sorted_once() {
    for n_tokens in [1, 8] {
        let g = passes::optimise(graph("qwen3moe", n_tokens, 1), &PackQuants);
        let per_layer = |f: fn(Op) -> bool| count(&g, f) as f64 / N_LAYER as f64;
        assert_eq!(per_layer(|op| op == Op::MatMulId), 3.0);
        assert_eq!(per_layer(|op| matches!(op, Op::TopK { .. })), 1.0);
        assert_eq!(per_layer(|op| matches!(op, Op::GroupByExpert { .. })), 1.0);
        // The sum over experts takes the residual in, and gates write packed rows.
        let sums = g.nodes.iter().filter(|n| n.op == Op::Combine);
        assert_eq!(sums.filter(|n| n.src.len() == 4).count(), N_LAYER);
        assert_eq!(count(&g, |op| matches!(op, Op::Add | Op::Mul | Op::Silu)), 0);
        // Gate and up read the same sorted rows, which are copies of rows packed once per token.
        let sorted = |n: &&crate::graph::Tensor| n.op == Op::GetRows && n.dtype == DType::Packed;
        assert_eq!(g.nodes.iter().filter(sorted).count(), N_LAYER);
        for n in g.nodes.iter().filter(|n| n.op == Op::Pack) {
            assert!(n.ne[1] <= n_tokens, "packed before sorting: {:?}", n.ne);
        }
        let p = plan(&g);
        let wave =
            |f: &dyn Fn(Op) -> bool| p.waves.iter().position(|w| w.iter().any(|&t| f(g.node(t).op))).unwrap();
        let first = wave(&|op| op == Op::MatMulId);
        let products = p.waves[first].iter().filter(|&&t| g.node(t).op == Op::MatMulId);
        assert_eq!(products.count(), 2, "gate and up share a wave");
    }
}

#[test]
fn fused_matrices_are_read_through_views() {
    for arch in ["chatglm", "glm4"] {
        let g = passes::optimise(graph(arch, 8, 8), &PackQuants);
        let per_layer = if arch == "chatglm" { 4 } else { 6 };
        assert_eq!(count(&g, |op| matches!(op, Op::MatMul { .. })), per_layer * N_LAYER + 1);
        assert_eq!(count(&g, |op| op == Op::SwiGlu), N_LAYER);
        // Norms stand between the products and the residual sums, or nothing does.
        assert_eq!(count(&g, |op| op == Op::Add), if arch == "glm4" { 2 * N_LAYER } else { 0 });
    }
}

#[test]
fn longrope_takes_the_divisors_of_its_context() {
    let hp = Hparams { longrope: true, ..hparams() };
    let mut all = tensors("llama");
    let short = all.len() as u32;
    all.push(("rope_factors_short.weight".into(), GgmlType::F32, [8, 1, 1]));
    all.push(("rope_factors_long.weight".into(), GgmlType::F32, [8, 1, 1]));
    let all = file(all);
    let arch = Arch::find("llama").unwrap();
    for (n_ctx, id) in [(1, short), (512, short), (513, short + 1)] {
        let weights = arch.graph(&hp, &all, &GraphSpec { n_ctx, ..SPEC }).unwrap().weights();
        assert!(weights.contains(&WeightId(id)) && !weights.contains(&WeightId(2 * short + 1 - id)));
    }
    let needed = arch.weights(&hp, &all, hp.all_layers()).unwrap();
    assert!(needed.contains(&WeightId(short)) && needed.contains(&WeightId(short + 1)), "both are bound");
}

#[test]
fn the_graphs_of_a_cut_model_are_those_of_the_whole() {
    for name in ["llama", "qwen2", "qwen3moe", "glm4"] {
        let arch = Arch::find(name).unwrap();
        let hp = if name == "qwen3moe" { mixture() } else { hparams() };
        let file = file(tensors(name));
        for (cut, n_outputs) in (1..=N_LAYER).flat_map(|cut| [(cut, 8), (cut, 1), (cut, 0)]) {
            let build = |layers: std::ops::Range<usize>| {
                let spec = GraphSpec { layers, n_outputs, ..SPEC };
                passes::optimise(arch.graph(&hp, &file, &spec).unwrap(), &PackQuants)
            };
            let [whole, first, last] = [0..N_LAYER + 1, 0..cut, cut..N_LAYER + 1].map(build);
            // Each weight is on one side; the output matrix is the embedding table, which both need.
            let mut weights = [first.weights(), last.weights()].concat();
            weights.sort_unstable();
            weights.dedup();
            assert_eq!(weights, whole.weights(), "{name} at {cut}");
            let both = usize::from(n_outputs > 0);
            assert_eq!(first.weights().len() + last.weights().len(), whole.weights().len() + both);
            // Caches are numbered from 0 in both, and nothing but the table of angles is made twice.
            let caches = |g: &Graph| {
                g.nodes.iter().filter_map(|n| if let Op::Kv(il, _) = n.op { Some(il) } else { None }).max()
            };
            assert_eq!(caches(&first), Some(cut as u32 - 1));
            assert_eq!(caches(&last), (N_LAYER - cut).checked_sub(1).map(|il| il as u32));
            let n_tables = usize::from(cut < N_LAYER);
            assert_eq!(first.n_ops() + last.n_ops(), whole.n_ops() + n_tables, "{name} at {cut}");
            // Nothing goes over but the residual stream, of the rows that are needed.
            let hidden: Vec<_> = last.nodes.iter().filter(|n| n.op == Op::Input(Input::Hidden)).collect();
            if n_outputs == 0 && cut == N_LAYER {
                assert!(last.roots.is_empty() && first.roots.iter().all(|&r| first.node(r).op.has_effect()));
                continue;
            }
            let handed_on: Vec<_> = first.roots.iter().filter(|&&r| !first.node(r).op.has_effect()).collect();
            assert!(hidden.len() == 1 && handed_on.len() == 1);
            let rows = if cut == N_LAYER { n_outputs } else { 8 };
            assert_eq!((hidden[0].ne, hidden[0].dtype), ([64, rows, 1, 1], DType::F32));
            let given = first.node(*handed_on[0]);
            assert_eq!((given.ne, given.dtype, given.extent), (hidden[0].ne, DType::F32, hidden[0].extent));
        }
    }
}
