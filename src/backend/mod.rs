//! The seam between what a model computes and what computes it.
//!
//! A [`Backend`] takes the weights of a model once ([`Backend::bind`]) and opens a [`Session`] for
//! each context: the KV cache, the arena, the threads or streams, and the compiled graphs.
//! Model code builds graphs and never asks which backend runs them.

pub mod cpu;
pub mod devices;
#[cfg(unix)]
pub mod hip;
mod pipeline;

pub use pipeline::{Pipeline, Stage};

use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::gguf;
use crate::graph::passes::Packing;
use crate::graph::{Extent, Graph, KvHalf, WeightId};
use crate::quant::GgmlType;

/// The weights of a model, bound to a backend. Immutable; shared by all contexts of the model.
pub trait Weights: Send + Sync {
    /// Bytes held besides the mapped file.
    fn resident_bytes(&self) -> usize;
    /// For the session of the same backend to find its own type again.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// Heads of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayer {
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Elements of a key head.
    pub head_dim_k: usize,
    /// Elements of a value head.
    pub head_dim_v: usize,
}

/// The KV cache of a context. Each half of a layer is `[n_head_kv][n_cells][head_dim]`.
#[derive(Clone, Debug)]
pub struct KvSpec {
    /// The layers, in order.
    pub layers: Vec<KvLayer>,
    /// Cells of each layer, a multiple of 64.
    pub n_cells: usize,
    /// Type of the keys.
    pub type_k: GgmlType,
    /// Type of the values.
    pub type_v: GgmlType,
}

/// One head of one half of a layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHead {
    /// The layer.
    pub layer: usize,
    /// Keys or values.
    pub half: KvHalf,
    /// The head.
    pub head: usize,
}

/// What a session is opened for.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The KV cache, allocated at once.
    pub kv: KvSpec,
    /// Threads for a single token.
    pub n_threads: usize,
    /// Threads for micro-batches.
    pub n_threads_batch: usize,
}

/// The fixed input buffers of a run, filled by the context. Buffers are as large as the largest
/// graph needs; the counts say how much of them a run uses.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `[n_tokens]`: token ids.
    pub tokens: Vec<i32>,
    /// `[n_tokens]`: positions.
    pub positions: Vec<i32>,
    /// `[n_tokens]`: KV cells to write.
    pub cells: Vec<i32>,
    /// `[n_tokens][n_cells / 64]`: bit `c % 64` of word `c / 64` says that the token sees cell `c`.
    pub mask: Vec<u64>,
    /// `[n_outputs]`: rows of the micro-batch whose logits are wanted.
    pub output_ids: Vec<i32>,
    /// `[n_cells]`: positions by which keys move; used by the shift graph only.
    pub cell_shift: Vec<i32>,
    /// `[n_tokens or n_outputs][n_embd]`: see [`Input::Hidden`](crate::graph::Input::Hidden). Filled by a
    /// [`Pipeline`] of more than one stage.
    pub hidden: Vec<f32>,
    /// Tokens of this run.
    pub n_tokens: usize,
    /// Rows of logits of this run.
    pub n_outputs: usize,
    /// Cells up to the last one in use.
    pub n_kv: usize,
}

impl Inputs {
    /// How many entries of a dimension, which has `capacity` of them, this run uses.
    pub fn live(&self, extent: Extent, capacity: usize) -> usize {
        match extent {
            Extent::Fixed => capacity,
            Extent::Tokens => self.n_tokens,
            Extent::Outputs => self.n_outputs,
        }
    }
}

/// A graph compiled by a session, to be run by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramId(pub usize);

/// Asked between pieces of work whether to stop.
pub type AbortCheck<'a> = &'a mut dyn FnMut() -> bool;

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU that can be used, or else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The GPU with this number; an error if it cannot be used.
    Gpu(usize),
}

