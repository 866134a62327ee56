//! The CPU's session: KV cache, arena, scratch, threads and compiled programs of one context.

use std::ops::Range;
use std::sync::Arc;

use super::exec::Run;
use super::memory::Memory;
use super::pool::Pool;
use super::program::{Kernel, Place, Program};
use super::{CpuWeights, Isa, matmul};
use crate::backend::{AbortCheck, Inputs, KvHead, KvSpec, ProgramId, Session, SessionMemory, SessionSpec};
use crate::graph::passes::Packing;
use crate::graph::plan::plan;
use crate::graph::{Extent, Graph, KvHalf};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// What the threads of a run share.
pub(super) struct State {
    pub isa: Isa,
    pub weights: Arc<CpuWeights>,
    /// Keys and values of each layer.
    pub kv: Vec<[Memory; 2]>,
    arena: Memory,
    scratch: Memory,
    scratch_stride: usize,
}

/// See the module's documentation.
pub(super) struct CpuSession {
    state: State,
    kv: KvSpec,
    programs: Vec<Program>,
    /// The program of the last run, its tokens and its outputs, for [`Session::output`].
    last: Option<(ProgramId, usize, usize)>,
    pool: Pool,
    n_threads: usize,
    n_threads_batch: usize,
}

/// Threads that can help: more than there are processors only take turns.
fn useful(n_threads: usize) -> usize {
    n_threads.min(std::thread::available_parallelism().map_or(n_threads, usize::from)).max(1)
}

impl CpuSession {
    pub fn new(isa: Isa, weights: Arc<CpuWeights>, spec: &SessionSpec) -> Result<CpuSession> {
        let bytes = |n_head: usize, dim: usize, ty: GgmlType| {
            [n_head, spec.kv.n_cells]
                .iter()
                .try_fold(ty.row_bytes(dim)?, |n, &f| n.checked_mul(f))
                .ok_or_else(|| {
                    Error::OutOfMemory(format!("a KV cache of {} cells overflows", spec.kv.n_cells))
                })
        };
        let mut kv = Vec::with_capacity(spec.kv.layers.len());
        for (il, l) in spec.kv.layers.iter().enumerate() {
            let what = format!("the KV cache of layer {il}");
            kv.push([
                Memory::new(bytes(l.n_head_kv, l.head_dim_k, spec.kv.type_k)?, &what)?,
                Memory::new(bytes(l.n_head_kv, l.head_dim_v, spec.kv.type_v)?, &what)?,
            ]);
        }
        let (n_threads, n_threads_batch) = (useful(spec.n_threads), useful(spec.n_threads_batch));
        let state = State {
            isa,
            weights,
            kv,
            arena: Memory::new(0, "intermediate results")?,
            scratch: Memory::new(0, "scratch")?,
            scratch_stride: 0,
        };
        Ok(CpuSession {
            state,
            kv: spec.kv.clone(),
            programs: Vec::new(),
            last: None,
            pool: Pool::new(n_threads.max(n_threads_batch))?,
            n_threads,
            n_threads_batch,
        })
    }

    /// Where the rows of `cells` of a head are in its half of the cache: the first byte, which has
    /// `bytes` that are theirs.
    fn kv_rows(&self, at: KvHead, cells: Range<usize>, bytes: usize) -> Result<*mut u8> {
        let outside = || Error::Internal(format!("cells {cells:?} of {at:?} are not in the cache"));
        let layer = self.kv.layers.get(at.layer).filter(|l| at.head < l.n_head_kv).ok_or_else(outside)?;
        let (memory, ty, dim) = match at.half {
            KvHalf::K => (&self.state.kv[at.layer][0], self.kv.type_k, layer.head_dim_k),
            KvHalf::V => (&self.state.kv[at.layer][1], self.kv.type_v, layer.head_dim_v),
        };
        let row = ty.row_bytes(dim)?;
        if cells.start > cells.end || cells.end > self.kv.n_cells || bytes != cells.len() * row {
            return Err(outside());
        }
        // SAFETY: head and cells are within the shape that the memory was made for.
        Ok(unsafe { memory.as_ptr().add((at.head * self.kv.n_cells + cells.start) * row) })
    }

    fn fit_scratch(&mut self, stride: usize) -> Result<()> {
        let state = &mut self.state;
        state.scratch_stride = state.scratch_stride.max(stride.next_multiple_of(64));
        let bytes = state.scratch_stride * self.pool.n_threads();
        if bytes > state.scratch.len() {
            state.scratch = Memory::new(bytes, "scratch")?;
        }
        Ok(())
    }
}

impl State {
    /// The address of `place`; for inputs, in the buffers of this run.
    pub fn address(&self, place: Place, inputs: &Inputs) -> *mut u8 {
        use crate::graph::Input;
        match place {
            // SAFETY: the plan laid the tensor out inside the arena.
            Place::Arena(offset) => unsafe { self.arena.as_ptr().add(offset) },
            Place::Weight(ptr) => ptr.0.cast_mut(),
            Place::Kv(il, half) => self.kv[il as usize][usize::from(half == KvHalf::V)].as_ptr(),
            Place::Input(input) => match input {
                Input::Tokens => inputs.tokens.as_ptr().cast::<u8>().cast_mut(),
                Input::Positions => inputs.positions.as_ptr().cast::<u8>().cast_mut(),
                Input::Cells => inputs.cells.as_ptr().cast::<u8>().cast_mut(),
                Input::Mask => inputs.mask.as_ptr().cast::<u8>().cast_mut(),
                Input::OutputIds => inputs.output_ids.as_ptr().cast::<u8>().cast_mut(),
                Input::CellShift => inputs.cell_shift.as_ptr().cast::<u8>().cast_mut(),
                Input::Hidden => inputs.hidden.as_ptr().cast::<u8>().cast_mut(),
            },
        }
    }

