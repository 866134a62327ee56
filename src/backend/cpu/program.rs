//! A compiled graph: its kernels in waves, with every operand resolved to a place in memory.

use super::exec::kv_type;
use super::{Bound, CpuWeights, matmul, ops};
use crate::backend::Inputs;
use crate::graph::plan::Plan;
use crate::graph::{DType, Extent, Graph, Input, KvHalf, Op, TensorId};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// The address of a weight, in the mapped file or in the bound rows.
#[derive(Clone, Copy)]
pub(super) struct WeightPtr(pub *const u8);

// SAFETY: weights are immutable and the session that holds the program keeps them alive.
unsafe impl Send for WeightPtr {}
// SAFETY: as above.
unsafe impl Sync for WeightPtr {}

/// Where an operand starts.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At this offset of the arena.
    Arena(usize),
    /// In a weight.
    Weight(WeightPtr),
    /// In the cache of a layer.
    Kv(u32, KvHalf),
    /// In an input buffer of the run.
    Input(Input),
}

/// A tensor as a kernel sees it.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub place: Place,
    /// Bytes from `place` to the first element.
    pub offset: usize,
    pub dtype: DType,
    pub ne: [usize; 4],
    pub nb: [usize; 4],
    pub extent: Extent,
    /// Rows (entries of all dimensions but the innermost) for each entry of the extent.
    pub rows_per_entry: usize,
}

impl Operand {
    /// How many entries of the outermost dimension, which has `capacity` of them, are live.
    pub fn live(&self, capacity: usize, inputs: &Inputs) -> usize {
        inputs.live(self.extent, capacity)
    }

    /// How many rows are live.
    pub fn live_rows(&self, inputs: &Inputs) -> usize {
        self.live(1, inputs) * self.rows_per_entry
    }

    /// The ggml type of a weight or cache.
    pub fn ggml(&self) -> GgmlType {
        match self.dtype {
            DType::Ggml(ty) => ty,
            _ => GgmlType::F32,
        }
    }
}

/// One operation with its operands.
pub(super) struct Kernel {
    pub op: Op,
    pub src: Vec<Operand>,
    pub dst: Operand,
}

/// Kernels that may run at the same time.
pub(super) type Wave = Vec<Kernel>;

/// See the module's documentation.
pub(super) struct Program {
    pub waves: Vec<Wave>,
    /// Offset in the arena, row length and extent of each output.
    pub outputs: Vec<(usize, usize, Extent)>,
}

impl Program {
    pub fn new(graph: &Graph, plan: &Plan, weights: &CpuWeights) -> Result<Program> {
        let operand = |id: TensorId| operand(graph, plan, weights, id);
        let kernel = |id: &TensorId| {
            let node = graph.node(*id);
            let src = node.src.iter().map(|&s| operand(s)).collect::<Result<_>>()?;
            Ok(Kernel { op: node.op, src, dst: operand(*id)? })
        };
        let wave = |ids: &Vec<TensorId>| ids.iter().map(kernel).collect::<Result<Wave>>();
        let waves = plan.waves.iter().map(wave).collect::<Result<_>>()?;
        let output = |&id: &TensorId| match operand(id)?.place {
            Place::Arena(offset) => Ok((offset, graph.node(id).ne[0], graph.node(id).extent)),
            _ => Err(Error::Internal("an output of a graph lies outside the arena".into())),
        };
        let outputs = graph.roots.iter().filter(|r| !graph.node(**r).op.has_effect()).map(output);
        Ok(Program { waves, outputs: outputs.collect::<Result<_>>()? })
    }

    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.waves.iter().flatten()
    }
}

fn operand(graph: &Graph, plan: &Plan, weights: &CpuWeights, id: TensorId) -> Result<Operand> {
    let node = graph.node(id);
    let mut offset = 0;
    let mut at = id;
    while graph.node(at).op == Op::View {
        offset += graph.node(at).offset;
        at = graph.node(at).src[0];
    }
    let owner = graph.storage(at);
    let (mut dtype, mut nb) = (node.dtype, node.nb);
    let place = match graph.node(owner).op {
        Op::Input(input) => Place::Input(input),
        Op::Kv(il, half) => Place::Kv(il, half),
        Op::Weight(w) => {
            let matrix = graph.node(owner).n_bytes();
            let (data, want) = match weights.get(w)? {
                Bound::Mapped => (weights.file.data(&super::tensor(&weights.file, w)?), matrix),
                Bound::Copied(place) => (&weights.copies[place.clone()], matrix),
                Bound::Row(row) => {
                    (dtype, nb) = (DType::F32, [4, row.len() * 4, row.len() * 4, row.len() * 4]);
                    (bytemuck::cast_slice(row), graph.node(owner).ne.iter().product::<usize>() * 4)
                }
            };
            // The graph has the shapes of the file now, what is bound has those of then.
            if data.len() != want {
                return Err(Error::Backend(format!("weight {}: the file was changed while in use", w.0)));
            }
            Place::Weight(WeightPtr(data.as_ptr()))
        }
        _ => match plan.offsets[owner.0 as usize] {
            Some(at) => Place::Arena(at),
            None => return Err(Error::Internal(format!("tensor {} has no memory", owner.0))),
        },
    };
    let entries = match node.extent {
        Extent::Fixed => 1,
        Extent::Tokens => graph.n_tokens,
        Extent::Outputs => graph.n_outputs,
    };
    let rows_per_entry = node.n_rows() / entries.max(1);
    Ok(Operand { place, offset, dtype, ne: node.ne, nb, extent: node.extent, rows_per_entry })
}

impl Kernel {
    /// Scratch that a chunk needs, in bytes.
    pub fn scratch_bytes(&self) -> usize {
        let pack = if self.dst.dtype == DType::Packed { self.dst.ne[0] * 4 } else { 0 };
        match self.op {
            Op::MatMul { .. } | Op::MatMulId => {
                let w = &self.src[0];
                matmul::scratch_bytes(w.ggml(), w.ne[0], self.src[1].ne[1])
            }
            Op::Attention { .. } => ops::attention_scratch_bytes(&self.attention_shape()),
            Op::KvRope { .. } => self.dst.ne[0] * 4,
            _ => pack,
        }
    }

    /// The shape of an attention.
    pub fn attention_shape(&self) -> ops::AttnShape {
        let (q, k, v) = (&self.src[0], &self.src[1], &self.src[2]);
        let Op::Attention { scale } = self.op else { unreachable!("asked of an attention only") };
        ops::AttnShape {
            n_head: q.ne[1],
            n_head_kv: k.ne[2],
            head_dim_k: k.ne[0],
            head_dim_v: v.ne[0],
            n_cells: k.ne[1],
            scale: scale.0,
        }
    }

    /// The type of the cache that is written.
    pub fn kv_type(&self) -> ops::KvType {
        kv_type(self.dst.ggml())
    }
}