impl Device {
    /// The backend for it. [`Device::Auto`] has none: which device that is depends on the model.
    pub fn open(self) -> Result<Arc<dyn Backend>> {
        match self {
            Device::Auto => Err(crate::Error::InvalidArgument("auto is not one device: name it".into())),
            Device::Cpu => Ok(Arc::new(cpu::Cpu::new()?)),
            #[cfg(unix)]
            Device::Gpu(index) => Ok(Arc::new(hip::Hip::open(index)?)),
            #[cfg(not(unix))]
            Device::Gpu(_) => Err(crate::Error::Unsupported("GPUs are used on Unix only".into())),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(index) => write!(f, "hip{index}"),
        }
    }
}

impl std::str::FromStr for Device {
    type Err = String;

    /// `auto`, `cpu`, or `hip` and a number.
    fn from_str(name: &str) -> std::result::Result<Device, String> {
        let number = || name.strip_prefix("hip")?.parse().ok();
        match name {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            _ => number().map(Device::Gpu).ok_or_else(|| "expected auto, cpu, hip0, hip1, ..".into()),
        }
    }
}

/// A place to compute.
pub trait Backend: Send + Sync {
    /// A short name: "cpu".
    fn name(&self) -> &'static str;
    /// What it runs on, in words for a person: processor and instruction set.
    fn description(&self) -> String;
    /// Takes the tensors `weights` of `file` (a [`WeightId`] is an index into
    /// [`gguf::File::tensors`]). With `copy`, a backend that can compute on the mapped file copies them
    /// all the same. `progress` is called with the share done, 0 to 1; `false` cancels.
    fn bind(
        &self,
        file: &Arc<gguf::File>,
        weights: &[WeightId],
        copy: bool,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Arc<dyn Weights>>;
    /// Opens a session over weights that this backend bound.
    fn session(&self, weights: &Arc<dyn Weights>, spec: &SessionSpec) -> Result<Box<dyn Session>>;
}

/// The working state of one context on a backend.
pub trait Session: Send {
    /// How this backend wants activations packed.
    fn packing(&self) -> &dyn Packing;
    /// Compiles an optimised graph. Done once per shape; may allocate.
    fn compile(&mut self, graph: &Graph) -> Result<ProgramId>;
    /// Runs a compiled graph. Allocates nothing.
    fn run(&mut self, program: ProgramId, inputs: &Inputs, abort: Option<AbortCheck<'_>>) -> Result<()>;
    /// Output `i` of the last run: the graph's roots that are not effects, in order. One that has an entry
    /// per token has as many rows as there were tokens, any other `n_outputs`.
    fn output(&self, i: usize) -> &[f32];
    /// Changes the number of threads, where that means something.
    fn set_threads(&mut self, n_threads: usize, n_threads_batch: usize) -> Result<()>;
    /// Copies the rows of `cells` of one head to `out`, which has room for just these.
    fn kv_read(&self, head: KvHead, cells: Range<usize>, out: &mut [u8]) -> Result<()>;
    /// Replaces the rows of `cells` of one head by `rows`.
    fn kv_write(&mut self, head: KvHead, cells: Range<usize>, rows: &[u8]) -> Result<()>;
    /// Bytes of the KV cache and of the arena.
    fn memory(&self) -> SessionMemory;
    /// For tests: fills all that runs leave between operations with `byte`.
    #[doc(hidden)]
    fn poison(&mut self, _byte: u8) -> Result<()> {
        Err(crate::Error::Unsupported("this session's memory cannot be filled".into()))
    }
    /// For tests: the bytes of the arena, and where in them the tensors of a program lie.
    #[doc(hidden)]
    fn arena(&self, _program: ProgramId) -> Result<(Vec<u8>, Vec<Range<usize>>)> {
        Err(crate::Error::Unsupported("this session's memory cannot be read".into()))
    }
}

/// What a session has allocated, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionMemory {
    /// KV cache.
    pub kv: usize,
    /// Arena and scratch.
    pub compute: usize,
}
