//! What a graph computes, in f64, operation by operation as `graph::Op` defines them, with bounds on what kernels
//! may make of it.
//!
//! Every number carries how far from it the computed one may be ([`Near`]); an operation carries its sources'
//! bounds on and adds its own. Rounding that is part of an operation's definition (packed activations, the type of the
//! cache) is done here too, so what is left to bound are f32 sums and functions:
//!
//! - products: [`SUM`] of the sum of magnitudes, a weight's magnitude being the largest of its group of 32, since a
//!   group is multiplied as quants, its offset apart;
//! - rows of matrices: two roundings of the group's largest;
//! - norms and attention's sums: [`SUMS`]; exponentials: [`EXP`]; entries of a rotary table: [`ANGLE`];
//! - attention of many tokens on a GPU: queries, keys, values and weights rounded to f16 ([`Rounding`]).

use std::collections::HashMap;

use rocmforge::backend::Inputs;
use rocmforge::gguf::{File, TensorInfo};
use rocmforge::graph::{DType, Extent, Graph, Input, KvHalf, Op, RopeParams, RopeStyle, Tensor, TensorId};
use rocmforge::quant::{GgmlType, dequantize};

use crate::near::{Near, UNIT, pack, store};

/// Of products, relative to the sum of magnitudes.
const SUM: f64 = 1e-6;
/// Of sums of squares and of the denominators of softmax, relative.
const SUMS: f64 = 2e-6;
/// Of exponentials and what is made of one, relative.
const EXP: f64 = 1e-6;
/// Of cosines and sines.
const ANGLE: f64 = 1e-6;

/// Rounding that is a backend's own choice.
pub struct Rounding {
    /// Types whose products read packed rows.
    pub packed: Vec<GgmlType>,
    /// From so many tokens on, a graph's attention over f16 or q8_0 may be computed in f16 with sums in f32.
    pub attention_in_f16: Option<usize>,
}

/// Half a unit in the last place of f16, relative, and what the smallest of its numbers are off by.
const HALF: f64 = 1.0 / 2048.0;
const SMALLEST_HALF: f64 = 3e-8;

/// One half of a layer's cache.
#[derive(Clone)]
pub struct Half {
    pub ty: GgmlType,
    pub dim: usize,
    pub n_cells: usize,
    /// `[n_head][n_cells][dim]`.
    pub x: Vec<Near>,
    /// `[n_head][n_cells]`: which rows a run writes.
    pub written: Vec<bool>,
}

/// The cache, layer by layer.
pub type Kv = Vec<[Half; 2]>;

/// What a node made: numbers, or places.
#[derive(Clone)]
pub enum Data {
    Real(Vec<Near>),
    Int(Vec<i32>),
    /// A leaf, read where it is needed.
    None,
}

/// The outputs of a run of `graph` as it was built, row by row as [`rocmforge::backend::Session::output`] gives them.
/// What it writes to the cache is written to `kv`.
pub fn evaluate(graph: &Graph, file: &File, inputs: &Inputs, kv: &mut Kv, rounding: &Rounding) -> Vec<Data> {
    let mut e = Eval { graph, file, inputs, kv, rounding, data: Vec::new() };
    for i in 0..graph.nodes.len() {
        let made = e.node(&graph.nodes[i]);
        e.data.push(made);
    }
    let outputs = graph.roots.iter().filter(|r| !graph.node(**r).op.has_effect());
    outputs
        .map(|&r| {
            let n = inputs.n_outputs * graph.node(r).ne[0];
            match graph.node(r).dtype {
                DType::I32 => Data::Int(e.ints(r)[..n].to_vec()),
                _ => Data::Real(e.real(r)[..n].to_vec()),
            }
        })
        .collect()
}

struct Eval<'a> {
    graph: &'a Graph,
    file: &'a File,
    inputs: &'a Inputs,
    kv: &'a mut Kv,
    rounding: &'a Rounding,
    data: Vec<Data>,
}

/// A weight's row as f32.
fn row_of(file: &File, t: &TensorInfo<'_>, row: usize, out: &mut [f32]) {
    let bytes = t.row_bytes();
    dequantize(t.ty, &file.data(t)[row * bytes..][..bytes], out).unwrap();
}

/// The largest magnitudes of each group of 32, or of each single element where the type has none.
fn magnitudes(ty: GgmlType, row: &[f32], out: &mut Vec<f64>) {
    let each = if ty.block_len() == 1 { 1 } else { 32 };
    out.clear();
    out.extend(row.chunks(each).map(|g| g.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())))));
}

