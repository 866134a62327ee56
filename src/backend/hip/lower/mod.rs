//! From a graph to launches: every operand becomes an address, every step (`fuse`) one launch.

mod attention;
mod products;

use attention::Shape;
use products::Tiles;

use super::args::*;
use super::fuse::{Attend, MAX_COLUMNS, Step, heads_of_block, steps};
use super::module::Kernels;
use super::stream::Function;
use super::units::KV_TYPES;
use super::weights::HipWeights;
use crate::graph::plan::{Plan, plan_steps};
use crate::graph::{DType, Extent, Graph, Input, KvHalf, Op, RopeStyle, Tensor, TensorId};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// Rows that a block of `matvec.hip` makes.
const TILE: usize = 32;
/// Threads of the blocks of all other kernels but those named below.
const THREADS: u32 = 256;
const ROPE_THREADS: u32 = 128;
const NORM_THREADS: u32 = 1024;
/// Of products of one column that end in a norm.
const NORM_COLUMN_THREADS: u32 = 512;
/// Elements that a block of `elementwise.hip` and `experts.hip` takes.
const CHUNK: usize = 1024;
/// Experts that `experts.hip` can sort by.
const MAX_EXPERTS: usize = 1024;

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
    /// Room for partial results, of [`Needs::partial_bytes`].
    pub partial: u64,
    /// Zeros, of [`Needs::counters`] i32.
    pub counters: u64,
    /// Of each input.
    pub inputs: &'a dyn Fn(Input) -> u64,
    /// Of the outputs that kernels write to the host.
    pub outputs: &'a dyn Fn(TensorId) -> Option<u64>,
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
            if shape.flash {
                continue;
            }
            let n = shape.n_tokens * shape.n_head;
            needs.partial_bytes = needs.partial_bytes.max(n * shape.splits * (shape.dim_v + 2) * 4);
            needs.counters = needs.counters.max(shape.n_tokens * shape.blocks);
        }
        for step in &steps {
            if let Step::Products(ids) = step
                && let Some(tiles) = Tiles::of(graph, ids, n_cu)
            {
                needs.partial_bytes = needs.partial_bytes.max(tiles.partial_bytes());
                needs.counters = needs.counters.max(tiles.rows * tiles.columns);
            }
        }
        Layout { plan, steps, needs }
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
    for (i, step) in layout.steps.iter().enumerate() {
        l.step(step, &layout.steps[i + 1..])?;
    }
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
            _ => match ((self.at.outputs)(owner), self.plan.offsets[owner.0 as usize]) {
                (Some(at), _) => at,
                (None, Some(at)) => self.at.arena + at as u64,
                (None, None) => return Err(Error::Internal(format!("tensor {} has no memory", owner.0))),
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
        debug_assert_eq!(bytes_of(unit, kernel), Some(size_of_val(args)), "{unit}: {kernel}");
        let grid = grid.map(|n| n as u32);
        let function = self.kernels.function(unit, kernel)?;
        self.out.push(Launch { function, grid, block, args: bytemuck::bytes_of(args).to_vec() });
        Ok(())
    }

    /// The entries of a tensor that runs have and the code of what bounds them.
    fn extent(&self, t: &Tensor) -> (i32, usize) {
        match t.extent {
            Extent::Fixed => (0, t.n_rows()),
            // What is not asked for is not waited for: the one there is room for is there.
            Extent::Tokens if self.graph.n_tokens == 1 => (0, 1),
            Extent::Outputs if self.graph.n_outputs == 1 => (0, 1),
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

    /// Makes the launch of a step; `next` are those after it.
    fn step(&mut self, step: &Step, next: &[Step]) -> Result<()> {
        match step {
            Step::Node(id) => self.single(*id),
            Step::Products(ids) => self.products(ids),
            Step::ThenNorm { product, norm } => self.then_norm(*product, *norm),
            Step::SwiGlu { gate, up, gated } => self.swiglu(*gate, *up, *gated),
            Step::Attend(a) => self.attend(a, next),
            Step::RopeWrite { rope, k_rope, k_write, v_write } => {
                self.rope_write(*rope, *k_rope, *k_write, *v_write)
            }
            Step::AttendPack { attention, pack } => self.attention(*attention, Some(*pack)),
        }
    }

    fn single(&mut self, id: TensorId) -> Result<()> {
        let t = self.node(id).clone();
        match t.op {
            Op::GetRows => self.get_rows(id),
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
            Op::Attention { .. } => self.attention(id, None),
            Op::TopK { .. } | Op::ExpertWeights { .. } | Op::GroupByExpert { .. } | Op::Combine => {
                self.experts(id)
            }
            Op::Input(_) | Op::Weight(_) | Op::Kv(..) | Op::View => Ok(()),
        }
    }

    fn weight(&self, id: TensorId) -> Result<Weight> {
        let t = self.node(id);
        Ok(Weight { data: self.address(id)?, n_rows: t.n_rows() as i32, k: t.ne[0] as i32 })
    }

    /// The type of a weight or cache on the device.
    fn ggml(&self, id: TensorId) -> Result<GgmlType> {
        let t = self.node(id);
        if let Op::Weight(w) = t.op
            && self.weights.get(w)?.is_row()
        {
            return Ok(GgmlType::F32);
        }
        match t.dtype {
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

    /// Waves of a block.
    fn waves(&self, threads: u32) -> usize {
        (threads / self.kernels.device().info().wave) as usize
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
                if n_expert > MAX_EXPERTS {
                    return Err(Error::Unsupported(format!(
                        "a layer has {n_expert} experts; on a GPU at most {MAX_EXPERTS} are possible"
                    )));
                }
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
