//! Passes over a graph. Each takes a graph and gives an equivalent one; [`optimise`] runs them in
//! the order that a backend's compiler wants.

use std::collections::HashMap;

use super::{DType, Graph, Op, Tensor, TensorId};
use crate::quant::GgmlType;

/// What a backend wants of the activations that its matrix products read.
pub trait Packing {
    /// Whether products with weights of this type read packed rows instead of f32.
    fn wants_packed(&self, weight: GgmlType) -> bool;
    /// Bytes of a packed row of `k` activations.
    fn packed_row_bytes(&self, k: usize) -> usize;
}

/// All passes: common subexpressions, fusion, packing of activations, dead code.
pub fn optimise(graph: Graph, packing: &dyn Packing) -> Graph {
    let graph = eliminate_common(graph);
    let graph = eliminate_dead(graph);
    let graph = fuse(graph);
    let graph = eliminate_common(pack_activations(graph, packing));
    let graph = eliminate_dead(graph);
    eliminate_dead(fuse_packing(graph))
}

/// Rebuilds a graph node by node; `rewrite` may change a node whose sources are already mapped,
/// or give an existing node to use in its place.
fn rebuild(graph: Graph, mut rewrite: impl FnMut(&mut Vec<Tensor>, usize, Tensor) -> Rewrite) -> Graph {
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let mut map: Vec<TensorId> = Vec::with_capacity(graph.nodes.len());
    for (i, mut node) in graph.nodes.into_iter().enumerate() {
        for s in &mut node.src {
            *s = map[s.0 as usize];
        }
        map.push(match rewrite(&mut nodes, i, node) {
            Rewrite::Keep(node) => push(&mut nodes, node),
            Rewrite::Use(id) => id,
        });
    }
    let roots = graph.roots.iter().map(|r| map[r.0 as usize]).collect();
    Graph { nodes, roots, ..graph }
}

enum Rewrite {
    Keep(Tensor),
    Use(TensorId),
}

fn push(nodes: &mut Vec<Tensor>, node: Tensor) -> TensorId {
    nodes.push(node);
    TensorId(nodes.len() as u32 - 1)
}

/// Drops nodes that no root needs.
pub fn eliminate_dead(graph: Graph) -> Graph {
    let mut live = vec![false; graph.nodes.len()];
    for r in &graph.roots {
        live[r.0 as usize] = true;
    }
    // Sources come before their readers, so one walk from the end reaches everything.
    for i in (0..graph.nodes.len()).rev() {
        if live[i] {
            for s in &graph.nodes[i].src {
                live[s.0 as usize] = true;
            }
        }
    }
    let mut map = vec![TensorId(0); graph.nodes.len()];
    let mut nodes = Vec::new();
    for (i, mut node) in graph.nodes.into_iter().enumerate().filter(|&(i, _)| live[i]) {
        for s in &mut node.src {
            *s = map[s.0 as usize];
        }
        map[i] = push(&mut nodes, node);
    }
    let roots = graph.roots.iter().map(|r| map[r.0 as usize]).collect();
    Graph { nodes, roots, ..graph }
}

/// Makes equal nodes one. Nodes with an effect are left alone.
pub fn eliminate_common(graph: Graph) -> Graph {
    let mut seen: HashMap<Tensor, TensorId> = HashMap::new();
    rebuild(graph, |nodes, _, node| {
        if node.op.has_effect() {
            return Rewrite::Keep(node);
        }
        match seen.get(&node) {
            Some(&id) => Rewrite::Use(id),
            None => {
                seen.insert(node.clone(), TensorId(nodes.len() as u32));
                Rewrite::Keep(node)
            }
        }
    })
}

/// Folds a norm's weight, a gate's product, a product's bias and a residual sum into the
/// operation they follow, where nothing else reads what lies between.
pub fn fuse(graph: Graph) -> Graph {
    let uses = graph.uses();
    // Every node is kept, so ids stay what they are and `uses` holds for the new nodes too.
    rebuild(graph, |nodes, _, mut node| {
        if matches!(node.op, Op::Add | Op::Mul) {
            let (a, b) = (node.src[0], node.src[1]);
            let full = nodes[a.0 as usize].ne == nodes[b.0 as usize].ne;
            // A sum or product of two full tensors may be read either way round.
            let orders: &[(TensorId, TensorId)] = if full { &[(a, b), (b, a)] } else { &[(a, b)] };
            let single = |id: TensorId| uses[id.0 as usize] == 1;
            let fused = orders.iter().find_map(|&(inner, other)| {
                if single(inner) { fuse_pair(nodes, node.op, inner, other) } else { None }
            });
            if let Some((op, src)) = fused {
                (node.op, node.src) = (op, src);
            }
        }
        Rewrite::Keep(node)
    })
}