/// A column of a product, read once for all rows.
struct Column {
    x: Vec<f64>,
    /// Of each group, the sum of magnitudes and that of errors.
    magnitude: Vec<f64>,
    error: Vec<f64>,
}

impl Column {
    fn new(ty: GgmlType, x: &[Near]) -> Column {
        let each = if ty.block_len() == 1 { 1 } else { 32 };
        let sums = |f: fn(&Near) -> f64| x.chunks(each).map(|g| g.iter().map(f).sum()).collect();
        Column { x: x.iter().map(|n| n.v).collect(), magnitude: sums(|n| n.v.abs()), error: sums(|n| n.e) }
    }
}

/// Eight sums side by side, which the compiler makes vectors of.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x, y) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in x.zip(y) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

impl Eval<'_> {
    fn info(&self, id: TensorId) -> TensorInfo<'_> {
        match self.graph.node(id).op {
            Op::Weight(w) => self.file.tensor_at(w.0 as usize).unwrap(),
            op => panic!("{op:?} is no weight"),
        }
    }

    /// Rows of a tensor that this run has.
    fn live(&self, t: &Tensor) -> usize {
        match t.extent {
            Extent::Fixed => t.n_rows(),
            Extent::Tokens => t.n_rows() / self.graph.n_tokens * self.inputs.n_tokens,
            Extent::Outputs => t.n_rows() / self.graph.n_outputs * self.inputs.n_outputs,
        }
    }

    /// Where in its base's elements each element of a view lies.
    fn places(&self, id: TensorId) -> (TensorId, Vec<usize>) {
        let (mut base, mut offset) = (id, 0);
        while self.graph.node(base).op == Op::View {
            offset += self.graph.node(base).offset;
            base = self.graph.node(base).src[0];
        }
        let t = self.graph.node(id);
        let mut places = Vec::with_capacity(t.ne.iter().product());
        for i3 in 0..t.ne[3] {
            for i2 in 0..t.ne[2] {
                for i1 in 0..t.ne[1] {
                    let row = offset + i1 * t.nb[1] + i2 * t.nb[2] + i3 * t.nb[3];
                    places.extend((0..t.ne[0]).map(|i| (row + i * t.nb[0]) / 4));
                }
            }
        }
        (base, places)
    }

    /// All elements of a tensor, the first dimension innermost.
    fn real(&self, id: TensorId) -> Vec<Near> {
        let t = self.graph.node(id);
        match (&self.data[id.0 as usize], t.op) {
            (Data::Real(x), _) => x.clone(),
            (_, Op::View) => {
                let (base, places) = self.places(id);
                let x = self.real(base);
                places.into_iter().map(|i| x[i]).collect()
            }
            (_, Op::Weight(_)) => {
                let (info, k) = (self.info(id), t.ne[0]);
                let mut all = vec![0.0; k * t.n_rows()];
                for (r, row) in all.chunks_mut(k).enumerate() {
                    row_of(self.file, &info, r, row);
                }
                all.into_iter().map(Near::exact).collect()
            }
            (_, Op::Input(Input::Hidden)) => self.inputs.hidden.iter().map(|&v| Near::exact(v)).collect(),
            (_, op) => panic!("{op:?} has no numbers"),
        }
    }

    fn ints(&self, id: TensorId) -> Vec<i32> {
        let t = self.graph.node(id);
        match (&self.data[id.0 as usize], t.op) {
            (Data::Int(x), _) => x.clone(),
            (_, Op::View) => {
                let (base, places) = self.places(id);
                let x = self.ints(base);
                places.into_iter().map(|i| x[i]).collect()
            }
            (_, Op::Input(input)) => match input {
                Input::Tokens => self.inputs.tokens.clone(),
                Input::Positions => self.inputs.positions.clone(),
                Input::Cells => self.inputs.cells.clone(),
                Input::OutputIds => self.inputs.output_ids.clone(),
                Input::CellShift => self.inputs.cell_shift.clone(),
                Input::Mask | Input::Hidden => panic!("{input:?} has no integers"),
            },
            (_, op) => panic!("{op:?} has no integers"),
        }
    }

    /// `f` of each live row and its number; the others may be anything.
    fn rows(&self, t: &Tensor, mut f: impl FnMut(usize, &mut [Near])) -> Data {
        let mut out = vec![Near::ANY; t.ne[0] * t.n_rows()];
        let live = self.live(t);
        for (i, row) in out.chunks_mut(t.ne[0]).take(live).enumerate() {
            f(i, row);
        }
        Data::Real(out)
    }

    fn node(&mut self, t: &Tensor) -> Data {
        let n = t.ne[0];
        match t.op {
            Op::Input(_) | Op::Weight(_) | Op::Kv(..) | Op::View => Data::None,
            Op::GetRows => self.get_rows(t),
            Op::Pack | Op::SwiGlu => panic!("{:?} is made by passes only", t.op),
            Op::MatMul { .. } => {
                let y = self.product(t, |_| 0);
                self.rows(t, |i, row| row.copy_from_slice(&y[i * n..][..n]))
            }
            Op::MatMulId => {
                let offsets = self.ints(t.src[2]);
                let pairs = *offsets.last().unwrap() as usize;
                let expert = |p: usize| offsets.iter().filter(|&&o| o as usize <= p).count() - 1;
                let y = self.product(t, |p| if p < pairs { expert(p) } else { usize::MAX });
                self.rows(t, |i, row| row.copy_from_slice(&y[i * n..][..n]))
            }
            Op::Add | Op::Mul => {
                let (a, b) = (self.real(t.src[0]), self.real(t.src[1]));
                let one = b.len() == n;
                self.rows(t, |i, row| {
                    for (j, y) in row.iter_mut().enumerate() {
                        let (a, b) = (a[i * n + j], b[if one { j } else { i * n + j }]);
                        *y = match t.op {
                            Op::Add => Near { v: a.v + b.v, e: a.e + b.e },
                            _ => Near { v: a.v * b.v, e: a.e * b.v.abs() + b.e * a.v.abs() + a.e * b.e },
                        };
                        // What is added to a product may be added up first, which is one rounding more.
                        let add = 2.0 * (a.v.abs() + b.v.abs());
                        y.e += UNIT * if t.op == Op::Add { add } else { y.v.abs() };
                    }
                })
            }
            Op::RmsNorm { eps } => {
                let x = self.real(t.src[0]);
                self.rows(t, |i, row| {
                    let x = &x[i * n..][..n];
                    let mean = x.iter().map(|x| x.v * x.v).sum::<f64>() / n as f64 + f64::from(eps.0);
                    let off = x.iter().map(|x| (2.0 * x.v.abs() + x.e) * x.e).sum::<f64>() / n as f64;
                    let (factor, relative) = (1.0 / mean.sqrt(), 0.5 * off / mean + SUMS);
                    for (y, x) in row.iter_mut().zip(x) {
                        let v = x.v * factor;
                        *y = Near { v, e: x.e * factor * (1.0 + relative) + v.abs() * relative };
                    }
                })
            }
            Op::Silu => {
                let x = self.real(t.src[0]);
                self.rows(t, |i, row| {
                    for (y, x) in row.iter_mut().zip(&x[i * n..]) {
                        // Its derivative is nowhere larger than 1.1.
                        let v = x.v / (1.0 + (-x.v).exp());
                        *y = Near { v, e: 1.1 * x.e + (EXP + 2.0 * UNIT * x.v.abs().min(90.0)) * v.abs() };
                    }
                })
            }
            Op::RopeTable(p) => {
                let positions = self.ints(t.src[0]);
                let factors = t.src.get(1).map(|&f| self.real(f));
                self.rows(t, |i, row| {
                    for (pair, y) in row.chunks_mut(2).enumerate() {
                        let (s, c) = angle(&p, positions[i], pair, factors.as_deref()).sin_cos();
                        let m = f64::from(p.attn_factor);
                        y[0] = Near { v: c * m, e: ANGLE * m };
                        y[1] = Near { v: s * m, e: ANGLE * m };
                    }
                })
            }
            Op::Rope { style, n_rot } => {
                let (x, table) = (self.real(t.src[0]), self.real(t.src[1]));
                self.rows(t, |i, row| {
                    row.copy_from_slice(&x[i * n..][..n]);
                    turn(style, row, &table[i / t.ne[1] * n_rot..][..n_rot]);
                })
            }
            Op::KvWrite => self.kv_write(t),
            Op::KvRope { style, n_rot } => {
                let (table, shift) = (self.real(t.src[1]), &self.inputs.cell_shift);
                let half = half_of(self.kv, self.graph, t);
                for (i, row) in half.x.chunks_mut(half.dim).enumerate() {
                    let cell = i % half.n_cells;
                    if cell < self.inputs.n_kv && shift[cell] != 0 {
                        turn(style, row, &table[cell * n_rot..][..n_rot]);
                        store(half.ty, row);
                        half.written[i] = true;
                    }
                }
                Data::None
            }
            Op::Attention { scale } => self.attention(t, scale.0.into()),
            Op::TopK { k } => {
                let x = self.real(t.src[0]);
                let m = self.graph.node(t.src[0]).ne[0];
                let mut ids = vec![i32::MIN; t.ne[0] * t.n_rows()];
                for (x, out) in x.chunks(m).zip(ids.chunks_mut(k)).take(self.live(t)) {
                    let mut order: Vec<usize> = (0..m).collect();
                    order.sort_by(|&a, &b| x[b].v.total_cmp(&x[a].v).then(a.cmp(&b)));
                    // Only what is exact may be equal.
                    for pair in order.windows(2).take(k) {
                        let (a, b) = (x[pair[0]], x[pair[1]]);
                        assert!(a.e + b.e == 0.0 || a.v - b.v > a.e + b.e, "a choice too close to call");
                    }
                    out.iter_mut().zip(order).for_each(|(to, id)| *to = id as i32);
                }
                Data::Int(ids)
            }
            Op::ExpertWeights { scale } => {
                let (x, ids) = (self.real(t.src[0]), self.ints(t.src[1]));
                let m = self.graph.node(t.src[0]).ne[0];
                self.rows(t, |i, row| {
                    let chosen: Vec<Near> =
                        ids[i * n..][..n].iter().map(|&id| x[i * m + id as usize]).collect();
                    let (p, relative) = softmax(&chosen);
                    for (y, p) in row.iter_mut().zip(p) {
                        let v = p * f64::from(scale.0);
                        *y = Near { v, e: v.abs() * relative };
                    }
                })
            }
            Op::GroupByExpert { n_expert } => self.group_by_expert(t, n_expert),
            Op::Combine => {
                let (y, places, weights) = (self.real(t.src[0]), self.ints(t.src[1]), self.real(t.src[2]));
                let k = self.graph.node(t.src[1]).ne[0];
                self.rows(t, |i, row| {
                    for (j, out) in row.iter_mut().enumerate() {
                        let (mut sum, mut most) = (Near::exact(0.0), 0.0);
                        for at in i * k..(i + 1) * k {
                            let (w, y) = (weights[at], y[places[at] as usize * n + j]);
                            sum.v += w.v * y.v;
                            sum.e += w.e * y.v.abs() + y.e * w.v.abs() + w.e * y.e;
                            most += (w.v * y.v).abs();
                        }
                        sum.e += SUM * most;
                        *out = sum;
                    }
                })
            }
        }
    }

    fn get_rows(&self, t: &Tensor) -> Data {
        let (n, ids) = (t.ne[0], self.ints(t.src[1]));
        if !matches!(self.graph.node(t.src[0]).op, Op::Weight(_)) {
            let x = self.real(t.src[0]);
            return self.rows(t, |i, y| y.copy_from_slice(&x[ids[i] as usize * n..][..n]));
        }
        let table = self.info(t.src[0]);
        let exact = if table.ty.block_len() == 1 { 0.0 } else { 4.0 * UNIT };
        let (mut row, mut most) = (vec![0.0; n], Vec::new());
        self.rows(t, |i, y| {
            row_of(self.file, &table, ids[i] as usize, &mut row);
            magnitudes(table.ty, &row, &mut most);
            let each = n / most.len();
            for (j, (y, &v)) in y.iter_mut().zip(&row).enumerate() {
                *y = Near { v: v.into(), e: exact * most[j / each] };
            }
        })
    }

    /// Each column by the matrix that it goes through; no number, none of its rows.
    fn product(&self, t: &Tensor, matrix: impl Fn(usize) -> usize) -> Vec<Near> {
        let (info, m) = (self.info(t.src[0]), t.ne[0]);
        let k = self.graph.node(t.src[0]).ne[0];
        let mut x = self.real(t.src[1]);
        // A single row is kept as f32.
        let ty = if info.n_rows() == 1 { GgmlType::F32 } else { info.ty };
        if self.rounding.packed.contains(&ty) {
            x.chunks_mut(k).take(self.live(t)).for_each(pack);
        }
        // Equal columns are multiplied once.
        let mut columns: Vec<(usize, Column)> = Vec::new();
        let mut seen = HashMap::new();
        let mut of = Vec::new();
        for (p, x) in x.chunks(k).enumerate().take(self.live(t)) {
            let mix = |h: u64, bits: u64| (h.rotate_left(5) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let key = x.iter().fold(0, |h, n| mix(mix(h, n.v.to_bits()), n.e.to_bits()));
            let at = matrix(p);
            of.push((at != usize::MAX).then(|| {
                *seen.entry((at, key)).or_insert_with(|| {
                    columns.push((at, Column::new(ty, x)));
                    columns.len() - 1
                })
            }));
        }
        let mut results = vec![Near::ANY; columns.len() * m];
        let (mut row, mut most) = (vec![0.0; k], Vec::new());
        let n_matrices = info.n_rows() / m;
        for e in 0..n_matrices {
            if columns.iter().all(|c| c.0 != e) {
                continue;
            }
            for r in 0..m {
                row_of(self.file, &info, e * m + r, &mut row);
                magnitudes(ty, &row, &mut most);
                let w: Vec<f64> = row.iter().map(|&v| v.into()).collect();
                for (c, (_, column)) in columns.iter().enumerate().filter(|(_, c)| c.0 == e) {
                    let e = SUM * dot(&most, &column.magnitude) + dot(&most, &column.error);
                    results[c * m + r] = Near { v: dot(&w, &column.x), e };
                }
            }
        }
        let mut y = vec![Near::ANY; m * t.n_rows()];
        for (y, at) in y.chunks_mut(m).zip(of) {
            if let Some(c) = at {
                y.copy_from_slice(&results[c * m..][..m]);
            }
        }
        y
    }

    fn kv_write(&mut self, t: &Tensor) -> Data {
        let (x, cells) = (self.real(t.src[1]), self.ints(t.src[2]));
        let [dim, n_head, ..] = self.graph.node(t.src[1]).ne;
        let half = half_of(self.kv, self.graph, t);
        for (token, &cell) in cells.iter().enumerate().take(self.inputs.n_tokens) {
            for head in 0..n_head {
                let at = head * half.n_cells + cell as usize;
                let row = &mut half.x[at * dim..][..dim];
                row.copy_from_slice(&x[(token * n_head + head) * dim..][..dim]);
                store(half.ty, row);
                half.written[at] = true;
            }
        }
        Data::None
    }

    fn attention(&mut self, t: &Tensor, scale: f64) -> Data {
        let q = self.real(t.src[0]);
        let [dim, n_head, ..] = self.graph.node(t.src[0]).ne;
        let [k, v] = [1, 2].map(|i| {
            let Op::Kv(il, half) = self.graph.node(self.graph.storage(t.src[i])).op else {
                panic!("attention reads a cache")
            };
            &self.kv[il as usize][usize::from(half == KvHalf::V)]
        });
        let per_kv = n_head / (k.written.len() / k.n_cells);
        let words = self.graph.node(t.src[3]).ne[0];
        let half = self.rounding.attention_in_f16.is_some_and(|n| self.graph.n_tokens >= n)
            && [k.ty, v.ty].iter().all(|ty| matches!(ty, GgmlType::F16 | GgmlType::Q8_0));
        // All tokens of a few, some of many.
        let step = (self.inputs.n_tokens * self.inputs.n_kv * n_head / 60_000).max(1);
        let last = self.inputs.n_tokens - 1;
        self.rows(t, |token, out| {
            let sees = |c: &usize| self.inputs.mask[token * words + c / 64] >> (c % 64) & 1 == 1;
            let cells: Vec<usize> = (0..self.inputs.n_kv).filter(sees).collect();
            if token % step != 0 && token != last {
                return;
            }
            for head in 0..n_head {
                let first = head / per_kv * k.n_cells;
                let q = &q[(token * n_head + head) * dim..][..dim];
                let score = |&c: &usize| {
                    let mut s = Near::exact(0.0);
                    let (mut most, mut squares) = (0.0, 0.0);
                    for (q, k) in q.iter().zip(&k.x[(first + c) * dim..]) {
                        s.v += q.v * k.v;
                        s.e += q.e * k.v.abs() + k.e * q.v.abs() + q.e * k.e;
                        most += (q.v * k.v).abs();
                        squares += (q.v * k.v).powi(2);
                    }
                    s.e += SUM * most;
                    if half {
                        // Both factors are off by up to HALF, each product by itself: five deviations of that.
                        s.e += 5.0 * HALF * squares.sqrt() + SMALLEST_HALF * most;
                    }
                    Near { v: scale * s.v, e: scale * s.e }
                };
                let scores: Vec<Near> = cells.iter().map(score).collect();
                let (p, relative) = softmax(&scores);
                let top = p.iter().copied().fold(0.0, f64::max);
                let out = &mut out[head * v.dim..][..v.dim];
                out.fill(Near::exact(0.0));
                let mut most = vec![0.0; v.dim];
                for (&c, p) in cells.iter().zip(p) {
                    for (j, v) in v.x[(first + c) * v.dim..][..v.dim].iter().enumerate() {
                        out[j].v += p * v.v;
                        out[j].e += p * v.e * (1.0 + relative);
                        most[j] += p * v.v.abs();
                        if half {
                            // Weights in units of the largest.
                            out[j].e += 2.0 * HALF * p * v.v.abs() + SMALLEST_HALF * top * v.v.abs();
                        }
                    }
                }
                for (o, most) in out.iter_mut().zip(most) {
                    o.e += (relative + SUMS) * most;
                }
            }
        })
    }

    fn group_by_expert(&self, t: &Tensor, n_expert: usize) -> Data {
        let ids = self.ints(t.src[0]);
        let [k, m, ..] = self.graph.node(t.src[0]).ne;
        let live = self.live(self.graph.node(t.src[0])) * k;
        let mut pairs: Vec<usize> = (0..live).collect();
        pairs.sort_by_key(|&p| ids[p]);
        let mut out = vec![i32::MIN; n_expert + 1 + 2 * k * m];
        for (e, at) in out[..=n_expert].iter_mut().enumerate() {
            *at = ids[..live].iter().filter(|&&id| (id as usize) < e).count() as i32;
        }
        for (place, &pair) in pairs.iter().enumerate() {
            out[n_expert + 1 + place] = (pair / k) as i32;
            out[n_expert + 1 + k * m + pair] = place as i32;
        }
        Data::Int(out)
    }
}

