//! From a graph to launches: every operand becomes an address, every step (`fuse`) one launch.

use super::args::*;
use super::fuse::{Attend, MAX_COLUMNS, Step, heads_of_block, steps};
use super::module::Kernels;
use super::stream::Function;
use super::weights::HipWeights;
use crate::graph::plan::{Plan, plan_steps};
use crate::graph::{DType, Extent, Graph, Input, KvHalf, Op, RopeStyle, Tensor, TensorId};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// Rows that a block of `matvec.hip` makes.
const TILE: usize = 32;
/// Rows and columns that a block of `matmul.hip` makes, and the columns from which on it is used.
const MATMUL_TILE: [usize; 2] = [128, 64];
const MATMUL_COLUMNS: usize = 64;
/// Threads of the blocks of all other kernels but those named below.
const THREADS: u32 = 256;
const ROPE_THREADS: u32 = 128;
const NORM_THREADS: u32 = 1024;
/// Elements that a block of `elementwise.hip` and `experts.hip` takes.
const CHUNK: usize = 1024;

/// One kernel to start.
pub(super) struct Launch {
    pub function: Function,
    pub grid: [u32; 3],
    pub block: u32,
    pub args: Vec<u8>,
}

/// Where a session keeps what graphs read and write.
pub(super) struct Addresses<'a> {
    /// The arena of intermediate results.
    pub arena: u64,
    /// Room for attention's partial results, of [`Lowered::partial_bytes`].
    pub partial: u64,
    /// Zeros, of [`Lowered::counters`] i32.
    pub counters: u64,
    /// Of each input.
    pub inputs: &'a dyn Fn(Input) -> u64,
    /// The counts of a run, [`RunCounts`].
    pub run: u64,
    /// Of the halves of each layer's cache.
    pub kv: &'a [[u64; 2]],
}

/// What a graph needs besides its plan's arena.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    pub partial_bytes: usize,
    pub counters: usize,
}

/// A graph cut into steps and laid out, before it has addresses.
pub(super) struct Layout {
    pub plan: Plan,
    steps: Vec<Step>,
    pub needs: Needs,
}

impl Layout {
    pub fn new(graph: &Graph, n_cu: usize) -> Layout {
        let (mut steps, of) = steps(graph);
        let plan = plan_steps(graph, |id| of[id.0 as usize]);
        let mut wave = vec![0; graph.nodes.len()];
        for (w, ids) in plan.waves.iter().enumerate() {
            ids.iter().for_each(|id| wave[id.0 as usize] = w);
        }
        steps.sort_by_key(|s| s.nodes().iter().map(|id| (wave[id.0 as usize], *id)).max());
        let mut needs = Needs::default();
        for id in graph.nodes.iter().filter(|n| matches!(n.op, Op::Attention { .. })) {
            let shape = Shape::of(graph, id, n_cu);
            let n = shape.n_tokens * shape.n_head;
            needs.partial_bytes = needs.partial_bytes.max(n * shape.splits * (shape.dim_v + 2) * 4);
            needs.counters = needs.counters.max(shape.n_tokens * shape.blocks);
        }
        Layout { plan, steps, needs }
    }
}

/// The shape of an attention and of its grid.
struct Shape {
    n_tokens: usize,
    n_head: usize,
    n_head_kv: usize,
    dim_v: usize,
    /// Lanes to a cell and heads to a block: which kernel.
    lanes: usize,
    heads: usize,
    blocks: usize,
    splits: usize,
}

