//! Builds a graph node by node, inferring shapes. Shapes come from code, not from files (a model's
//! tensors are checked when they are bound), so a mismatch is a defect and panics.

use super::{
    Bits32, DType, Extent, Graph, Input, KvHalf, Op, RopeParams, RopeStyle, Tensor, TensorId, WeightId,
};
use crate::quant::GgmlType;

/// The rows of a micro-batch sorted by expert; see [`Op::GroupByExpert`].
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Experts to choose from.
    pub n_expert: usize,
    /// `[n_expert + 1]`: where each expert's rows begin.
    pub offsets: TensorId,
    /// `[k m]`: which row of the micro-batch each sorted row is.
    pub rows: TensorId,
    /// `[k, m]`: where each row's experts are among the sorted rows.
    pub places: TensorId,
}

/// Makes a [`Graph`].
pub struct Builder {
    graph: Graph,
}

fn contiguous(ne: [usize; 4], elem: usize) -> [usize; 4] {
    let nb1 = ne[0] * elem;
    [elem, nb1, nb1 * ne[1], nb1 * ne[1] * ne[2]]
}

impl Builder {
    /// A graph for at most `n_tokens` tokens and `n_outputs` rows of logits.
    pub fn new(n_tokens: usize, n_outputs: usize) -> Self {
        Builder { graph: Graph { n_tokens, n_outputs, ..Graph::default() } }
    }

    /// The graph, run for `roots` in addition to every cache write.
    pub fn finish(mut self, roots: &[TensorId]) -> Graph {
        self.graph.roots.extend_from_slice(roots);
        self.graph
    }

    /// Capacity in rows of logits.
    pub fn n_outputs(&self) -> usize {
        self.graph.n_outputs
    }

    /// The shape of a node.
    pub fn ne(&self, id: TensorId) -> [usize; 4] {
        self.graph.node(id).ne
    }

    fn push(&mut self, tensor: Tensor) -> TensorId {
        let id = TensorId(u32::try_from(self.graph.nodes.len()).expect("fewer than 2^32 nodes"));
        if tensor.op.has_effect() {
            self.graph.roots.push(id);
        }
        self.graph.nodes.push(tensor);
        id
    }

    pub(super) fn node(&mut self, op: Op, src: &[TensorId], ne: [usize; 4], extent: Extent) -> TensorId {
        let nb = contiguous(ne, 4);
        self.push(Tensor { op, src: src.to_vec(), dtype: DType::F32, ne, nb, extent, offset: 0 })
    }

    fn extent(&self, id: TensorId) -> Extent {
        self.graph.node(id).extent
    }

    /// An input of the run. `Mask` and `CellShift` need the number of cells; `Hidden` is
    /// [`Builder::hidden`].
    pub fn input(&mut self, input: Input, n_cells: usize) -> TensorId {
        let (n_tokens, n_outputs) = (self.graph.n_tokens, self.graph.n_outputs);
        let (dtype, ne, elem, extent) = match input {
            Input::Tokens | Input::Positions | Input::Cells => {
                (DType::I32, [n_tokens, 1, 1, 1], 4, Extent::Tokens)
            }
            Input::OutputIds => (DType::I32, [n_outputs, 1, 1, 1], 4, Extent::Outputs),
            Input::Mask => (DType::Bits, [n_cells / 64, n_tokens, 1, 1], 8, Extent::Tokens),
            Input::CellShift => (DType::I32, [n_cells, 1, 1, 1], 4, Extent::Fixed),
            Input::Hidden => panic!("hidden rows have a length"),
        };
        let nb = contiguous(ne, elem);
        self.push(Tensor { op: Op::Input(input), src: vec![], dtype, ne, nb, extent, offset: 0 })
    }

    /// Rows of `n_embd` elements of the residual stream: of every token, or of those with outputs.
    pub fn hidden(&mut self, n_embd: usize, extent: Extent) -> TensorId {
        let n = if extent == Extent::Outputs { self.graph.n_outputs } else { self.graph.n_tokens };
        self.node(Op::Input(Input::Hidden), &[], [n_embd, n, 1, 1], extent)
    }

    /// A weight of `ne[0]` by `ne[1]` elements.
    pub fn weight(&mut self, id: WeightId, ty: GgmlType, ne: [usize; 4]) -> TensorId {
        let row = ne[0] / ty.block_len() * ty.block_bytes();
        let nb = [ty.block_bytes(), row, row * ne[1], row * ne[1] * ne[2]];
        let dtype = DType::Ggml(ty);
        self.push(Tensor { op: Op::Weight(id), src: vec![], dtype, ne, nb, extent: Extent::Fixed, offset: 0 })
    }

    /// The keys or values of layer `il`: `[head_dim, n_cells, n_head_kv]`.
    pub fn kv(&mut self, il: usize, half: KvHalf, ty: GgmlType, ne: [usize; 3]) -> TensorId {
        let ne = [ne[0], ne[1], ne[2], 1];
        let row = ne[0] / ty.block_len() * ty.block_bytes();
        let nb = [ty.block_bytes(), row, row * ne[1], row * ne[1] * ne[2]];
        let (op, dtype) = (Op::Kv(il as u32, half), DType::Ggml(ty));
        self.push(Tensor { op, src: vec![], dtype, ne, nb, extent: Extent::Fixed, offset: 0 })
    }

