//! Products, and rows of matrices.

use super::*;

/// Rows that a block of `matmul.hip` makes, elements of k that it takes at a time, the columns that it
/// makes at most, and the parts of k that one block adds up at most.
const ROWS: usize = 128;
const DEPTH: usize = 64;
const COLUMNS: [usize; 2] = [32, 64];
const MAX_SPLITS: usize = 12;

/// The grid of products of many columns.
pub(super) struct Tiles {
    /// Of all matrices' rows.
    pub rows: usize,
    /// Of columns, and how many there are in one, which the kernel's name ends in.
    pub columns: usize,
    pub each: usize,
    pub splits: usize,
}

impl Tiles {
    /// `None` for so few columns that `matvec.hip` makes them.
    pub fn of(graph: &Graph, ids: &[TensorId], n_cu: usize) -> Option<Tiles> {
        let n = graph.node(ids[0]).n_rows();
        if n <= MAX_COLUMNS {
            return None;
        }
        let each = if n <= COLUMNS[0] { COLUMNS[0] } else { COLUMNS[1] };
        let rows: usize = ids.iter().map(|&id| graph.node(id).ne[0].div_ceil(ROWS)).sum();
        let columns = n.div_ceil(each);
        // Three blocks to a compute unit hide each other's latency; a split is at least two steps, and one
        // block has to add them all up.
        let steps = graph.node(graph.node(ids[0]).src[0]).ne[0].div_ceil(DEPTH);
        let splits = (3 * n_cu / (rows * columns)).clamp(1, steps.div_ceil(2).min(MAX_SPLITS));
        // None is empty.
        Some(Tiles { rows, columns, each, splits: steps.div_ceil(steps.div_ceil(splits)) })
    }

    /// Bytes of the parts, before they are added up.
    pub fn partial_bytes(&self) -> usize {
        if self.splits == 1 { 0 } else { self.rows * ROWS * self.columns * self.each * self.splits * 4 }
    }
}

