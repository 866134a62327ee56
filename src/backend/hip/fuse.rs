//! Which nodes of a graph one launch does together.
//!
//! A launch costs about as much as reading a few megabytes, so for a few tokens a layer is five of them:
//! the products of one input together; rotation, cache write and attention; the output matrix, residual
//! and what of the norm can be done before the row is known; gate, up and their product; the same for the
//! way down. Of micro-batches of more tokens the products of one input are together, and what prepares an
//! attention.

use crate::graph::{DType, Graph, Op, TensorId};
use crate::quant::GgmlType;

/// The columns up to which products go through the kernels for few.
pub(super) const MAX_COLUMNS: usize = 8;

/// Query heads that a block of an attention takes, of the `per_kv` of a key head, over so many cells. Where
/// there are few cells, more blocks are worth more than reading each key once.
pub(super) fn heads_of_block(per_kv: usize, n_cells: usize) -> usize {
    match per_kv {
        _ if n_cells <= 4096 => 1,
        0..=2 => per_kv,
        _ => 4,
    }
}

/// What a launch does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// One node.
    Node(TensorId),
    /// Products of one packed input with matrices of one type, or of one row with any.
    Products(Vec<TensorId>),
    /// A product and the norm that packs what it makes; the latter lazily (`kernels/matvec.hip`).
    ThenNorm { product: TensorId, norm: TensorId },
    /// Two products of one packed input, and their gated product, packed.
    SwiGlu { gate: TensorId, up: TensorId, gated: TensorId },
    /// All of one token's attention behind its products.
    Attend(Attend),
    /// Rotations of queries and keys, and cache writes.
    RopeWrite { rope: TensorId, k_rope: TensorId, k_write: TensorId, v_write: TensorId },
    /// Attention whose result is packed.
    AttendPack { attention: TensorId, pack: TensorId },
}

/// Norms and rotations of a query and a key, cache writes, and attention.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attend {
    /// The heads as the products made them.
    pub q: TensorId,
    pub k: TensorId,
    pub v: TensorId,
    /// Norms of the heads of queries and keys.
    pub q_norm: Option<TensorId>,
    pub k_norm: Option<TensorId>,
    /// The rotation of the queries; that of the keys is the same.
    pub rope: TensorId,
    pub attention: TensorId,
    /// The packed result, where that is what is read.
    pub pack: Option<TensorId>,
    /// Every node that this does.
    pub nodes: Vec<TensorId>,
}

impl Step {
    /// The nodes that it does.
    pub fn nodes(&self) -> Vec<TensorId> {
        match self {
            Step::Node(id) => vec![*id],
            Step::Products(ids) => ids.clone(),
            Step::ThenNorm { product, norm } => vec![*product, *norm],
            Step::SwiGlu { gate, up, gated } => vec![*gate, *up, *gated],
            Step::Attend(a) => a.nodes.clone(),
            Step::RopeWrite { rope, k_rope, k_write, v_write } => vec![*rope, *k_rope, *k_write, *v_write],
            Step::AttendPack { attention, pack } => vec![*attention, *pack],
        }
    }
}

/// The steps of a graph, in no particular order, and the step of each node that runs.
pub(super) fn steps(graph: &Graph) -> (Vec<Step>, Vec<usize>) {
    let mut fuse =
        Fuse { graph, readers: readers(graph), taken: vec![false; graph.nodes.len()], steps: vec![] };
    let few = graph.n_tokens <= MAX_COLUMNS;
    let runs = |i: &usize| !graph.nodes[*i].op.is_leaf() && graph.nodes[*i].op != Op::View;
    let ids: Vec<TensorId> = (0..graph.nodes.len()).filter(runs).map(|i| TensorId(i as u32)).collect();
    let of_few = [Fuse::attend, Fuse::swiglu, Fuse::then_norm];
    let of_any = [Fuse::products, Fuse::rope_write, Fuse::attend_pack];
    for find in of_few.iter().filter(|_| few).chain(&of_any) {
        for &id in &ids {
            if !fuse.taken[id.0 as usize]
                && let Some(step) = find(&fuse, id)
            {
                fuse.take(step);
            }
        }
    }
    for id in ids {
        if !fuse.taken[id.0 as usize] {
            fuse.take(Step::Node(id));
        }
    }
    let mut of = vec![0; graph.nodes.len()];
    for (i, step) in fuse.steps.iter().enumerate() {
        step.nodes().iter().for_each(|id| of[id.0 as usize] = i);
    }
    // Leaves and views run nowhere; numbers of their own keep them out of every step.
    for (i, of) in of.iter_mut().enumerate().filter(|(i, _)| !runs(i)) {
        *of = fuse.steps.len() + i;
    }
    (fuse.steps, of)
}