    /// The same elements, in a contiguous tensor, under another shape.
    pub fn reshape(&mut self, x: TensorId, ne: [usize; 4]) -> TensorId {
        let t = self.graph.node(x);
        assert_eq!(
            t.ne.iter().product::<usize>(),
            ne.iter().product::<usize>(),
            "reshape keeps the elements"
        );
        assert_eq!(t.nb, contiguous(t.ne, 4), "only a contiguous tensor can be reshaped");
        let extent = t.extent;
        self.view(x, ne, contiguous(ne, 4), 0, extent)
    }

    /// Part of a tensor: `ne` elements at strides `nb`, from byte `offset`.
    pub fn view(
        &mut self,
        x: TensorId,
        ne: [usize; 4],
        nb: [usize; 4],
        offset: usize,
        extent: Extent,
    ) -> TensorId {
        let dtype = self.graph.node(x).dtype;
        self.push(Tensor { op: Op::View, src: vec![x], dtype, ne, nb, extent, offset })
    }

    /// Elements `first..first + n` of each row.
    pub fn part(&mut self, x: TensorId, first: usize, n: usize) -> TensorId {
        let t = self.graph.node(x).clone();
        assert!(first + n <= t.ne[0], "{first}..{} of {:?}", first + n, t.ne);
        self.view(x, [n, t.ne[1], t.ne[2], t.ne[3]], t.nb, first * t.nb[0], t.extent)
    }

    /// Rows `[dim * n_head, n]` as `[dim, n_head, n]`.
    pub fn heads(&mut self, x: TensorId, dim: usize) -> TensorId {
        let t = self.graph.node(x);
        let ([n, rows, ..], [elem, row, ..]) = (t.ne, t.nb);
        assert!(n % dim == 0 && t.n_rows() == rows, "heads of {dim} in {:?}", t.ne);
        let (ne, nb) = ([dim, n / dim, rows, 1], [elem, dim * elem, row, row * rows]);
        let extent = t.extent;
        self.view(x, ne, nb, 0, extent)
    }

    /// Rows of `table` by id.
    pub fn get_rows(&mut self, table: TensorId, ids: TensorId) -> TensorId {
        let ne = [self.ne(table)[0], self.ne(ids)[0], 1, 1];
        let extent = self.extent(ids);
        self.node(Op::GetRows, &[table, ids], ne, extent)
    }

    /// `w^T x` for `w [k, m]` and `x [k, n]`.
    pub fn mat_mul(&mut self, w: TensorId, x: TensorId) -> TensorId {
        let (wn, xn) = (self.ne(w), self.ne(x));
        assert_eq!(wn[0], xn[0], "inner dimensions of a product");
        let extent = self.extent(x);
        self.node(Op::MatMul { bias: false, residual: false }, &[w, x], [wn[1], xn[1], 1, 1], extent)
    }

    /// Each of the sorted rows `x [k, p]` times its expert's matrix of `w [k, m, n_expert]`.
    pub fn mat_mul_id(&mut self, w: TensorId, x: TensorId, groups: &Groups) -> TensorId {
        let (wn, xn) = (self.ne(w), self.ne(x));
        assert!(wn[0] == xn[0] && wn[2] == groups.n_expert, "{wn:?} and {xn:?}");
        assert_eq!(xn[1], self.ne(groups.rows)[0], "a row for each pair");
        let extent = self.extent(x);
        self.node(Op::MatMulId, &[w, x, groups.offsets], [wn[1], xn[1], 1, 1], extent)
    }

    fn ints(&mut self, op: Op, src: TensorId, ne: [usize; 4], extent: Extent) -> TensorId {
        let nb = contiguous(ne, 4);
        self.push(Tensor { op, src: vec![src], dtype: DType::I32, ne, nb, extent, offset: 0 })
    }

    /// The ids of the `k` largest elements of each row.
    pub fn top_k(&mut self, x: TensorId, k: usize) -> TensorId {
        let (ne, extent) = (self.ne(x), self.extent(x));
        assert!(0 < k && k <= ne[0], "the {k} largest of {}", ne[0]);
        self.ints(Op::TopK { k }, x, [k, ne[1], 1, 1], extent)
    }

    /// The softmax of the logits at `ids`, times `scale`.
    pub fn expert_weights(&mut self, logits: TensorId, ids: TensorId, scale: f32) -> TensorId {
        let (ne, extent) = (self.ne(ids), self.extent(ids));
        assert_eq!(self.ne(logits)[1], ne[1], "a row of ids for each of logits");
        self.node(Op::ExpertWeights { scale: Bits32(scale) }, &[logits, ids], ne, extent)
    }

