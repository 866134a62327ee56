//! The graph: what a model computes, as tensors and operations in the style of ggml.
//!
//! A [`Graph`] is built once per shape by [`Builder`], improved by [`passes`], laid out in one
//! arena by [`plan`](mod@plan) and handed to a backend, which compiles it once and runs it many times.
//! Nothing here knows which backend that is, and nothing here holds data: weights, the KV cache
//! and the inputs of a run are leaves that name what the backend finds elsewhere.
//!
//! Shapes are capacities. How many tokens and outputs a run really has is part of its inputs
//! ([`Extent`]), so that a change of either is data and never a new graph.

mod build;
pub mod passes;
pub mod plan;
mod rope;
#[cfg(test)]
mod tests;

pub use build::{Builder, Groups};

use crate::quant::GgmlType;

/// A node of a graph; also the tensor that the node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A weight, by its place in the model's table of bound tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub u32);

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: every activation between operations.
    F32,
    /// 32-bit integer: ids, positions, cells.
    I32,
    /// Rows of bits, 64 to a word: the attention mask.
    Bits,
    /// A model's weight in its blocks, or a KV cache.
    Ggml(GgmlType),
    /// Activation rows in the backend's own quantised form, ready for its matrix products.
    Packed,
}

/// How much of a tensor's outermost dimension a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// All of it.
    Fixed,
    /// One entry per token of the micro-batch.
    Tokens,
    /// One entry per row of wanted logits.
    Outputs,
}

/// The inputs of a run: fixed buffers that the context fills before each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// `[n_tokens]`, i32: token ids.
    Tokens,
    /// `[n_tokens]`, i32: position of each token in its sequence.
    Positions,
    /// `[n_tokens]`, i32: the KV cell that each token is written to.
    Cells,
    /// `[n_tokens][n_cells / 64]`, bits: the cells each token sees.
    Mask,
    /// `[n_outputs]`, i32: rows of the micro-batch whose logits are wanted.
    OutputIds,
    /// `[n_cells]`, i32: by how many positions each cell's key moves.
    CellShift,
    /// `[n_tokens or n_outputs][n_embd]`, f32: the residual stream as an earlier graph left it, where a
    /// model is computed by several in a row.
    Hidden,
}

/// Which half of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvHalf {
    /// Keys.
    K,
    /// Values.
    V,
}

/// Which elements of a head form a rotated pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeStyle {
    /// Neighbours: `(0, 1), (2, 3), ..` (Llama).
    Norm,
    /// Halves: `(i, i + n_rot / 2)` (Qwen2).
    Neox,
}

/// The angles of rotary positions, with YaRN's corrections (arXiv:2309.00071).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeParams {
    /// Elements of a head that rotate.
    pub n_rot: usize,
    /// Base of the frequencies.
    pub freq_base: f32,
    /// Positions are multiplied by this (1 / the linear scaling factor).
    pub freq_scale: f32,
    /// YaRN's mix of interpolation and extrapolation; 0 turns it off.
    pub ext_factor: f32,
    /// Factor on the magnitude.
    pub attn_factor: f32,
    /// YaRN's upper bound, in rotations over the original context.
    pub beta_fast: f32,
    /// YaRN's lower bound.
    pub beta_slow: f32,
    /// Context length the model was trained with before any extension.
    pub n_ctx_orig: u32,
}

/// A float that can be a key: compared and hashed by its bits.
#[derive(Clone, Copy, Debug)]
pub struct Bits32(pub f32);