struct Fuse<'a> {
    graph: &'a Graph,
    /// The nodes that read each node, directly.
    readers: Vec<Vec<TensorId>>,
    taken: Vec<bool>,
    steps: Vec<Step>,
}

fn readers(graph: &Graph) -> Vec<Vec<TensorId>> {
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        node.src.iter().for_each(|s| readers[s.0 as usize].push(TensorId(i as u32)));
    }
    readers
}

impl Fuse<'_> {
    fn take(&mut self, step: Step) {
        step.nodes().iter().for_each(|id| self.taken[id.0 as usize] = true);
        self.steps.push(step);
    }

    fn op(&self, id: TensorId) -> Op {
        self.graph.node(id).op
    }

    fn src(&self, id: TensorId, i: usize) -> TensorId {
        self.graph.node(id).src[i]
    }

    /// Whether `reader` alone reads `id`.
    fn only(&self, id: TensorId, reader: TensorId) -> bool {
        let roots = self.graph.roots.iter().filter(|&&r| r == id && !self.op(id).has_effect());
        self.readers[id.0 as usize] == [reader] && roots.count() == 0
    }

    /// The type of the matrix of a product of packed rows that nothing else does.
    fn product(&self, id: TensorId) -> Option<GgmlType> {
        let node = self.graph.node(id);
        let packed = matches!(node.op, Op::MatMul { .. })
            && !self.taken[id.0 as usize]
            && self.graph.node(node.src[1]).dtype == DType::Packed;
        match self.graph.node(node.src.first().copied()?).dtype {
            DType::Ggml(ty) if packed => Some(ty),
            _ => None,
        }
    }

    fn products(&self, id: TensorId) -> Option<Step> {
        let ty = self.product(id)?;
        let one = self.graph.node(id).n_rows() == 1;
        let alone = |id: TensorId| !matches!(self.op(id), Op::MatMul { residual: true, .. });
        let mut all = vec![id];
        if alone(id) {
            let x = self.src(id, 1);
            let others = self.readers[x.0 as usize]
                .iter()
                .filter(|&&r| r > id && self.product(r).is_some_and(|t| one || t == ty));
            all.extend(others.filter(|&&r| alone(r) && self.src(r, 1) == x).take(2));
        }
        Some(Step::Products(all))
    }

    fn then_norm(&self, norm: TensorId) -> Option<Step> {
        let node = self.graph.node(norm);
        if !matches!(node.op, Op::RmsNorm { .. }) || node.dtype != DType::Packed || node.src.len() != 2 {
            return None;
        }
        let product = node.src[0];
        self.product(product)?;
        // Whoever reads the row has to know that it is lazy, and only these kernels do.
        let knows = |&r: &TensorId| matches!(self.op(r), Op::MatMul { .. }) && self.src(r, 1) == norm;
        let known = self.readers[norm.0 as usize].iter().all(knows);
        let is_group = self.graph.node(product).ne[0].is_multiple_of(32);
        (known && is_group).then_some(Step::ThenNorm { product, norm })
    }

    fn swiglu(&self, gated: TensorId) -> Option<Step> {
        let node = self.graph.node(gated);
        if node.op != Op::SwiGlu || node.dtype != DType::Packed {
            return None;
        }
        let (gate, up) = (node.src[0], node.src[1]);
        let plain = |id| self.only(id, gated) && !matches!(self.op(id), Op::MatMul { residual: true, .. });
        let same = self.product(gate)? == self.product(up)? && self.src(gate, 1) == self.src(up, 1);
        let is_group = self.graph.node(gate).ne[0].is_multiple_of(32);
        (plain(gate) && plain(up) && same && is_group).then_some(Step::SwiGlu { gate, up, gated })
    }

    /// What comes before an attention, if nothing else asks for it: the rotation of its queries, that of its
    /// keys, and the writes of keys and values.
    fn before(&self, attention: TensorId) -> Option<[TensorId; 4]> {
        if !matches!(self.op(attention), Op::Attention { .. }) {
            return None;
        }
        let [rope, k_write, v_write] = [0, 1, 2].map(|i| self.src(attention, i));
        let writes = self.op(k_write) == Op::KvWrite && self.op(v_write) == Op::KvWrite;
        if !writes || !self.only(k_write, attention) || !self.only(v_write, attention) {
            return None;
        }
        let k_rope = self.src(k_write, 1);
        let ropes = matches!(self.op(rope), Op::Rope { .. }) && self.op(rope) == self.op(k_rope);
        let table = ropes && self.src(rope, 1) == self.src(k_rope, 1);
        let alone = table && self.only(rope, attention) && self.only(k_rope, k_write);
        alone.then_some([rope, k_rope, k_write, v_write])
    }

    fn rope_write(&self, attention: TensorId) -> Option<Step> {
        let [rope, k_rope, k_write, v_write] = self.before(attention)?;
        let same = self.graph.node(k_write).dtype == self.graph.node(v_write).dtype;
        let free = ![rope, k_rope, k_write, v_write].iter().any(|id| self.taken[id.0 as usize]);
        (same && free).then_some(Step::RopeWrite { rope, k_rope, k_write, v_write })
    }

    /// The packed result of an attention, if nothing else is asked for and heads are whole groups of it.
    fn pack(&self, attention: TensorId) -> Option<TensorId> {
        let dim = self.graph.node(self.src(attention, 2)).ne[0];
        match self.readers[attention.0 as usize][..] {
            [pack] if self.op(pack) == Op::Pack && self.only(attention, pack) => {
                dim.is_multiple_of(32).then_some(pack)
            }
            _ => None,
        }
    }

    fn attend_pack(&self, attention: TensorId) -> Option<Step> {
        if !matches!(self.op(attention), Op::Attention { .. }) {
            return None;
        }
        Some(Step::AttendPack { attention, pack: self.pack(attention)? })
    }

    fn attend(&self, attention: TensorId) -> Option<Step> {
        if self.graph.n_tokens != 1 {
            return None;
        }
        let mut nodes = vec![attention];
        let [rope, k_rope, k_write, v_write] = self.before(attention)?;
        // A lane turns eight elements and loads their partners as eight.
        if !matches!(self.op(rope), Op::Rope { n_rot, .. } if n_rot.is_multiple_of(16)) {
            return None;
        }
        nodes.extend([rope, k_rope, k_write, v_write]);
        let mut normed = |id: TensorId, reader: TensorId| match self.op(id) {
            Op::RmsNorm { .. } if self.only(id, reader) && self.graph.node(id).src.len() == 2 => {
                nodes.push(id);
                (self.src(id, 0), Some(id))
            }
            _ => (id, None),
        };
        let (q, q_norm) = normed(self.src(rope, 0), rope);
        let (k, k_norm) = normed(self.src(k_rope, 0), k_rope);
        let v = self.src(v_write, 1);
        // Heads of keys and values one after another, as the kernel reads them.
        let whole = |id: TensorId| {
            let t = self.graph.node(id);
            t.dtype == DType::F32 && t.nb[1] == t.ne[0] * 4
        };
        if !whole(k) || !whole(v) {
            return None;
        }
        let pack = self.pack(attention);
        nodes.extend(pack);
        Some(Step::Attend(Attend { q, k, v, q_norm, k_norm, rope, attention, pack, nodes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::passes::{Packing, optimise};
    use crate::graph::{Builder, Input, KvHalf, RopeParams, RopeStyle, WeightId};

    struct Packs;
    impl Packing for Packs {
        fn wants_packed(&self, weight: GgmlType) -> bool {
            weight.block_len() > 1
        }
        fn packed_row_bytes(&self, k: usize) -> usize {
            2 * k
        }
    }

    const N: usize = 64;

    struct Net {
        g: Builder,
        n_weights: u32,
    }

    impl Net {
        fn new(n_tokens: usize) -> Net {
            Net { g: Builder::new(n_tokens, n_tokens), n_weights: 0 }
        }

        fn weight(&mut self, ty: GgmlType, ne: [usize; 3]) -> TensorId {
            self.n_weights += 1;
            self.g.weight(WeightId(self.n_weights), ty, [ne[0], ne[1], ne[2], 1])
        }

        fn linear(&mut self, x: TensorId, n: usize) -> TensorId {
            let w = self.weight(GgmlType::Q8_0, [self.g.ne(x)[0], n, 1]);
            self.g.mat_mul(w, x)
        }

        fn embed(&mut self) -> TensorId {
            let table = self.weight(GgmlType::Q8_0, [N, 100, 1]);
            let ids = self.g.input(Input::Tokens, 64);
            self.g.get_rows(table, ids)
        }

        /// The norm of the sum of a product and `x`.
        fn normed(&mut self, x: TensorId) -> TensorId {
            let y = self.linear(x, N);
            let y = self.g.add(y, x);
            let w = self.weight(GgmlType::F32, [N, 1, 1]);
            let y = self.g.rms_norm(y, 1e-5);
            self.g.mul(y, w)
        }

        fn steps(self, root: TensorId) -> Vec<Step> {
            steps(&optimise(self.g.finish(&[root]), &Packs)).0
        }
    }

    fn is_lazy(steps: &[Step]) -> bool {
        steps.iter().any(|s| matches!(s, Step::ThenNorm { .. }))
    }

    #[test]
    fn a_norm_is_lazy_where_all_that_read_it_know() {
        let mut net = Net::new(1);
        let x = net.embed();
        let h = net.normed(x);
        let out = net.linear(h, N);
        assert!(is_lazy(&net.steps(out)));

        // Rows that are sorted by expert lose the sums of squares of the norm they were made by.
        let mut net = Net::new(1);
        let x = net.embed();
        let h = net.normed(x);
        let logits = net.linear(h, 4);
        let ids = net.g.top_k(logits, 2);
        let groups = net.g.group_by_expert(ids, 4);
        let rows = net.g.get_rows(h, groups.rows);
        let w = net.weight(GgmlType::Q8_0, [N, N, 4]);
        let y = net.g.mat_mul_id(w, rows, &groups);
        let weights = net.g.expert_weights(logits, ids, 1.0);
        let out = net.g.combine(y, &groups, weights);
        assert!(!is_lazy(&net.steps(out)));
    }

    #[test]
    fn of_many_tokens_products_of_one_input_are_together() {
        let mut net = Net::new(MAX_COLUMNS + 1);
        let x = net.embed();
        let h = net.normed(x);
        let (gate, up) = (net.linear(h, N), net.linear(h, N));
        let out = net.g.swiglu(gate, up);
        let out = net.linear(out, N);
        let mut products = Vec::new();
        for step in net.steps(out) {
            match step {
                Step::Products(ids) => products.push(ids.len()),
                other => assert!(matches!(other, Step::Node(_)), "{other:?}"),
            }
        }
        products.sort();
        assert_eq!(products, [1, 1, 2]);
    }

    #[test]
    fn attention_is_one_step_where_its_lanes_turn_eight_elements() {
        for (n_rot, style, fused) in [
            (64, RopeStyle::Neox, true),
            (16, RopeStyle::Norm, true),
            (24, RopeStyle::Neox, false),
            (40, RopeStyle::Norm, false),
        ] {
            let mut net = Net::new(1);
            let x = net.embed();
            let [q, k, v] = [N, N, N].map(|n| net.linear(x, n));
            let [q, k, v] = [q, k, v].map(|x| net.g.heads(x, N));
            let params = RopeParams {
                n_rot,
                freq_base: 1e4,
                freq_scale: 1.0,
                ext_factor: 0.0,
                attn_factor: 1.0,
                beta_fast: 32.0,
                beta_slow: 1.0,
                n_ctx_orig: 64,
            };
            let positions = net.g.input(Input::Positions, 64);
            let table = net.g.rope_table(positions, params, None);
            let (q, k) = (net.g.rope(q, table, style), net.g.rope(k, table, style));
            let cells = net.g.input(Input::Cells, 64);
            let [k, v] = [(KvHalf::K, k), (KvHalf::V, v)].map(|(half, x)| {
                let kv = net.g.kv(0, half, GgmlType::F16, [N, 64, 1]);
                net.g.kv_write(kv, x, cells)
            });
            let mask = net.g.input(Input::Mask, 64);
            let out = net.g.attention(q, k, v, mask, 0.125);
            let steps = net.steps(out);
            assert_eq!(steps.iter().any(|s| matches!(s, Step::Attend(_))), fused, "{n_rot} {style:?}");
        }
    }
}