impl Shape {
    fn of(graph: &Graph, node: &Tensor, n_cu: usize) -> Shape {
        let [q, k, v] = [0, 1, 2].map(|i| graph.node(node.src[i]));
        let (n_head, n_head_kv, n_tokens) = (q.ne[1], k.ne[2], q.ne[2]);
        let lanes = (k.ne[0].max(v.ne[0]).div_ceil(8)).next_power_of_two().clamp(8, 32);
        let per_kv = n_head / n_head_kv;
        let heads = heads_of_block(per_kv, k.ne[1]);
        let blocks = n_head_kv * per_kv.div_ceil(heads);
        // Two blocks to a compute unit hide each other's latency; a split is at least a word of the mask.
        let splits = (2 * n_cu).div_ceil(blocks * n_tokens).clamp(1, k.ne[1] / 64);
        Shape { n_tokens, n_head, n_head_kv, dim_v: v.ne[0], lanes, heads, blocks, splits }
    }
}

/// Makes the launches of `graph`.
pub(super) fn lower(
    graph: &Graph,
    layout: &Layout,
    at: &Addresses<'_>,
    weights: &HipWeights,
    kernels: &Kernels,
    n_cu: usize,
) -> Result<Vec<Launch>> {
    let lazy = layout
        .steps
        .iter()
        .filter_map(|s| if let Step::ThenNorm { norm, .. } = s { Some(*norm) } else { None });
    let lazy = lazy.collect();
    let mut l = Lower { graph, plan: &layout.plan, at, weights, kernels, n_cu, lazy, out: Vec::new() };
    layout.steps.iter().try_for_each(|step| l.step(step))?;
    Ok(l.out)
}

struct Lower<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    at: &'a Addresses<'a>,
    weights: &'a HipWeights,
    kernels: &'a Kernels,
    n_cu: usize,
    /// Norms whose factor their readers have to make.
    lazy: Vec<TensorId>,
    out: Vec<Launch>,
}