impl PartialEq for Bits32 {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Bits32 {}
impl std::hash::Hash for Bits32 {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl RopeParams {
    fn key(&self) -> [u32; 8] {
        let f = |x: f32| x.to_bits();
        [
            self.n_rot as u32,
            f(self.freq_base),
            f(self.freq_scale),
            f(self.ext_factor),
            f(self.attn_factor),
            f(self.beta_fast),
            f(self.beta_slow),
            self.n_ctx_orig,
        ]
    }
}
impl Eq for RopeParams {}
impl std::hash::Hash for RopeParams {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// An operation. Sources are listed in the order in which [`Tensor::src`] holds them; those in
/// brackets may be missing. Dimensions are innermost first, as in ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Leaf: an input of the run.
    Input(Input),
    /// Leaf: a weight.
    Weight(WeightId),
    /// Leaf: the KV cache of a layer, `[head_dim, n_cells, n_head_kv]`.
    Kv(u32, KvHalf),
    /// The same elements under another shape, or a part of them.
    View,
    /// `(table [n, rows], ids [m]) -> [n, m]`: rows by id, as f32.
    GetRows,
    /// `(w [k, m], x [k, n], [bias [m]], [residual [m, n]]) -> [m, n]`: `w^T x + bias + residual`.
    /// Which of the two optional sources follow is told by the flags.
    MatMul {
        /// A bias follows the first two sources.
        bias: bool,
        /// A residual comes last.
        residual: bool,
    },
    /// `(w [k, m, n_expert], x [k, p], offsets [n_expert + 1]) -> [m, p]`: rows
    /// `offsets[e]..offsets[e + 1]` of `x` times the matrix `e`.
    MatMulId,
    /// `x [n, m] -> [k, m]`, i32: where in each row its largest elements are, the largest first and
    /// of equals the first first. Always different places of the row, whatever it holds.
    TopK {
        /// How many.
        k: usize,
    },
    /// `(logits [n_expert, m], ids [k, m]) -> [k, m]`: the softmax of the logits at `ids`.
    ExpertWeights {
        /// Factor on the weights.
        scale: Bits32,
    },
    /// `ids [k, m] -> [n_expert + 1 + 2 k m]`, i32: the pairs of a row and one of its ids, sorted by
    /// id and then by row. First, for each id and the end, where its pairs begin; then the row of
    /// each pair in that order; then, for each row and each of its ids, the place of that pair.
    GroupByExpert {
        /// Ids are less than this.
        n_expert: usize,
    },
    /// `(y [n, k m], places [k, m], weights [k, m], [residual [n, m]]) -> [n, m]`: for each row, the
    /// sum of the rows of `y` at its places, weighted, and of the residual.
    Combine,
    /// `(a, b) -> a + b`; `b` may be a single row.
    Add,
    /// `(a, b) -> a * b`; `b` may be a single row.
    Mul,
    /// `(x, [weight]) -> x / sqrt(mean(x^2) + eps) * weight`, over each row.
    RmsNorm {
        /// Added to the mean square.
        eps: Bits32,
    },
    /// `x -> x / (1 + exp(-x))`.
    Silu,
    /// `(gate, up) -> silu(gate) * up`.
    SwiGlu,
    /// `(positions [n], [freq_factors]) -> [n_rot, n]`: cosine and sine of each pair's angle.
    RopeTable(RopeParams),
    /// `(x [head_dim, n_head, n], table) -> x`, rotated.
    Rope {
        /// Which elements form a pair.
        style: RopeStyle,
        /// Elements of a head that rotate.
        n_rot: usize,
    },
    /// `(kv, x [head_dim, n_head_kv, n], cells [n]) -> kv`: writes each token's heads to its cell.
    KvWrite,
    /// `(kv, table [n_rot, n_cells]) -> kv`: rotates every cell's keys in place.
    KvRope {
        /// Which elements form a pair.
        style: RopeStyle,
        /// Elements of a head that rotate.
        n_rot: usize,
    },
    /// `(q [head_dim, n_head, n], k, v, mask) -> [head_dim_v * n_head, n]`:
    /// softmax of `scale * q . k` over the cells that the mask shows, times `v`.
    Attention {
        /// Factor on the scores.
        scale: Bits32,
    },
    /// `x [k, n] f32 -> [k, n] packed`: into the backend's form for matrix products.
    Pack,
}

impl Op {
    /// Whether running it twice or not at all could be told apart from running it once.
    pub fn has_effect(self) -> bool {
        matches!(self, Op::KvWrite | Op::KvRope { .. })
    }

    /// Whether it stands for data that is there before the run.
    pub fn is_leaf(self) -> bool {
        matches!(self, Op::Input(_) | Op::Weight(_) | Op::Kv(..))
    }
}

/// A node: an operation, what it reads, and the shape and layout of what it makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// What makes it.
    pub op: Op,
    /// What the operation reads; always earlier nodes.
    pub src: Vec<TensorId>,
    /// Type of the elements.
    pub dtype: DType,
    /// Elements per dimension, innermost first; unused dimensions are 1.
    pub ne: [usize; 4],
    /// Bytes from one entry of each dimension to the next. For types in blocks and packed rows,
    /// `nb[0]` is that of a block and of a row.
    pub nb: [usize; 4],
    /// How much of the outermost dimension is used.
    pub extent: Extent,
    /// For a view: bytes from the start of its source.
    pub offset: usize,
}

impl Tensor {
    /// Rows: entries of all dimensions but the innermost.
    pub fn n_rows(&self) -> usize {
        self.ne[1] * self.ne[2] * self.ne[3]
    }

    /// Bytes of a tensor that owns its memory.
    pub fn n_bytes(&self) -> usize {
        self.nb[3] * self.ne[3]
    }
}

/// Operations in an order in which each comes after what it reads, and what is wanted of them.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes; a [`TensorId`] is an index into them.
    pub nodes: Vec<Tensor>,
    /// The tensors the graph is run for: logits and cache writes.
    pub roots: Vec<TensorId>,
    /// Capacity in tokens, the size of [`Extent::Tokens`].
    pub n_tokens: usize,
    /// Capacity in rows of logits, the size of [`Extent::Outputs`].
    pub n_outputs: usize,
    /// If not 0, no two tensors share memory and at least so many bytes before and behind each belong to
    /// none: for tests that look for writes to where they should not go.
    pub guard: usize,
}

impl Graph {
    /// The node `id`.
    pub fn node(&self, id: TensorId) -> &Tensor {
        &self.nodes[id.0 as usize]
    }

    /// The node that owns the memory of `id`: itself, or what it views or writes into.
    pub fn storage(&self, mut id: TensorId) -> TensorId {
        while matches!(self.node(id).op, Op::View | Op::KvWrite | Op::KvRope { .. }) {
            id = self.node(id).src[0];
        }
        id
    }

    /// The node that `id` is a view of, or itself.
    pub fn base(&self, mut id: TensorId) -> TensorId {
        while self.node(id).op == Op::View {
            id = self.node(id).src[0];
        }
        id
    }

    /// How many nodes read each node, roots counted as a reader.
    pub fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0; self.nodes.len()];
        for id in self.nodes.iter().flat_map(|n| &n.src).chain(&self.roots) {
            uses[id.0 as usize] += 1;
        }
        uses
    }

    /// Nodes that do something (leaves and views left out).
    pub fn n_ops(&self) -> usize {
        self.nodes.iter().filter(|n| !n.op.is_leaf() && n.op != Op::View).count()
    }

    /// The weights that the graph reads, each once.
    pub fn weights(&self) -> Vec<WeightId> {
        let weight = |n: &Tensor| if let Op::Weight(id) = n.op { Some(id) } else { None };
        let mut ids: Vec<_> = self.nodes.iter().filter_map(weight).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