/// The operation that does `inner` and then `op` with `other`, if there is one.
fn fuse_pair(nodes: &[Tensor], op: Op, inner: TensorId, other: TensorId) -> Option<(Op, Vec<TensorId>)> {
    let (x, y) = (&nodes[inner.0 as usize], &nodes[other.0 as usize]);
    let weight_row = matches!(y.op, Op::Weight(_)) && y.ne == [x.ne[0], 1, 1, 1];
    let with = |id| x.src.iter().copied().chain([id]).collect();
    match (x.op, op) {
        (Op::RmsNorm { eps }, Op::Mul) if x.src.len() == 1 && weight_row => {
            Some((Op::RmsNorm { eps }, with(other)))
        }
        (Op::Silu, Op::Mul) if y.ne == x.ne => Some((Op::SwiGlu, vec![x.src[0], other])),
        (Op::MatMul { bias: false, residual: false }, Op::Add) if weight_row => {
            Some((Op::MatMul { bias: true, residual: false }, with(other)))
        }
        (Op::Combine, Op::Add) if x.src.len() == 3 && y.ne == x.ne && y.dtype == DType::F32 => {
            Some((Op::Combine, with(other)))
        }
        (Op::MatMul { bias, residual: false }, Op::Add) if y.ne == x.ne && y.dtype == DType::F32 => {
            Some((Op::MatMul { bias, residual: true }, with(other)))
        }
        _ => None,
    }
}

/// Puts a [`Op::Pack`] before each product that reads packed rows. Products of one input get one
/// each; common-subexpression elimination makes them a single one. Rows that are sorted by expert
/// are packed before they are, while there is one of each. A matrix of a single row is not quantised: backends
/// keep single rows as f32.
pub fn pack_activations(graph: Graph, packing: &dyn Packing) -> Graph {
    let packed = |nodes: &mut Vec<Tensor>, id: TensorId| {
        let x = nodes[id.0 as usize].clone();
        let row = packing.packed_row_bytes(x.ne[0]);
        let nb = [row, row, row * x.ne[1], row * x.ne[1] * x.ne[2]];
        push(nodes, Tensor { op: Op::Pack, src: vec![id], dtype: DType::Packed, nb, offset: 0, ..x })
    };
    rebuild(graph, |nodes, _, mut node| {
        if let Op::MatMul { .. } | Op::MatMulId = node.op
            && let w = &nodes[node.src[0].0 as usize]
            && let DType::Ggml(ty) = w.dtype
            && packing.wants_packed(ty)
            && w.n_rows() > 1
        {
            let x = nodes[node.src[1].0 as usize].clone();
            node.src[1] = if node.op == Op::MatMulId && x.op == Op::GetRows {
                let table = packed(nodes, x.src[0]);
                let row = nodes[table.0 as usize].nb[1];
                let (src, nb) = (vec![table, x.src[1]], [row, row, row * x.ne[1], row * x.ne[1]]);
                push(nodes, Tensor { src, dtype: DType::Packed, nb, ..x })
            } else {
                packed(nodes, node.src[1])
            };
        }
        Rewrite::Keep(node)
    })
}

/// Lets a norm or a gate whose only reader is a [`Op::Pack`] write packed rows itself.
pub fn fuse_packing(graph: Graph) -> Graph {
    let uses = graph.uses();
    let old = graph.clone();
    rebuild(graph, |nodes, i, node| {
        if node.op == Op::Pack {
            let from = old.nodes[i].src[0].0 as usize;
            if uses[from] == 1 && matches!(old.nodes[from].op, Op::RmsNorm { .. } | Op::SwiGlu) {
                let maker = nodes[node.src[0].0 as usize].clone();
                return Rewrite::Keep(Tensor { op: maker.op, src: maker.src, ..node });
            }
        }
        Rewrite::Keep(node)
    })
}
