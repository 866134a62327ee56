//! The state of one context on a device: its KV cache, its arena, the inputs and outputs of a run, and the
//! graphs that were captured.

use std::ops::Range;
use std::sync::Arc;

use super::args::RunCounts;
use super::lower::{Addresses, Layout, lower};
use super::memory::{Memory, Pinned};
use super::stream::{GraphExec, Stream};
use super::weights::HipWeights;
use crate::backend::{AbortCheck, Inputs, KvHead, KvSpec, ProgramId, Session, SessionMemory, SessionSpec};
use crate::graph::passes::Packing;
use crate::graph::{DType, Extent, Graph, Input, KvHalf, Op, Tensor, TensorId};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// See the module's documentation.
pub(super) struct HipSession {
    weights: Arc<HipWeights>,
    stream: Stream,
    kv: KvSpec,
    cache: Memory,
    /// Where the halves of each layer's cache begin.
    halves: Vec<[u64; 2]>,
    /// What the programs need of the arena, and the arena; none before the first, and after a failure to
    /// make one.
    sizes: Sizes,
    arena: Option<Arena>,
    programs: Vec<Program>,
    /// The last run: its program, its tokens and its outputs.
    last: Option<(ProgramId, usize, usize)>,
}

/// Everything besides weights and cache, in one allocation on each side: what a run reads, counters, room for
/// attention's partial results, and intermediate results.
struct Arena {
    device: Memory,
    host: Pinned,
}

/// The bytes of an arena's parts, in their order. Only inputs and outputs are on the host too.
#[derive(Clone, Copy, Default, PartialEq)]
struct Sizes {
    /// Tokens of the largest micro-batch.
    n_tokens: usize,
    /// Whether cells are ever shifted.
    shifts: bool,
    /// Elements of a row of the residual stream that an earlier session hands on; 0 if none does.
    hidden: usize,
    counters: usize,
    partial: usize,
    results: usize,
    /// Rows of outputs, on the host.
    outputs: usize,
}

const ALIGN: usize = 256;

/// A graph and what was made of it.
struct Program {
    graph: Graph,
    layout: Layout,
    exec: Option<GraphExec>,
    outputs: Vec<Output>,
    uses_shift: bool,
    /// The hidden rows that it reads: elements of one, and what bounds how many there are.
    hidden: Option<(usize, Extent)>,
}

impl Program {
    /// Whether a run gives a row of each output, neither more nor none.
    fn has_single_rows(&self) -> bool {
        has_single_rows(&self.graph)
    }
}

fn has_single_rows(graph: &Graph) -> bool {
    outputs(graph).all(|id| match graph.node(id).extent {
        Extent::Tokens => graph.n_tokens == 1,
        _ => graph.n_outputs == 1,
    })
}

/// Whether a kernel writes an output to the host itself, instead of a copy that comes after it: a single row
/// that nothing else reads, and that is made in whole lines, as products of quantised matrices are.
fn goes_to_host(graph: &Graph, id: TensorId) -> bool {
    let node = graph.node(id);
    let lines = matches!(node.op, Op::MatMul { .. })
        && matches!(graph.node(node.src[0]).dtype, DType::Ggml(ty) if ty.block_len() > 1);
    lines && has_single_rows(graph) && !graph.nodes.iter().any(|n| n.src.contains(&id))
}

/// The roots of a graph that a run gives back.
fn outputs(graph: &Graph) -> impl Iterator<Item = TensorId> {
    graph.roots.iter().copied().filter(|&r| !graph.node(r).op.has_effect())
}

/// A result that goes back to the host.
struct Output {
    id: TensorId,
    /// In the arena's results; none where the kernel that makes it writes it to the host itself.
    offset: Option<usize>,
    /// Elements of a row.
    row: usize,
    extent: Extent,
}

impl Output {
    fn bytes(&self, n_tokens: usize, n_outputs: usize) -> usize {
        self.row * 4 * if self.extent == Extent::Tokens { n_tokens } else { n_outputs }
    }
}