    /// The scratch of one thread.
    ///
    /// # Safety
    /// Only one reference per thread at a time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn scratch(&self, thread: usize) -> &mut [u8] {
        // SAFETY: `scratch` holds `scratch_stride` bytes for each thread of the pool.
        unsafe {
            let start = self.scratch.as_ptr().add(thread * self.scratch_stride);
            std::slice::from_raw_parts_mut(start, self.scratch_stride)
        }
    }
}

impl Packing for CpuSession {
    fn wants_packed(&self, weight: GgmlType) -> bool {
        matmul::act_kind(weight) == matmul::ActKind::Q8
    }
    fn packed_row_bytes(&self, k: usize) -> usize {
        matmul::act_row_bytes(k)
    }
}

impl Session for CpuSession {
    fn packing(&self) -> &dyn Packing {
        self
    }

    fn compile(&mut self, graph: &Graph) -> Result<ProgramId> {
        let plan = plan(graph);
        let program = Program::new(graph, &plan, &self.state.weights)?;
        if plan.arena_bytes > self.state.arena.len() {
            self.state.arena = Memory::new(plan.arena_bytes, "intermediate results")?;
        }
        let stride = program.kernels().map(Kernel::scratch_bytes).max().unwrap_or(0);
        self.fit_scratch(stride)?;
        self.programs.push(program);
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn run(&mut self, id: ProgramId, inputs: &Inputs, abort: Option<AbortCheck<'_>>) -> Result<()> {
        let n_threads = if inputs.n_tokens == 1 { self.n_threads } else { self.n_threads_batch };
        self.last = None;
        let work = Run { program: &self.programs[id.0], state: &self.state, inputs };
        self.pool.run(&work, n_threads, abort)?;
        self.last = Some((id, inputs.n_tokens, inputs.n_outputs));
        Ok(())
    }

    fn output(&self, i: usize) -> &[f32] {
        let Some((id, n_tokens, n_outputs)) = self.last else { return &[] };
        let Some(&(offset, row, extent)) = self.programs[id.0].outputs.get(i) else { return &[] };
        let n = if extent == Extent::Tokens { n_tokens } else { n_outputs };
        // SAFETY: the program's output lies at this offset of the arena, `n` rows of it written by the
        // last run, and nothing writes the arena while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.state.arena.as_ptr().add(offset).cast(), row * n) }
    }

    fn set_threads(&mut self, n_threads: usize, n_threads_batch: usize) -> Result<()> {
        let (n, n_batch) = (useful(n_threads), useful(n_threads_batch));
        if n.max(n_batch) > self.pool.n_threads() {
            self.pool = Pool::new(n.max(n_batch))?;
            self.fit_scratch(0)?;
        }
        (self.n_threads, self.n_threads_batch) = (n, n_batch);
        Ok(())
    }

    fn kv_read(&self, head: KvHead, cells: Range<usize>, out: &mut [u8]) -> Result<()> {
        let from = self.kv_rows(head, cells, out.len())?;
        // SAFETY: as many bytes are there, and no run writes them while `self` is borrowed.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    fn kv_write(&mut self, head: KvHead, cells: Range<usize>, rows: &[u8]) -> Result<()> {
        let to = self.kv_rows(head, cells, rows.len())?;
        // SAFETY: as many bytes are there, and `self` is borrowed alone.
        unsafe { std::ptr::copy_nonoverlapping(rows.as_ptr(), to, rows.len()) };
        Ok(())
    }

    fn memory(&self) -> SessionMemory {
        SessionMemory {
            kv: self.state.kv.iter().flatten().map(Memory::len).sum(),
            compute: self.state.arena.len() + self.state.scratch.len(),
        }
    }

    fn poison(&mut self, byte: u8) -> Result<()> {
        for memory in [&self.state.arena, &self.state.scratch] {
            // SAFETY: all of the memory, and `self` is borrowed alone.
            unsafe { memory.as_ptr().write_bytes(byte, memory.len()) };
        }
        Ok(())
    }

    fn arena(&self, program: ProgramId) -> Result<(Vec<u8>, Vec<Range<usize>>)> {
        let arena = &self.state.arena;
        // SAFETY: all of the memory, which nothing writes while `self` is borrowed.
        let bytes = unsafe { std::slice::from_raw_parts(arena.as_ptr(), arena.len()) };
        let place = |k: &Kernel| match k.dst.place {
            Place::Arena(at) => Some(at..at + k.dst.nb[3] * k.dst.ne[3]),
            _ => None,
        };
        Ok((bytes.to_vec(), self.programs[program.0].kernels().filter_map(place).collect()))
    }
}