    /// Sorts the rows that have `ids [k, m]` by expert.
    pub fn group_by_expert(&mut self, ids: TensorId, n_expert: usize) -> Groups {
        let ([k, m, ..], extent) = (self.ne(ids), self.extent(ids));
        let (n, len) = (k * m, n_expert + 1 + 2 * k * m);
        let all = self.ints(Op::GroupByExpert { n_expert }, ids, [len, 1, 1, 1], Extent::Fixed);
        let mut view = |ne, first: usize, extent| self.view(all, ne, contiguous(ne, 4), first * 4, extent);
        Groups {
            n_expert,
            offsets: view([n_expert + 1, 1, 1, 1], 0, Extent::Fixed),
            rows: view([n, 1, 1, 1], n_expert + 1, extent),
            places: view([k, m, 1, 1], n_expert + 1 + n, extent),
        }
    }

    /// Each row's sum over its experts' results among the sorted rows `y [n, k m]`, weighted by
    /// `weights [k, m]`.
    pub fn combine(&mut self, y: TensorId, groups: &Groups, weights: TensorId) -> TensorId {
        let (yn, ne) = (self.ne(y), self.ne(groups.places));
        assert!(yn[1] == ne[0] * ne[1] && ne == self.ne(weights), "{yn:?} and {ne:?}");
        let extent = self.extent(weights);
        self.node(Op::Combine, &[y, groups.places, weights], [yn[0], ne[1], 1, 1], extent)
    }

    fn binary(&mut self, op: Op, a: TensorId, b: TensorId) -> TensorId {
        let (an, bn) = (self.ne(a), self.ne(b));
        assert!(an == bn || bn == [an[0], 1, 1, 1], "{op:?}: {an:?} and {bn:?}");
        let extent = self.extent(a);
        self.node(op, &[a, b], an, extent)
    }

    /// `a + b`.
    pub fn add(&mut self, a: TensorId, b: TensorId) -> TensorId {
        self.binary(Op::Add, a, b)
    }

    /// `a * b`.
    pub fn mul(&mut self, a: TensorId, b: TensorId) -> TensorId {
        self.binary(Op::Mul, a, b)
    }

    /// Root-mean-square norm of each row.
    pub fn rms_norm(&mut self, x: TensorId, eps: f32) -> TensorId {
        let (ne, extent) = (self.ne(x), self.extent(x));
        self.node(Op::RmsNorm { eps: Bits32(eps) }, &[x], ne, extent)
    }

    /// The sigmoid linear unit.
    pub fn silu(&mut self, x: TensorId) -> TensorId {
        let (ne, extent) = (self.ne(x), self.extent(x));
        self.node(Op::Silu, &[x], ne, extent)
    }

    /// `silu(gate) * up`.
    pub fn swiglu(&mut self, gate: TensorId, up: TensorId) -> TensorId {
        let gate = self.silu(gate);
        self.mul(gate, up)
    }

    /// Cosines and sines for each of `positions`.
    pub fn rope_table(
        &mut self,
        positions: TensorId,
        params: RopeParams,
        factors: Option<TensorId>,
    ) -> TensorId {
        let mut src = vec![positions];
        src.extend(factors);
        let (n, extent) = (self.ne(positions)[0], self.extent(positions));
        self.node(Op::RopeTable(params), &src, [params.n_rot, n, 1, 1], extent)
    }

    /// `x [head_dim, n_head, n]` rotated by `table [n_rot, n]`.
    pub fn rope(&mut self, x: TensorId, table: TensorId, style: RopeStyle) -> TensorId {
        let (ne, extent) = (self.ne(x), self.extent(x));
        let n_rot = self.ne(table)[0];
        assert!(n_rot <= ne[0] && self.ne(table)[1] == ne[2], "a rotation per token, within a head");
        self.node(Op::Rope { style, n_rot }, &[x, table], ne, extent)
    }

    fn write(&mut self, op: Op, src: &[TensorId]) -> TensorId {
        let kv = self.graph.node(src[0]).clone();
        self.push(Tensor { op, src: src.to_vec(), ..kv })
    }

    /// Writes `x [head_dim, n_head_kv, n]` to `cells` of `kv`; read the cache through the result.
    pub fn kv_write(&mut self, kv: TensorId, x: TensorId, cells: TensorId) -> TensorId {
        self.write(Op::KvWrite, &[kv, x, cells])
    }

    /// Rotates all keys of a cache by `table [n_rot, n_cells]`.
    pub fn kv_rope(&mut self, kv: TensorId, table: TensorId, style: RopeStyle) -> TensorId {
        let n_rot = self.ne(table)[0];
        self.write(Op::KvRope { style, n_rot }, &[kv, table])
    }

    /// Attention of `q [head_dim, n_head, n]` over the cells of `k` and `v` that `mask` shows.
    pub fn attention(
        &mut self,
        q: TensorId,
        k: TensorId,
        v: TensorId,
        mask: TensorId,
        scale: f32,
    ) -> TensorId {
        let (qn, kn, vn) = (self.ne(q), self.ne(k), self.ne(v));
        assert!(qn[0] == kn[0] && qn[1] % kn[2] == 0 && kn[2] == vn[2], "heads of {qn:?}, {kn:?}, {vn:?}");
        let extent = self.extent(q);
        let op = Op::Attention { scale: Bits32(scale) };
        self.node(op, &[q, k, v, mask], [vn[0] * qn[1], qn[2], 1, 1], extent)
    }
}