impl HipSession {
    pub fn new(weights: Arc<HipWeights>, spec: &SessionSpec) -> Result<HipSession> {
        let kv = spec.kv.clone();
        let mut end = 0;
        let mut offsets = Vec::with_capacity(kv.layers.len());
        for l in &kv.layers {
            if l.head_dim_k.max(l.head_dim_v) > 256 || !(l.head_dim_k | l.head_dim_v).is_multiple_of(8) {
                return Err(Error::Unsupported(format!(
                    "heads of {} and {} elements; on a GPU they have to be multiples of 8, at most 256",
                    l.head_dim_k, l.head_dim_v
                )));
            }
            let mut place = |ty: GgmlType, dim: usize| -> Result<usize> {
                let at = end;
                end += (ty.row_bytes(dim)? * l.n_head_kv * kv.n_cells).next_multiple_of(ALIGN);
                Ok(at)
            };
            offsets.push([place(kv.type_k, l.head_dim_k)?, place(kv.type_v, l.head_dim_v)?]);
        }
        let cache = Memory::new(&weights.device, end, "the KV cache")?;
        let stream = Stream::new(&weights.device)?;
        // SAFETY: all of the cache, which nothing uses yet. Zeros, so that cells not yet written are numbers.
        unsafe { stream.fill(cache.ptr(), 0, end) }?;
        stream.synchronize()?;
        let halves = offsets.iter().map(|o| o.map(|o| cache.ptr() + o as u64)).collect();
        Ok(HipSession {
            weights,
            stream,
            kv,
            cache,
            halves,
            sizes: Sizes::default(),
            arena: None,
            programs: vec![],
            last: None,
        })
    }

    /// Words of a row of the mask.
    fn words(&self) -> usize {
        self.kv.n_cells / 64
    }

    /// Where the inputs lie in the arena, on both sides.
    fn input_offset(&self, input: Input) -> usize {
        let n = self.sizes.n_tokens.next_multiple_of(64) * 4;
        match input {
            Input::Tokens => ALIGN,
            Input::Positions => ALIGN + n,
            Input::Cells => ALIGN + 2 * n,
            Input::OutputIds => ALIGN + 3 * n,
            Input::Mask => ALIGN + 4 * n,
            Input::CellShift => {
                ALIGN + 4 * n + (self.sizes.n_tokens * self.words() * 8).next_multiple_of(ALIGN)
            }
            Input::Hidden => {
                let shift = if self.sizes.shifts { self.kv.n_cells * 4 } else { 0 };
                (self.input_offset(Input::CellShift) + shift).next_multiple_of(ALIGN)
            }
        }
    }

    /// Bytes of all inputs. On the host, outputs follow.
    fn input_bytes(&self) -> usize {
        let hidden = self.sizes.n_tokens * self.sizes.hidden * 4;
        (self.input_offset(Input::Hidden) + hidden).next_multiple_of(ALIGN)
    }

    /// Where counters, partial results and results begin on the device.
    fn parts(&self, arena: &Arena) -> [u64; 3] {
        let counters = arena.device.ptr() + self.input_bytes() as u64;
        let partial = counters + self.sizes.counters as u64;
        [counters, partial, partial + self.sizes.partial as u64]
    }

    /// Makes room for a program of these sizes. If the arena moves, every program is captured again.
    fn fit(&mut self, need: Sizes) -> Result<()> {
        let old = self.sizes;
        self.sizes = Sizes {
            n_tokens: old.n_tokens.max(need.n_tokens),
            shifts: old.shifts || need.shifts,
            hidden: old.hidden.max(need.hidden),
            counters: old.counters.max(need.counters.next_multiple_of(ALIGN)),
            partial: old.partial.max(need.partial.next_multiple_of(ALIGN)),
            results: old.results.max(need.results.next_multiple_of(ALIGN)),
            outputs: old.outputs.max(need.outputs.next_multiple_of(ALIGN)),
        };
        if self.arena.is_some() && self.sizes == old {
            return Ok(());
        }
        // What there was goes on: the next run makes its arena again.
        self.allocate().inspect_err(|_| self.sizes = old)
    }

    /// Makes the arena, in place of the one there is, and captures all programs.
    fn allocate(&mut self) -> Result<()> {
        self.programs.iter_mut().for_each(|p| p.exec = None);
        self.arena = None;
        self.last = None;
        let (device, sizes) = (&self.weights.device, self.sizes);
        let inputs = self.input_bytes();
        let bytes = inputs + sizes.counters + sizes.partial + sizes.results;
        let arena = Arena {
            device: Memory::new(device, bytes, "intermediate results")?,
            host: Pinned::new(device, inputs + sizes.outputs, "inputs and outputs")?,
        };
        // SAFETY: all of the new memory, which nothing uses yet.
        unsafe { self.stream.fill(arena.device.ptr(), 0, bytes) }?;
        self.stream.synchronize()?;
        self.arena = Some(arena);
        let captured = (0..self.programs.len()).try_for_each(|i| self.capture(i));
        captured.inspect_err(|_| self.arena = None)
    }

