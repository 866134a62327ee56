//! Runs the kernels of a program, chunk by chunk.
//!
//! Rows that a run does not use are neither read nor written. Chunks of one kernel write disjoint
//! parts; kernels of one wave write disjoint tensors and read only what earlier waves made; so no
//! thread writes what another reads or writes at the same time.

use std::ops::Range;

use super::matmul::{self, Acts, Weight};
use super::ops::{self, Attention};
use super::pool::Work;
use super::program::{Kernel, Operand, Program};
use super::session::State;
use crate::backend::Inputs;
use crate::graph::{DType, Op};
use crate::quant::{self, GgmlType};

/// One run of a program.
pub(super) struct Run<'a> {
    pub program: &'a Program,
    pub state: &'a State,
    pub inputs: &'a Inputs,
}

/// Chunks per thread: enough to even out threads that come late.
const CHUNKS_PER_THREAD: usize = 4;
/// Chunks that attention is cut into where that leaves [`FEW_TOKENS`] to each.
const ATTENTION_CHUNKS: usize = 32;
/// Query tokens in a chunk of attention that are enough to pay for reading the cache.
const FEW_TOKENS: usize = 32;

/// Part `i` of `0..n` cut into `parts`, each beginning at a multiple of `step`.
fn part(n: usize, parts: usize, i: usize, step: usize) -> Range<usize> {
    let units = n.div_ceil(step);
    let at = |i: usize| (units * i / parts * step).min(n);
    at(i)..at(i + 1)
}

impl Work for Run<'_> {
    fn n_steps(&self) -> usize {
        self.program.waves.len()
    }

    fn n_chunks(&self, step: usize, n_threads: usize) -> usize {
        self.program.waves[step].iter().map(|k| self.kernel_chunks(k, n_threads)).sum()
    }

    fn chunk(&self, step: usize, mut chunk: usize, n_threads: usize, thread: usize) {
        crate::fault::point("kernel");
        for kernel in &self.program.waves[step] {
            let n = self.kernel_chunks(kernel, n_threads);
            if chunk < n {
                // SAFETY: `chunk` is one of the kernel's `n`, and a thread does one at a time.
                unsafe { self.run(kernel, chunk, n, n_threads, thread) };
                return;
            }
            chunk -= n;
        }
    }
}