fn half_of<'a>(kv: &'a mut Kv, graph: &Graph, t: &Tensor) -> &'a mut Half {
    let Op::Kv(il, half) = graph.node(graph.storage(t.src[0])).op else { panic!("no cache") };
    &mut kv[il as usize][usize::from(half == KvHalf::V)]
}

/// The weights that scores give, and how far off they may be, relatively.
fn softmax(scores: &[Near]) -> (Vec<f64>, f64) {
    let top = scores.iter().map(|s| s.v).fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = scores.iter().map(|s| (s.v - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    let p: Vec<f64> = e.iter().map(|e| e / sum).collect();
    // Of scores far below the largest, whose weight is small, the exponent's rounding counts.
    let off = |s: &Near| s.e + 2.0 * UNIT * s.v.abs().max(top.abs());
    let worst = scores.iter().zip(&p).filter(|(_, p)| **p > 1e-9).map(|(s, _)| off(s)).fold(0.0, f64::max);
    (p, (2.0 * worst).exp_m1() + EXP + SUMS)
}

/// The angle of a pair at a position, in radians.
fn angle(p: &RopeParams, position: i32, pair: usize, factors: Option<&[Near]>) -> f64 {
    assert_eq!(p.ext_factor, 0.0, "models have tests of YaRN");
    let frequency = f64::from(p.freq_base).powf(-2.0 * pair as f64 / p.n_rot as f64);
    f64::from(position) * frequency * f64::from(p.freq_scale) / factors.map_or(1.0, |f| f[pair].v)
}

/// Turns a head by a row of the table.
fn turn(style: RopeStyle, x: &mut [Near], table: &[Near]) {
    let half = table.len() / 2;
    for pair in 0..half {
        let (i, j) = match style {
            RopeStyle::Norm => (2 * pair, 2 * pair + 1),
            RopeStyle::Neox => (pair, pair + half),
        };
        let (a, b, c, s) = (x[i], x[j], table[2 * pair], table[2 * pair + 1]);
        let times = |x: Near, y: Near| Near {
            v: x.v * y.v,
            e: x.e * y.v.abs() + y.e * x.v.abs() + x.e * y.e + 2.0 * UNIT * (x.v * y.v).abs(),
        };
        let (ac, bs, as_, bc) = (times(a, c), times(b, s), times(a, s), times(b, c));
        x[i] = Near { v: ac.v - bs.v, e: ac.e + bs.e };
        x[j] = Near { v: as_.v + bc.v, e: as_.e + bc.e };
    }
}