    /// Records the launches of program `i`.
    fn capture(&mut self, i: usize) -> Result<()> {
        let arena = self.arena.as_ref().ok_or_else(|| Error::Internal("no arena".into()))?;
        let program = &self.programs[i];
        let start = arena.device.ptr();
        let [counters, partial, results] = self.parts(arena);
        let at = Addresses {
            arena: results,
            partial,
            counters,
            inputs: &|input| start + self.input_offset(input) as u64,
            outputs: &|id| {
                let mut at = arena.host.as_ptr() as u64 + self.input_bytes() as u64;
                for o in &program.outputs {
                    if o.id == id && o.offset.is_none() {
                        return Some(at);
                    }
                    at += o.row as u64 * 4;
                }
                None
            },
            run: start,
            kv: &self.halves,
        };
        let n_cu = self.weights.device.info().n_cu as usize;
        let launches =
            lower(&program.graph, &program.layout, &at, &self.weights, &self.weights.kernels, n_cu)?;
        let mask_end = self.input_offset(Input::Mask) + program.graph.n_tokens * self.words() * 8;
        let exec = self.stream.capture(|stream| {
            // SAFETY: the arena has room for all inputs on both sides; the graph goes before the arena does.
            unsafe { stream.upload(start, &arena.host, 0..mask_end) }?;
            if program.uses_shift {
                let from = self.input_offset(Input::CellShift);
                let range = from..from + self.kv.n_cells * 4;
                // SAFETY: as above.
                unsafe { stream.upload(start + from as u64, &arena.host, range) }?;
            }
            if let Some((row, extent)) = program.hidden {
                let from = self.input_offset(Input::Hidden);
                let graph = &program.graph;
                let rows = if extent == Extent::Tokens { graph.n_tokens } else { graph.n_outputs };
                let range = from..from + rows * row * 4;
                // SAFETY: as above.
                unsafe { stream.upload(start + from as u64, &arena.host, range) }?;
            }
            for l in &launches {
                // SAFETY: `lower` gave each kernel its own arguments, with addresses in the weights, the cache and
                // the arena, all of which outlive the graph; modules live as long as the weights.
                unsafe { stream.launch(&l.function, l.grid, l.block, 0, &l.args) }?;
            }
            // A single row is there whenever the program runs: if it is copied, that is recorded too.
            if program.has_single_rows() { self.download(stream, program, arena, [1, 1]) } else { Ok(()) }
        })?;
        self.programs[i].exec = Some(exec);
        Ok(())
    }

    fn half(&self, at: KvHead, cells: &Range<usize>, bytes: usize) -> Result<Head> {
        let outside = || Error::Internal(format!("cells {cells:?} of {at:?} are not in the cache"));
        let layer = self.kv.layers.get(at.layer).filter(|l| at.head < l.n_head_kv).ok_or_else(outside)?;
        let (v, ty, dim) = match at.half {
            KvHalf::K => (0, self.kv.type_k, layer.head_dim_k),
            KvHalf::V => (1, self.kv.type_v, layer.head_dim_v),
        };
        let row = ty.row_bytes(dim)?;
        if cells.start > cells.end || cells.end > self.kv.n_cells || bytes != cells.len() * row {
            return Err(outside());
        }
        let head = self.halves[at.layer][v] + (at.head * self.kv.n_cells * row) as u64;
        Ok(Head { address: head, ty, dim, row })
    }
}

/// One head of one half of the cache.
struct Head {
    address: u64,
    ty: GgmlType,
    dim: usize,
    /// Bytes of a cell's row as states have it.
    row: usize,
}

impl Packing for HipSession {
    fn wants_packed(&self, weight: GgmlType) -> bool {
        weight.block_len() > 1
    }
    fn packed_row_bytes(&self, k: usize) -> usize {
        (k + k / 4 + k / 8).next_multiple_of(16)
    }
}

impl Session for HipSession {
    fn packing(&self) -> &dyn Packing {
        self
    }

    fn compile(&mut self, graph: &Graph) -> Result<ProgramId> {
        let layout = Layout::new(graph, self.weights.device.info().n_cu as usize);
        let mut outputs = Vec::new();
        for id in self::outputs(graph) {
            let offset = layout.plan.offsets[id.0 as usize];
            let offset = offset
                .ok_or_else(|| Error::Internal("an output of a graph lies outside the arena".into()))?;
            let root = graph.node(id);
            let offset = (!goes_to_host(graph, id)).then_some(offset);
            outputs.push(Output { id, offset, row: root.ne[0], extent: root.extent });
        }
        let input = |input| graph.nodes.iter().find(|n| n.op == Op::Input(input));
        let uses_shift = input(Input::CellShift).is_some();
        let hidden = input(Input::Hidden).map(|n| (n.ne[0], n.extent));
        let need = Sizes {
            n_tokens: graph.n_tokens,
            shifts: uses_shift,
            hidden: hidden.map_or(0, |(row, _)| row),
            counters: layout.needs.counters * 4,
            partial: layout.needs.partial_bytes,
            results: layout.plan.arena_bytes,
            outputs: outputs.iter().map(|o| o.bytes(graph.n_tokens, graph.n_outputs)).sum(),
        };
        self.fit(need)?;
        let graph = graph.clone();
        self.programs.push(Program { graph, layout, exec: None, outputs, uses_shift, hidden });
        let i = self.programs.len() - 1;
        self.capture(i).inspect_err(|_| drop(self.programs.pop()))?;
        Ok(ProgramId(i))
    }