impl Lower<'_> {
    fn node(&self, id: TensorId) -> &Tensor {
        self.graph.node(id)
    }

    fn src(&self, id: TensorId, i: usize) -> TensorId {
        self.node(id).src[i]
    }

    /// The address of a tensor's first element.
    fn address(&self, mut id: TensorId) -> Result<u64> {
        let mut offset = 0;
        while self.node(id).op == Op::View {
            offset += self.node(id).offset as u64;
            id = self.src(id, 0);
        }
        let owner = self.graph.storage(id);
        let start = match self.node(owner).op {
            Op::Input(input) => (self.at.inputs)(input),
            Op::Weight(w) => self.weights.get(w)?.address,
            Op::Kv(il, half) => self.at.kv[il as usize][usize::from(half == KvHalf::V)],
            _ => match self.plan.offsets[owner.0 as usize] {
                Some(at) => self.at.arena + at as u64,
                None => return Err(Error::Internal(format!("tensor {} has no memory", owner.0))),
            },
        };
        Ok(start + offset)
    }

    fn optional(&self, id: TensorId, i: usize) -> Result<u64> {
        self.node(id).src.get(i).map_or(Ok(0), |&s| self.address(s))
    }

    fn launch(
        &mut self,
        (unit, kernel): (&str, &str),
        grid: [usize; 3],
        block: u32,
        args: &impl bytemuck::NoUninit,
    ) -> Result<()> {
        let grid = grid.map(|n| n as u32);
        let function = self.kernels.function(unit, kernel)?;
        self.out.push(Launch { function, grid, block, args: bytemuck::bytes_of(args).to_vec() });
        Ok(())
    }

    /// The entries of a tensor that runs have and the code of what bounds them.
    fn extent(&self, t: &Tensor) -> (i32, usize) {
        match t.extent {
            Extent::Fixed => (0, t.n_rows()),
            Extent::Tokens => (1, self.graph.n_tokens),
            Extent::Outputs => (2, self.graph.n_outputs),
        }
    }

    /// Rows of f32 for each entry, and in how many parts (heads) they come.
    fn rows(&self, id: TensorId) -> Result<(Rows, usize)> {
        let t = self.node(id);
        let p = self.address(id)?;
        let stride = |i: usize| (t.nb[i] / 4) as i32;
        let (_, entries) = self.extent(t);
        match t.n_rows() == entries {
            true => Ok((Rows { p, entry: stride(1), mid: 0 }, 1)),
            false => Ok((Rows { p, entry: stride(2), mid: stride(1) }, t.ne[1])),
        }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Node(id) => self.single(*id),
            Step::Products(ids) => self.products(ids),
            Step::ThenNorm { product, norm } => self.then_norm(*product, *norm),
            Step::SwiGlu { gate, up, gated } => self.swiglu(*gate, *up, *gated),
            Step::Attend(a) => self.attend(a),
        }
    }

    fn single(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        match t.op {
            Op::GetRows => self.get_rows(id),
            Op::MatMul { .. } if self.node(t.src[1]).dtype == DType::Packed => self.product(id),
            Op::MatMul { .. } => self.float_product(id),
            Op::MatMulId => self.expert_product(id),
            Op::RmsNorm { .. } => self.norm(id),
            Op::Add => self.binary(id, "add"),
            Op::Mul => self.binary(id, "mul"),
            Op::Silu => self.binary(id, "silu"),
            Op::SwiGlu if t.dtype == DType::Packed => self.binary(id, "swiglu_pack"),
            Op::SwiGlu => self.binary(id, "swiglu"),
            Op::Pack => self.binary(id, "pack"),
            Op::RopeTable(_) => self.rope_table(id),
            Op::Rope { .. } => self.rope(id),
            Op::KvWrite => self.kv_write(id),
            Op::KvRope { .. } => self.kv_rope(id),
            Op::Attention { .. } => self.attention(id),
            Op::TopK { .. } | Op::ExpertWeights { .. } | Op::GroupByExpert { .. } | Op::Combine => {
                self.experts(id)
            }
            Op::Input(_) | Op::Weight(_) | Op::Kv(..) | Op::View => Ok(()),
        }
    }

    /// A product of a packed input: through matrix instructions where it has many columns.
    fn product(&mut self, id: TensorId) -> Result<()> {
        let n = self.node(id).n_rows();
        let Op::MatMul { bias, residual } = self.node(id).op else {
            return Err(Error::Internal("a product that is none".into()));
        };
        if n < MATMUL_COLUMNS {
            return self.products(&[id]);
        }
        let (w, x) = (self.src(id, 0), self.src(id, 1));
        let (extent, capacity) = self.extent(self.node(id));
        let a = MatMul {
            w: self.weight(w)?,
            x: self.address(x)?,
            bias: if bias { self.optional(id, 2)? } else { 0 },
            residual: if residual { self.optional(id, 2 + usize::from(bias))? } else { 0 },
            y: self.address(id)?,
            stride: (self.node(id).nb[1] / 4) as i32,
            extent,
            capacity: capacity as i32,
            run: self.at.run,
            grids: self.weights.grids(),
            ..MatMul::default()
        };
        let grid = [self.node(w).ne[1].div_ceil(MATMUL_TILE[0]), n.div_ceil(MATMUL_TILE[1]), 1];
        let unit = self.unit("matmul", w)?;
        self.launch((&unit, "matmul"), grid, THREADS, &a)
    }

    /// The arguments that all products of packed rows have in common.
    fn mat_vec(&self, x: TensorId, y: TensorId) -> Result<MatVec> {
        let (extent, capacity) = self.extent(self.node(y));
        let eps = if let Op::RmsNorm { eps } = self.node(x).op { eps.0 } else { 0.0 };
        Ok(MatVec {
            x: self.address(x)?,
            strides: [(self.node(y).nb[1] / 4) as i32; 3],
            run: self.at.run,
            eps,
            lazy: i32::from(self.lazy.contains(&x)),
            extent,
            capacity: capacity as i32,
            grids: self.weights.grids(),
            ..MatVec::default()
        })
    }

    /// Columns that a launch has and those of a block: the kernel's name ends in the latter.
    fn columns(&self, y: TensorId) -> (usize, usize) {
        let n = self.node(y).n_rows();
        let each = n.next_power_of_two().min(MAX_COLUMNS);
        (n.div_ceil(each), each)
    }

    fn products(&mut self, ids: &[TensorId]) -> Result<()> {
        let first = ids[0];
        let mut a = self.mat_vec(self.src(first, 1), first)?;
        let mut tiles = 0;
        for m in 0..3 {
            let Some(&id) = ids.get(m) else {
                a.tiles[m] = tiles as i32;
                continue;
            };
            let Op::MatMul { bias, residual } = self.node(id).op else {
                return Err(Error::Internal("a product that is none".into()));
            };
            a.w[m] = self.weight(self.src(id, 0))?;
            a.bias[m] = if bias { self.optional(id, 2)? } else { 0 };
            a.residual = if residual { self.optional(id, 2 + usize::from(bias))? } else { 0 };
            a.y[m] = self.address(id)?;
            tiles += self.node(id).ne[0].div_ceil(TILE);
            a.tiles[m] = tiles as i32;
            a.strides[m] = (self.node(id).nb[1] / 4) as i32;
        }
        let (n, each) = self.columns(first);
        let (unit, kernel) = (self.unit("matvec", self.src(first, 0))?, format!("matvec_{each}"));
        self.launch((&unit, &kernel), [tiles, n, 1], THREADS, &a)
    }

    fn then_norm(&mut self, product: TensorId, norm: TensorId) -> Result<()> {
        let mut a = self.mat_vec(self.src(product, 1), product)?;
        let Op::MatMul { bias, residual } = self.node(product).op else {
            return Err(Error::Internal("a product that is none".into()));
        };
        a.w[0] = self.weight(self.src(product, 0))?;
        a.bias[0] = if bias { self.optional(product, 2)? } else { 0 };
        a.residual = if residual { self.optional(product, 2 + usize::from(bias))? } else { 0 };
        a.y[0] = self.address(product)?;
        a.norm = self.address(self.src(norm, 1))?;
        a.packed = self.address(norm)?;
        let (n, each) = self.columns(product);
        let tiles = self.node(product).ne[0] / TILE;
        let (unit, kernel) = (self.unit("matvec", self.src(product, 0))?, format!("matvec_norm_{each}"));
        self.launch((&unit, &kernel), [tiles, n, 1], THREADS, &a)
    }

    fn swiglu(&mut self, gate: TensorId, up: TensorId, gated: TensorId) -> Result<()> {
        let mut a = self.mat_vec(self.src(gate, 1), gate)?;
        for (m, id) in [gate, up].into_iter().enumerate() {
            a.w[m] = self.weight(self.src(id, 0))?;
            a.bias[m] = self.optional(id, 2)?;
        }
        a.packed = self.address(gated)?;
        let (n, each) = self.columns(gate);
        let tiles = self.node(gate).ne[0] / TILE;
        let (unit, kernel) = (self.unit("matvec", self.src(gate, 0))?, format!("matvec_swiglu_{each}"));
        self.launch((&unit, &kernel), [tiles, n, 1], THREADS, &a)
    }

    fn weight(&self, id: TensorId) -> Result<Weight> {
        let t = self.node(id);
        Ok(Weight { data: self.address(id)?, n_rows: t.n_rows() as i32, k: t.ne[0] as i32 })
    }

    fn ggml(&self, id: TensorId) -> Result<GgmlType> {
        match self.node(id).dtype {
            DType::Ggml(ty) => Ok(ty),
            _ => Err(Error::Internal(format!("tensor {} is no matrix", id.0))),
        }
    }

    /// The unit of `source` for the type of a weight or cache.
    fn unit(&self, source: &str, weight: TensorId) -> Result<String> {
        Ok(format!("{source}_{}", self.ggml(weight)?.name().to_lowercase()))
    }

    fn is_float(&self, weight: TensorId) -> Result<bool> {
        Ok(self.ggml(weight)?.block_len() == 1)
    }

    fn get_rows(&mut self, id: TensorId) -> Result<()> {
        let (table, ids) = (self.src(id, 0), self.src(id, 1));
        let t = self.node(id).clone();
        let (extent, capacity) = self.extent(&t);
        let (y, ids, run) = (self.address(id)?, self.address(ids)?, self.at.run);
        let n = t.n_rows();
        if !matches!(self.node(table).dtype, DType::Ggml(_)) || !matches!(self.node(table).op, Op::Weight(_))
        {
            let x = self.node(table);
            let bytes = if t.dtype == DType::Packed { t.nb[1] } else { t.ne[0] * 4 };
            let a = CopyRows {
                x: self.address(table)?,
                y,
                ids,
                x_stride: x.nb[1] as i64,
                y_stride: t.nb[1] as i64,
                bytes: bytes as i32,
                extent,
                capacity: capacity as i32,
                per_entry: (n / capacity.max(1)) as i32,
                run,
            };
            return self.launch(("elementwise", "copy_rows"), [n, 1, 1], THREADS, &a);
        }
        let w = self.weight(table)?;
        let (capacity, parts) = (capacity as i32, t.ne[0].div_ceil(8192));
        if self.is_float(table)? {
            let a = FloatGetRows { w, y, ids, run, extent, capacity };
            let unit = self.unit("float", table)?;
            return self.launch((&unit, "get_rows"), [n, parts, 1], THREADS, &a);
        }
        let a = GetRows { w, y, ids, run, extent, capacity, grids: self.weights.grids() };
        let unit = self.unit("rows", table)?;
        self.launch((&unit, "get_rows"), [n, parts, 1], THREADS, &a)
    }

    fn float_product(&mut self, id: TensorId) -> Result<()> {
        let Op::MatMul { bias, residual } = self.node(id).op else {
            return Err(Error::Internal("a product that is none".into()));
        };
        let (w, x) = (self.src(id, 0), self.src(id, 1));
        let (extent, capacity) = self.extent(self.node(id));
        let (n, each) = self.columns(id);
        let stride = |t: TensorId| (self.node(t).nb[1] / 4) as i32;
        let a = FloatMatVec {
            w: self.weight(w)?,
            x: self.address(x)?,
            bias: if bias { self.optional(id, 2)? } else { 0 },
            residual: if residual { self.optional(id, 2 + usize::from(bias))? } else { 0 },
            y: self.address(id)?,
            x_stride: stride(x),
            y_stride: stride(id),
            residual_stride: if residual { stride(self.src(id, 2 + usize::from(bias))) } else { 0 },
            n_rows: self.node(w).ne[1] as i32,
            extent,
            capacity: capacity as i32,
            run: self.at.run,
            ..FloatMatVec::default()
        };
        let rows = self.node(w).ne[1].div_ceil(self.waves(THREADS));
        let (unit, kernel) = (self.unit("float", w)?, format!("matvec_{each}"));
        self.launch((&unit, &kernel), [rows, n, 1], THREADS, &a)
    }

    /// Waves of a block.
    fn waves(&self, threads: u32) -> usize {
        (threads / self.kernels.device().info().wave) as usize
    }

    fn expert_product(&mut self, id: TensorId) -> Result<()> {
        let [w, x, offsets] = [0, 1, 2].map(|i| self.src(id, i));
        let [_, m, n_expert, _] = self.node(w).ne;
        let pairs = self.node(id).n_rows();
        let (y, offsets, run) = (self.address(id)?, self.address(offsets)?, self.at.run);
        let y_stride = (self.node(id).nb[1] / 4) as i32;
        if self.is_float(w)? {
            let a = FloatMatVec {
                w: self.weight(w)?,
                x: self.address(x)?,
                y,
                offsets,
                x_stride: (self.node(x).nb[1] / 4) as i32,
                y_stride,
                n_rows: m as i32,
                n_expert: n_expert as i32,
                run,
                ..FloatMatVec::default()
            };
            let unit = self.unit("float", w)?;
            return self.launch(
                (&unit, "matvec_id"),
                [m.div_ceil(self.waves(THREADS)), pairs, 1],
                THREADS,
                &a,
            );
        }
        let mut a = MatVec { offsets, n_expert: n_expert as i32, ..self.mat_vec(x, id)? };
        (a.w[0], a.y[0]) = (self.weight(w)?, y);
        let unit = self.unit("matvec", w)?;
        self.launch((&unit, "matvec_id"), [m.div_ceil(TILE), pairs, 1], THREADS, &a)
    }

    fn norm(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        let Op::RmsNorm { eps } = t.op else { return Err(Error::Internal("a norm that is none".into())) };
        let (extent, capacity) = self.extent(&t);
        let (x, n_mid) = self.rows(t.src[0])?;
        let packed = t.dtype == DType::Packed;
        let a = Norm {
            x,
            y: if packed { Rows::default() } else { self.rows(id)?.0 },
            weight: self.optional(id, 1)?,
            packed: if packed { self.address(id)? } else { 0 },
            n: t.ne[0] as i32,
            n_mid: n_mid as i32,
            eps: eps.0,
            extent,
            capacity: capacity as i32 / if t.extent == Extent::Fixed { n_mid as i32 } else { 1 },
            pad: 0,
            run: self.at.run,
        };
        let kernel = if packed { "rms_norm_pack" } else { "rms_norm" };
        self.launch(("elementwise", kernel), [t.n_rows(), 1, 1], NORM_THREADS, &a)
    }

    fn binary(&mut self, id: TensorId, kernel: &str) -> Result<()> {
        let t = self.node(id).clone();
        let (extent, capacity) = self.extent(&t);
        let (a, n_mid) = self.rows(t.src[0])?;
        let b = match t.src.get(1) {
            None => Rows::default(),
            Some(&b) if self.node(b).n_rows() == 1 && t.n_rows() != 1 => {
                Rows { p: self.address(b)?, entry: 0, mid: 0 }
            }
            Some(&b) => self.rows(b)?.0,
        };
        let packed = t.dtype == DType::Packed;
        let args = Binary {
            a,
            b,
            y: if packed { Rows::default() } else { self.rows(id)?.0 },
            packed: if packed { self.address(id)? } else { 0 },
            n: t.ne[0] as i32,
            n_mid: n_mid as i32,
            extent,
            capacity: capacity as i32 / if t.extent == Extent::Fixed { n_mid as i32 } else { 1 },
            run: self.at.run,
        };
        self.launch(("elementwise", kernel), [t.n_rows(), t.ne[0].div_ceil(CHUNK), 1], THREADS, &args)
    }

    fn rope_table(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        let Op::RopeTable(params) = t.op else { return Err(Error::Internal("a table that is none".into())) };
        if params.n_rot > 2 * MAX_PAIRS {
            return Err(Error::Unsupported(format!(
                "{} elements of a head rotate; on a GPU at most {} can",
                params.n_rot,
                2 * MAX_PAIRS
            )));
        }
        let factors = match t.src.get(1) {
            Some(&f) => Some(self.weights.row_of(self.graph, f)?),
            None => None,
        };
        let mut frequency = [0.0; MAX_PAIRS];
        frequency.iter_mut().zip(params.frequencies(factors)).for_each(|(to, f)| *to = f);
        let (extent, capacity) = self.extent(&t);
        let a = RopeTable {
            positions: self.address(t.src[0])?,
            table: self.address(id)?,
            n_rot: params.n_rot as i32,
            extent,
            capacity: capacity as i32,
            magnitude: params.magnitude() as f32,
            run: self.at.run,
            frequency,
        };
        self.launch(("rope", "rope_table"), [t.n_rows(), 1, 1], ROPE_THREADS, &a)
    }

    fn rope(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        let Op::Rope { style, n_rot } = t.op else { return Err(Error::Internal("no rotation".into())) };
        let x = self.node(t.src[0]);
        let (extent, capacity) = self.extent(&t);
        let a = Rope {
            x: self.address(t.src[0])?,
            y: self.address(id)?,
            table: self.address(t.src[1])?,
            x_token: (x.nb[2] / 4) as i32,
            x_head: (x.nb[1] / 4) as i32,
            y_token: (t.nb[2] / 4) as i32,
            y_head: (t.nb[1] / 4) as i32,
            head_dim: t.ne[0] as i32,
            n_rot: n_rot as i32,
            neox: i32::from(style == RopeStyle::Neox),
            extent,
            capacity: capacity as i32,
            pad: 0,
            run: self.at.run,
        };
        self.launch(("rope", "rope"), [t.ne[2], t.ne[1], 1], ROPE_THREADS, &a)
    }

    /// A cache as kernels see it; `id` is its leaf or a write to it.
    fn cache(&self, id: TensorId) -> Result<Cache> {
        let t = self.node(id);
        Ok(Cache { p: self.address(id)?, dim: t.ne[0] as i32, n_cells: t.ne[1] as i32 })
    }

    fn kv_write(&mut self, id: TensorId) -> Result<()> {
        let [kv, x, cells] = [0, 1, 2].map(|i| self.src(id, i));
        let heads = self.node(x).clone();
        let (extent, capacity) = self.extent(&heads);
        let a = KvWrite {
            x: self.address(x)?,
            cells: self.address(cells)?,
            x_token: (heads.nb[2] / 4) as i32,
            x_head: (heads.nb[1] / 4) as i32,
            kv: self.cache(kv)?,
            extent,
            capacity: capacity as i32,
            run: self.at.run,
        };
        let kernel = self.unit("kv_write", kv)?;
        self.launch(("rope", &kernel), [heads.ne[2], heads.ne[1], 1], ROPE_THREADS, &a)
    }

    fn kv_rope(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        let Op::KvRope { style, n_rot } = t.op else { return Err(Error::Internal("no rotation".into())) };
        let a = KvRope {
            kv: self.cache(id)?,
            table: self.address(t.src[1])?,
            n_rot: n_rot as i32,
            neox: i32::from(style == RopeStyle::Neox),
            run: self.at.run,
        };
        let kernel = self.unit("kv_rope", self.graph.storage(id))?;
        self.launch(("rope", &kernel), [t.ne[1], t.ne[2], 1], ROPE_THREADS, &a)
    }

    /// The arguments of an attention whose queries are `q`, and its shape.
    fn attention_args(&self, id: TensorId, q: TensorId) -> Result<(Attention, Shape)> {
        let t = self.node(id);
        let Op::Attention { scale } = t.op else { return Err(Error::Internal("no attention".into())) };
        let shape = Shape::of(self.graph, t, self.n_cu);
        let [k, v, mask] = [1, 2, 3].map(|i| t.src[i]);
        let heads = self.node(q);
        let a = Attention {
            q: self.address(q)?,
            k: self.cache(k)?,
            v: self.cache(v)?,
            mask: self.address(mask)?,
            partial: self.at.partial,
            counters: self.at.counters,
            q_token: (heads.nb[2] / 4) as i32,
            q_head: (heads.nb[1] / 4) as i32,
            n_head: shape.n_head as i32,
            n_head_kv: shape.n_head_kv as i32,
            splits: shape.splits as i32,
            mask_words: (self.node(mask).nb[1] / 8) as i32,
            scale: scale.0,
            run: self.at.run,
            ..Attention::default()
        };
        Ok((a, shape))
    }

    fn launch_attention(&mut self, kernel: &str, id: TensorId, a: &Attention, shape: &Shape) -> Result<()> {
        let keys = self.graph.storage(self.src(id, 1));
        let kernel = format!("{kernel}_{}_{}", shape.lanes, shape.heads);
        let unit = self.unit("attention", keys)?;
        self.launch((&unit, &kernel), [shape.blocks, shape.splits, shape.n_tokens], THREADS, a)
    }

    fn attention(&mut self, id: TensorId) -> Result<()> {
        let (mut a, shape) = self.attention_args(id, self.src(id, 0))?;
        a.y = self.address(id)?;
        self.launch_attention("attention", id, &a, &shape)
    }

    fn attend(&mut self, s: &Attend) -> Result<()> {
        let (mut a, shape) = self.attention_args(s.attention, s.q)?;
        match s.pack {
            Some(pack) => a.packed = self.address(pack)?,
            None => a.y = self.address(s.attention)?,
        }
        let Op::Rope { style, n_rot } = self.node(s.rope).op else {
            return Err(Error::Internal("no rotation".into()));
        };
        a.table = self.address(self.src(s.rope, 1))?;
        (a.new_k, a.new_v) = (self.address(s.k)?, self.address(s.v)?);
        for (norm, to) in [(s.q_norm, &mut a.q_norm), (s.k_norm, &mut a.k_norm)] {
            if let Some(norm) = norm
                && let Op::RmsNorm { eps } = self.node(norm).op
            {
                *to = self.address(self.src(norm, 1))?;
                a.eps = eps.0;
            }
        }
        a.cell = (self.at.inputs)(Input::Cells);
        a.n_rot = n_rot as i32;
        a.neox = i32::from(style == RopeStyle::Neox);
        self.launch_attention("attention_step", s.attention, &a, &shape)
    }

    fn experts(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        let (extent, capacity) = self.extent(&t);
        let (capacity, run, y) = (capacity as i32, self.at.run, self.address(id)?);
        let n = t.n_rows();
        let src = |i: usize| self.address(t.src[i]);
        let row = |i: usize| self.node(t.src[i]).ne[0] as i32;
        let wave = self.kernels.device().info().wave;
        match t.op {
            Op::TopK { k } => {
                let a = TopK { x: src(0)?, ids: y, n: row(0), k: k as i32, extent, capacity, run };
                self.launch(("experts", "top_k"), [n, 1, 1], wave, &a)
            }
            Op::ExpertWeights { scale } => {
                let (logits, ids) = (src(0)?, src(1)?);
                let (n_expert, k, scale) = (row(0), row(1), scale.0);
                let a =
                    ExpertWeights { logits, ids, y, n: n_expert, k, extent, capacity, scale, pad: 0, run };
                self.launch(("experts", "expert_weights"), [n, 1, 1], wave, &a)
            }
            Op::GroupByExpert { n_expert } => {
                let ids = self.node(t.src[0]);
                let (extent, _) = self.extent(ids);
                let capacity = (ids.ne[0] * ids.ne[1]) as i32;
                let a = GroupByExpert {
                    ids: src(0)?,
                    out: y,
                    n_expert: n_expert as i32,
                    k: row(0),
                    capacity,
                    extent,
                    run,
                };
                self.launch(("experts", "group_by_expert"), [1, 1, 1], THREADS, &a)
            }
            Op::Combine => {
                let stride = |id: TensorId| (self.node(id).nb[1] / 4) as i32;
                let residual = t.src.get(3).copied();
                let a = Combine {
                    x: src(0)?,
                    places: src(1)?,
                    weights: src(2)?,
                    residual: residual.map_or(Ok(0), |r| self.address(r))?,
                    y,
                    n: t.ne[0] as i32,
                    k: row(1),
                    extent,
                    capacity,
                    x_stride: stride(t.src[0]),
                    y_stride: stride(id),
                    residual_stride: residual.map_or(0, stride),
                    pad: 0,
                    run,
                };
                self.launch(("experts", "combine"), [n, t.ne[0].div_ceil(CHUNK), 1], THREADS, &a)
            }
            _ => Err(Error::Internal("no operation of experts".into())),
        }
    }
}