// The unsafe functions below share one contract: the chunk named is done by one thread, once, in
// the wave of its kernel. Tensors are as large as their shapes say (`plan`), ids and cells were
// checked by the context, and so every address computed from them is valid.
impl Run<'_> {
    /// Entries of the outermost dimension that a kernel goes through.
    fn items(&self, kernel: &Kernel) -> usize {
        let (src, dst) = (&kernel.src[..], &kernel.dst);
        match kernel.op {
            Op::KvWrite => src[1].live(src[1].ne[2], self.inputs),
            Op::KvRope { .. } => self.inputs.n_kv,
            Op::Rope { .. } => dst.live(dst.ne[2], self.inputs),
            Op::GroupByExpert { .. } => 1,
            _ => dst.live_rows(self.inputs),
        }
    }

    fn kernel_chunks(&self, kernel: &Kernel, n_threads: usize) -> usize {
        let items = self.items(kernel);
        let most = n_threads * CHUNKS_PER_THREAD;
        match kernel.op {
            _ if items == 0 => 0,
            Op::MatMul { .. } | Op::MatMulId => kernel.dst.ne[0].div_ceil(matmul::ROW_TILE).min(most),
            Op::Attention { .. } => {
                let shape = kernel.attention_shape();
                let (n_head, n_head_kv) = (shape.n_head, shape.n_head_kv);
                let tiles = attention_tiles(items, &shape);
                tiles * if by_query_head(tiles, n_head_kv, n_threads) { n_head } else { n_head_kv }
            }
            _ => items.min(most),
        }
    }

    fn ptr(&self, o: &Operand) -> *mut u8 {
        // SAFETY: an operand's offset lies inside its tensor.
        unsafe { self.state.address(o.place, self.inputs).add(o.offset) }
    }

    /// Entry `i` of dimension `d`, as f32.
    unsafe fn f32s(&self, o: &Operand, d: usize, i: usize) -> *mut f32 {
        // SAFETY: see the contract above.
        unsafe { self.ptr(o).add(i * o.nb[d]).cast() }
    }

    /// Row `i` of all the tensor's rows, as f32.
    unsafe fn row(&self, o: &Operand, i: usize) -> *mut f32 {
        let at = i % o.ne[1] * o.nb[1] + i / o.ne[1] * o.nb[2];
        // SAFETY: see the contract above.
        unsafe { self.ptr(o).add(at).cast() }
    }

    unsafe fn i32s(&self, o: &Operand) -> &[i32] {
        // SAFETY: see the contract above.
        unsafe { std::slice::from_raw_parts(self.ptr(o).cast(), o.ne[0]) }
    }

    /// Row `i` of a tensor, in bytes.
    unsafe fn row_bytes(&self, o: &Operand, i: usize) -> &[u8] {
        // SAFETY: see the contract above.
        unsafe { std::slice::from_raw_parts(self.ptr(o).add(i * o.nb[1]), o.nb[1]) }
    }

    /// Writes row `i` of `dst` through `f`: straight, or by way of scratch if it is to be packed.
    unsafe fn write_row(&self, dst: &Operand, i: usize, thread: usize, f: impl FnOnce(*mut f32)) {
        // SAFETY: see the contract above; scratch holds a row (`Kernel::scratch_bytes`) and starts
        // on a cache line.
        unsafe {
            if dst.dtype == DType::Packed {
                let row: *mut f32 = self.state.scratch(thread).as_mut_ptr().cast();
                f(row);
                self.pack(row, dst, i);
            } else {
                f(self.row(dst, i));
            }
        }
    }

    unsafe fn pack(&self, row: *const f32, dst: &Operand, i: usize) {
        // SAFETY: see the contract above.
        unsafe {
            let out = std::slice::from_raw_parts_mut(self.ptr(dst).add(i * dst.nb[1]), dst.nb[1]);
            matmul::quantize_act(self.state.isa, std::slice::from_raw_parts(row, dst.ne[0]), out);
        }
    }

    unsafe fn run(&self, kernel: &Kernel, chunk: usize, n_chunks: usize, n_threads: usize, thread: usize) {
        let isa = self.state.isa;
        let (src, dst) = (&kernel.src[..], &kernel.dst);
        let n = dst.ne[0];
        let items = part(self.items(kernel), n_chunks, chunk, 1);
        // SAFETY: see the contract above.
        unsafe {
            match kernel.op {
                Op::Input(_) | Op::Weight(_) | Op::Kv(..) | Op::View => {}
                Op::GetRows => {
                    let ids = self.i32s(&src[1]);
                    for i in items {
                        self.get_row(&src[0], ids[i] as usize, self.row(dst, i));
                    }
                }
                Op::MatMulId => {
                    let rows = part(n, n_chunks, chunk, matmul::ROW_TILE);
                    self.mat_mul_id(kernel, rows, thread);
                }
                Op::TopK { k } => {
                    let m = src[0].ne[0];
                    for i in items {
                        let x = std::slice::from_raw_parts(self.row(&src[0], i), m);
                        ops::top_k(x, std::slice::from_raw_parts_mut(self.row(dst, i).cast(), k));
                    }
                }
                Op::ExpertWeights { scale } => {
                    let m = src[0].ne[0];
                    for i in items {
                        let logits = std::slice::from_raw_parts(self.row(&src[0], i), m);
                        let ids = std::slice::from_raw_parts(self.row(&src[1], i).cast(), n);
                        let out = std::slice::from_raw_parts_mut(self.row(dst, i), n);
                        ops::expert_weights(logits, ids, scale.0, out);
                    }
                }
                Op::GroupByExpert { n_expert } => {
                    let [k, m, ..] = src[0].ne;
                    let ids = self.ptr(&src[0]).cast();
                    let ids = std::slice::from_raw_parts(ids, k * src[0].live(m, self.inputs));
                    let out = std::slice::from_raw_parts_mut(self.ptr(dst).cast(), n);
                    ops::group_by_expert(ids, k, n_expert, k * m, out);
                }
                Op::Combine => {
                    let k = src[1].ne[0];
                    for i in items {
                        let rows = ops::Rows { first: self.f32s(&src[0], 1, 0), stride: src[0].nb[1] / 4 };
                        let (places, weights) = (self.row(&src[1], i), self.row(&src[2], i));
                        let x = src.get(3).map_or(std::ptr::null_mut(), |r| self.row(r, i));
                        ops::combine(isa, self.row(dst, i), rows, places.cast(), weights, x, k, n);
                    }
                }
                Op::MatMul { bias, residual } => {
                    let rows = part(n, n_chunks, chunk, matmul::ROW_TILE);
                    self.mat_mul(kernel, bias, residual, rows, thread);
                }
                Op::Add | Op::Mul => {
                    let f = if kernel.op == Op::Add { ops::add } else { ops::mul };
                    for i in items {
                        let b = self.row(&src[1], if src[1].ne[1] == dst.ne[1] { i } else { 0 });
                        f(isa, self.row(dst, i), self.row(&src[0], i), b, n);
                    }
                }
                Op::RmsNorm { eps } => {
                    let weight = src.get(1).map_or(std::ptr::null(), |w| self.ptr(w).cast_const().cast());
                    for i in items {
                        let x = self.row(&src[0], i);
                        self.write_row(dst, i, thread, |y| ops::rms_norm(isa, y, x, weight, eps.0, n));
                    }
                }
                Op::Silu => {
                    for i in items {
                        ops::silu(isa, self.row(dst, i), self.row(&src[0], i), n);
                    }
                }
                Op::SwiGlu => {
                    for i in items {
                        let (gate, up) = (self.row(&src[0], i), self.row(&src[1], i));
                        self.write_row(dst, i, thread, |y| ops::swiglu(isa, y, gate, up, n));
                    }
                }
                Op::Pack => {
                    for i in items {
                        self.pack(self.row(&src[0], i), dst, i);
                    }
                }
                Op::RopeTable(params) => {
                    let factors = src.get(1).map(|f| {
                        std::slice::from_raw_parts(self.ptr(f).cast::<f32>().cast_const(), params.n_rot / 2)
                    });
                    let out = self.f32s(dst, 1, items.start);
                    let out = std::slice::from_raw_parts_mut(out, items.len() * n);
                    ops::rope_table(&self.i32s(&src[0])[items], &params, factors, out);
                }
                Op::Rope { style, n_rot } => {
                    for i in items {
                        let (y, x) = (self.f32s(dst, 2, i), self.f32s(&src[0], 2, i));
                        let table = self.f32s(&src[1], 1, i);
                        ops::rope(isa, style, y, x, table, dst.ne[1], n, n_rot);
                    }
                }
                Op::KvWrite => {
                    let (cells, ty) = (self.i32s(&src[2]), kernel.kv_type());
                    for i in items {
                        let (kv, x) = (self.ptr(dst), self.f32s(&src[1], 2, i));
                        ops::kv_write(isa, ty, kv, dst.ne[1], cells[i] as usize, x, dst.ne[2], n);
                    }
                }
                Op::KvRope { style, n_rot } => {
                    let ty = kernel.kv_type();
                    let scratch: *mut f32 = self.state.scratch(thread).as_mut_ptr().cast();
                    for i in items.filter(|&i| self.inputs.cell_shift[i] != 0) {
                        let table = self.f32s(&src[1], 1, i);
                        for h in 0..dst.ne[2] {
                            let head = self.ptr(dst).add(h * dst.nb[2] + i * dst.nb[1]);
                            ops::kv_rope(isa, ty, style, head, table, n, n_rot, scratch);
                        }
                    }
                }
                Op::Attention { .. } => self.attention(kernel, chunk, n_threads, thread),
            }
        }
    }

    unsafe fn get_row(&self, table: &Operand, id: usize, out: *mut f32) {
        let n = table.ne[0];
        // SAFETY: see the contract above.
        unsafe {
            match table.dtype {
                DType::Ggml(ty) => {
                    let out = std::slice::from_raw_parts_mut(out, n);
                    quant::dequantize(ty, self.row_bytes(table, id), out).expect("a row is whole blocks");
                }
                DType::Packed => {
                    let row = self.row_bytes(table, id);
                    std::ptr::copy_nonoverlapping(row.as_ptr(), out.cast(), row.len());
                }
                _ => std::ptr::copy_nonoverlapping(self.f32s(table, 1, id), out, n),
            }
        }
    }

    unsafe fn mat_mul(&self, kernel: &Kernel, bias: bool, residual: bool, rows: Range<usize>, thread: usize) {
        let (w, x, dst) = (&kernel.src[0], &kernel.src[1], &kernel.dst);
        let (isa, n, first) = (self.state.isa, self.items(kernel), rows.start);
        // SAFETY: see the contract above.
        unsafe {
            let data = std::slice::from_raw_parts(self.ptr(w), w.ne[1] * w.nb[1]);
            let weight = Weight { ty: w.ggml(), data, k: w.ne[0], n_rows: w.ne[1] };
            let data = std::slice::from_raw_parts(self.ptr(x), x.ne[1] * x.nb[1]);
            let acts = Acts { data, row_bytes: x.nb[1], n };
            let out: *mut f32 = self.ptr(dst).cast();
            let scratch = self.state.scratch(thread);
            let n_rows = rows.len();
            matmul::matmul(isa, &weight, rows, &acts, out, dst.nb[1] / 4, scratch);
            for i in 0..n {
                let y = self.f32s(dst, 1, i).add(first);
                if bias {
                    ops::add(isa, y, y, self.f32s(&kernel.src[2], 1, 0).add(first), n_rows);
                }
                if residual {
                    let r = &kernel.src[2 + usize::from(bias)];
                    ops::add(isa, y, y, self.f32s(r, 1, i).add(first), n_rows);
                }
            }
        }
    }

    /// Rows `rows` of every expert's matrix, times the columns that go through it.
    unsafe fn mat_mul_id(&self, kernel: &Kernel, rows: Range<usize>, thread: usize) {
        let ([w, x, offsets], dst) = (&kernel.src[..], &kernel.dst) else {
            unreachable!("a product by expert has three sources")
        };
        // SAFETY: see the contract above; offsets ascend from 0 to the rows of x that are live.
        unsafe {
            let (offsets, scratch) = (self.i32s(offsets), self.state.scratch(thread));
            for (e, at) in offsets.windows(2).enumerate() {
                let (first, n) = (at[0] as usize, (at[1] - at[0]) as usize);
                if n == 0 {
                    continue;
                }
                let data = std::slice::from_raw_parts(self.ptr(w).add(e * w.nb[2]), w.nb[2]);
                let weight = Weight { ty: w.ggml(), data, k: w.ne[0], n_rows: w.ne[1] };
                let data = std::slice::from_raw_parts(self.ptr(x).add(first * x.nb[1]), n * x.nb[1]);
                let acts = Acts { data, row_bytes: x.nb[1], n };
                let out = self.f32s(dst, 1, first);
                matmul::matmul(self.state.isa, &weight, rows.clone(), &acts, out, dst.nb[1] / 4, scratch);
            }
        }
    }

    unsafe fn attention(&self, kernel: &Kernel, chunk: usize, n_threads: usize, thread: usize) {
        let [q, k, v, mask] = &kernel.src[..] else { unreachable!("attention has four sources") };
        let shape = kernel.attention_shape();
        let n = self.items(kernel);
        let tiles = attention_tiles(n, &shape);
        let (tile, i) = (chunk % tiles, chunk / tiles);
        let tokens = part(n, tiles, tile, 1);
        let group = match by_query_head(tiles, shape.n_head_kv, n_threads) {
            true => 1,
            false => shape.n_head / shape.n_head_kv,
        };
        // SAFETY: see the contract above.
        unsafe {
            let attention = Attention {
                shape,
                type_k: kv_type(k.ggml()),
                type_v: kv_type(v.ggml()),
                q: self.ptr(q).cast(),
                q_stride: q.nb[2] / 4,
                k: self.ptr(k),
                v: self.ptr(v),
                mask: std::slice::from_raw_parts(self.ptr(mask).cast(), n * mask.ne[0]),
                mask_words: mask.ne[0],
                n_kv: self.inputs.n_kv,
                out: self.ptr(&kernel.dst).cast(),
                out_stride: kernel.dst.nb[1] / 4,
            };
            let scratch = self.state.scratch(thread);
            ops::attention(self.state.isa, &attention, tokens, i * group..(i + 1) * group, scratch);
        }
    }
}

/// How many parts the `n` tokens of an attention are cut into. It does not ask how many threads there
/// are: how tokens share a part decides how their sums are rounded.
fn attention_tiles(n: usize, shape: &ops::AttnShape) -> usize {
    let full = n.div_ceil(ops::attention_tile_tokens(shape));
    full.max(n.div_ceil(FEW_TOKENS).min(ATTENTION_CHUNKS.div_ceil(shape.n_head_kv)))
}

/// Whether attention is cut by query heads, because there are too few key heads to go round.
fn by_query_head(tiles: usize, n_head_kv: usize, n_threads: usize) -> bool {
    tiles * n_head_kv < n_threads
}

/// The cache type as the kernels name it. A session takes no other types.
pub(super) fn kv_type(ty: GgmlType) -> ops::KvType {
    match ty {
        GgmlType::F16 => ops::KvType::F16,
        GgmlType::BF16 => ops::KvType::Bf16,
        GgmlType::Q8_0 => ops::KvType::Q8_0,
        _ => ops::KvType::F32,
    }
}