    fn run(&mut self, id: ProgramId, inputs: &Inputs, abort: Option<AbortCheck<'_>>) -> Result<()> {
        if abort.is_some_and(|stop| stop()) {
            return Err(Error::Aborted("stopped by the abort callback".into()));
        }
        self.last = None;
        if self.arena.is_none() {
            self.allocate()?;
        }
        let Some(mut arena) = self.arena.take() else { return Err(Error::Internal("no arena".into())) };
        let done = self.finish(self.start(&mut arena, id, inputs));
        self.arena = Some(arena);
        done?;
        self.last = Some((id, inputs.n_tokens, inputs.n_outputs));
        Ok(())
    }

    fn output(&self, i: usize) -> &[f32] {
        let (Some((id, n_tokens, n_outputs)), Some(arena)) = (self.last, &self.arena) else { return &[] };
        let outputs = &self.programs[id.0].outputs;
        let bytes = |o: &Output| o.bytes(n_tokens, n_outputs);
        let Some(n) = outputs.get(i).map(bytes) else { return &[] };
        let start = self.input_bytes() + outputs[..i].iter().map(bytes).sum::<usize>();
        bytemuck::cast_slice(&arena.host.as_slice()[start..start + n])
    }

    fn set_threads(&mut self, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    fn kv_read(&self, head: KvHead, cells: Range<usize>, out: &mut [u8]) -> Result<()> {
        let h = self.half(head, &cells, out.len())?;
        if h.ty != GgmlType::Q8_0 {
            let from = h.address + (cells.start * h.row) as u64;
            // SAFETY: as many bytes are there; waited for before `out` goes.
            return self.finish(unsafe { self.stream.download_to(out.as_mut_ptr(), from, out.len()) });
        }
        let (mut quants, mut scales) = (vec![0; cells.len() * h.dim], vec![0; cells.len() * h.dim / 16]);
        let [q, s] = self.q8_parts(&h, cells.start);
        // SAFETY: as above.
        let started = unsafe {
            let quants = self.stream.download_to(quants.as_mut_ptr(), q, quants.len());
            quants.and_then(|()| self.stream.download_to(scales.as_mut_ptr(), s, scales.len()))
        };
        self.finish(started)?;
        for ((block, q), s) in
            out.chunks_exact_mut(34).zip(quants.chunks_exact(32)).zip(scales.chunks_exact(2))
        {
            block[..2].copy_from_slice(s);
            block[2..].copy_from_slice(q);
        }
        Ok(())
    }

    fn kv_write(&mut self, head: KvHead, cells: Range<usize>, rows: &[u8]) -> Result<()> {
        let h = self.half(head, &cells, rows.len())?;
        if h.ty != GgmlType::Q8_0 {
            let to = h.address + (cells.start * h.row) as u64;
            // SAFETY: as many bytes are there; waited for before `rows` goes.
            return self.finish(unsafe { self.stream.upload_from(to, rows.as_ptr(), rows.len()) });
        }
        let blocks = rows.chunks_exact(34);
        let scales: Vec<u8> = blocks.clone().flat_map(|b| &b[..2]).copied().collect();
        let quants: Vec<u8> = blocks.flat_map(|b| &b[2..]).copied().collect();
        let [q, s] = self.q8_parts(&h, cells.start);
        // SAFETY: as above.
        let started = unsafe {
            let quants = self.stream.upload_from(q, quants.as_ptr(), quants.len());
            quants.and_then(|()| self.stream.upload_from(s, scales.as_ptr(), scales.len()))
        };
        self.finish(started)
    }

    fn memory(&self) -> SessionMemory {
        SessionMemory { kv: self.cache.len(), compute: self.arena.as_ref().map_or(0, |a| a.device.len()) }
    }

    fn poison(&mut self, byte: u8) -> Result<()> {
        let Some(arena) = &self.arena else { return Ok(()) };
        let [_, partial, _] = self.parts(arena);
        // SAFETY: partial results and results, which lie one after the other; no run is under way.
        let filled = unsafe { self.stream.fill(partial, byte, self.sizes.partial + self.sizes.results) };
        self.finish(filled)
    }

    fn arena(&self, program: ProgramId) -> Result<(Vec<u8>, Vec<Range<usize>>)> {
        let arena = self.arena.as_ref().ok_or_else(|| Error::Internal("no arena".into()))?;
        let [counters, _, results] = self.parts(arena);
        let (mut zeros, mut bytes) = (vec![0; self.sizes.counters], vec![0; self.sizes.results]);
        // SAFETY: as many bytes are there; waited for before the buffers go.
        let started = unsafe {
            let zeros = self.stream.download_to(zeros.as_mut_ptr(), counters, zeros.len());
            zeros.and_then(|()| self.stream.download_to(bytes.as_mut_ptr(), results, bytes.len()))
        };
        self.finish(started)?;
        if zeros.iter().any(|&b| b != 0) {
            return Err(Error::Internal("a kernel left a counter that is not zero".into()));
        }
        let Program { graph, layout, .. } = &self.programs[program.0];
        let place = |(node, at): (&Tensor, &Option<usize>)| Some((*at)?..(*at)? + node.n_bytes());
        Ok((bytes, graph.nodes.iter().zip(&layout.plan.offsets).filter_map(place).collect()))
    }
}

impl HipSession {
    /// Starts a run.
    fn start(&self, arena: &mut Arena, id: ProgramId, inputs: &Inputs) -> Result<()> {
        let program = &self.programs[id.0];
        let (n, words) = (inputs.n_tokens, self.words());
        let counts = RunCounts {
            n_tokens: n as i32,
            n_outputs: inputs.n_outputs as i32,
            n_kv: inputs.n_kv as i32,
            pad: 0,
        };
        let mut put =
            |at: usize, bytes: &[u8]| arena.host.as_mut_slice()[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, bytemuck::bytes_of(&counts));
        let offset = |input| self.input_offset(input);
        put(offset(Input::Tokens), bytemuck::cast_slice(&inputs.tokens[..n]));
        put(offset(Input::Positions), bytemuck::cast_slice(&inputs.positions[..n]));
        put(offset(Input::Cells), bytemuck::cast_slice(&inputs.cells[..n]));
        put(offset(Input::OutputIds), bytemuck::cast_slice(&inputs.output_ids[..inputs.n_outputs]));
        put(offset(Input::Mask), bytemuck::cast_slice(&inputs.mask[..n * words]));
        if program.uses_shift {
            put(offset(Input::CellShift), bytemuck::cast_slice(&inputs.cell_shift));
        }
        if let Some((row, extent)) = program.hidden {
            let rows = inputs.live(extent, 0);
            put(offset(Input::Hidden), bytemuck::cast_slice(&inputs.hidden[..rows * row]));
        }
        let exec =
            program.exec.as_ref().ok_or_else(|| Error::Internal("a program was not captured".into()))?;
        // SAFETY: what was captured lives, and the host's side is not touched before `run` has waited.
        unsafe { self.stream.replay(exec) }?;
        if program.has_single_rows() {
            Ok(())
        } else {
            self.download(&self.stream, program, arena, [n, inputs.n_outputs])
        }
    }