impl Lower<'_> {
    /// Products of one packed input: through matrix instructions where it has many columns.
    pub(super) fn products(&mut self, ids: &[TensorId]) -> Result<()> {
        match Tiles::of(self.graph, ids, self.n_cu) {
            Some(tiles) => self.mat_mul(ids, &tiles),
            None => self.mat_vecs(ids),
        }
    }

    fn mat_mul(&mut self, ids: &[TensorId], tiles: &Tiles) -> Result<()> {
        let first = ids[0];
        let (extent, capacity) = self.extent(self.node(first));
        let mut a = MatMul {
            x: self.address(self.src(first, 1))?,
            partial: self.at.partial,
            counters: self.at.counters,
            splits: tiles.splits as i32,
            extent,
            capacity: capacity as i32,
            run: self.at.run,
            grids: self.weights.grids(),
            ..MatMul::default()
        };
        let mut end = 0;
        for m in 0..3 {
            if let Some(&id) = ids.get(m) {
                a.w[m] = self.weight(self.src(id, 0))?;
                (a.bias[m], a.residual) = self.added(id)?;
                a.y[m] = self.address(id)?;
                a.strides[m] = (self.node(id).nb[1] / 4) as i32;
                end += self.node(id).ne[0].div_ceil(ROWS);
            }
            a.tiles[m] = end as i32;
        }
        let (unit, kernel) = (self.unit("matmul", self.src(first, 0))?, format!("matmul_{}", tiles.each));
        self.launch((&unit, &kernel), [tiles.rows, tiles.columns, tiles.splits], THREADS, &a)
    }

    /// The arguments that all products of packed rows have in common.
    pub(super) fn mat_vec(&self, x: TensorId, y: TensorId) -> Result<MatVec> {
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

    /// The addresses of a product's bias and residual, 0 for none.
    pub(super) fn added(&self, id: TensorId) -> Result<(u64, u64)> {
        let Op::MatMul { bias, residual } = self.node(id).op else {
            return Err(Error::Internal("a product that is none".into()));
        };
        let after = 2 + usize::from(bias);
        Ok((
            if bias { self.optional(id, 2)? } else { 0 },
            if residual { self.optional(id, after)? } else { 0 },
        ))
    }

    /// Blocks of columns that a launch has and the columns of one, which the kernel's name ends in: all
    /// that there is room for and no more, since kernels write whole blocks.
    pub(super) fn columns(&self, y: TensorId) -> (usize, usize) {
        let n = self.node(y).n_rows();
        let each = MAX_COLUMNS.min(1 << n.trailing_zeros());
        (n / each, each)
    }

    fn mat_vecs(&mut self, ids: &[TensorId]) -> Result<()> {
        let first = ids[0];
        let mut a = self.mat_vec(self.src(first, 1), first)?;
        let mut tiles = 0;
        for m in 0..3 {
            let Some(&id) = ids.get(m) else {
                a.tiles[m] = tiles as i32;
                continue;
            };
            a.w[m] = self.weight(self.src(id, 0))?;
            a.types[m] = self.ggml(self.src(id, 0))? as i32;
            (a.bias[m], a.residual) = self.added(id)?;
            a.y[m] = self.address(id)?;
            tiles += self.node(id).ne[0].div_ceil(TILE);
            a.tiles[m] = tiles as i32;
            a.strides[m] = (self.node(id).nb[1] / 4) as i32;
        }
        let (n, each) = self.columns(first);
        let same = a.types[..ids.len()].iter().all(|t| *t == a.types[0]);
        let unit = if same { self.unit("matvec", self.src(first, 0))? } else { "matvec_mixed".into() };
        self.launch((&unit, &format!("matvec_{each}")), [tiles, n, 1], THREADS, &a)
    }

    pub(super) fn then_norm(&mut self, product: TensorId, norm: TensorId) -> Result<()> {
        let mut a = self.mat_vec(self.src(product, 1), product)?;
        a.w[0] = self.weight(self.src(product, 0))?;
        (a.bias[0], a.residual) = self.added(product)?;
        a.y[0] = self.address(product)?;
        a.norm = self.address(self.src(norm, 1))?;
        a.packed = self.address(norm)?;
        let (n, each) = self.columns(product);
        let tiles = self.node(product).ne[0] / TILE;
        let (unit, kernel) = (self.unit("matvec", self.src(product, 0))?, format!("matvec_norm_{each}"));
        let threads = if each == 1 { NORM_COLUMN_THREADS } else { THREADS };
        self.launch((&unit, &kernel), [tiles, n, 1], threads, &a)
    }

    pub(super) fn swiglu(&mut self, gate: TensorId, up: TensorId, gated: TensorId) -> Result<()> {
        let mut a = self.mat_vec(self.src(gate, 1), gate)?;
        for (m, id) in [gate, up].into_iter().enumerate() {
            a.w[m] = self.weight(self.src(id, 0))?;
            (a.bias[m], _) = self.added(id)?;
        }
        a.packed = self.address(gated)?;
        let (n, each) = self.columns(gate);
        let tiles = self.node(gate).ne[0] / TILE;
        let (unit, kernel) = (self.unit("matvec", self.src(gate, 0))?, format!("matvec_swiglu_{each}"));
        self.launch((&unit, &kernel), [tiles, n, 1], THREADS, &a)
    }

    pub(super) fn get_rows(&mut self, id: TensorId) -> Result<()> {
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

    pub(super) fn float_product(&mut self, id: TensorId) -> Result<()> {
        let (w, x) = (self.src(id, 0), self.src(id, 1));
        let (extent, capacity) = self.extent(self.node(id));
        let (n, each) = self.columns(id);
        let (bias, residual) = self.added(id)?;
        let stride = |t: TensorId| (self.node(t).nb[1] / 4) as i32;
        let a = FloatMatVec {
            w: self.weight(w)?,
            x: self.address(x)?,
            bias,
            residual,
            y: self.address(id)?,
            x_stride: stride(x),
            y_stride: stride(id),
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

    pub(super) fn expert_product(&mut self, id: TensorId) -> Result<()> {
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
}