    /// Copies what a run of so many tokens and outputs made to the host.
    fn download(
        &self,
        stream: &Stream,
        program: &Program,
        arena: &Arena,
        [n_tokens, n_outputs]: [usize; 2],
    ) -> Result<()> {
        let [_, _, results] = self.parts(arena);
        let mut to = self.input_bytes();
        for output in &program.outputs {
            let bytes = output.bytes(n_tokens, n_outputs);
            if let Some(offset) = output.offset
                && bytes > 0
            {
                let from = results + offset as u64;
                // SAFETY: the arena has this output, and room for it on the host.
                unsafe { stream.download(&arena.host, to, from, bytes) }?;
            }
            to += bytes;
        }
        Ok(())
    }

    /// Waits for what was started, also if not all of it could be: it still uses the memory it was given.
    fn finish(&self, started: Result<()>) -> Result<()> {
        let waited = self.stream.synchronize();
        started.and(waited)
    }

    /// Where the quants and the scales of a head in q8_0 begin for a cell (`kernels/kv.h`).
    fn q8_parts(&self, h: &Head, cell: usize) -> [u64; 2] {
        let scales = h.address + (self.kv.n_cells * h.dim) as u64;
        [h.address + (cell * h.dim) as u64, scales + (cell * h.dim / 16) as u64]
    }
}
