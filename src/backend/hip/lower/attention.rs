//! Rotary positions, the cache and attention.

use super::*;

/// The shape of an attention and of its grid.
pub(super) struct Shape {
    pub n_tokens: usize,
    pub n_head: usize,
    pub per_kv: usize,
    pub dim_v: usize,
    /// Lanes to a cell and heads to a block: which kernel.
    pub lanes: usize,
    pub heads: usize,
    pub blocks: usize,
    pub splits: usize,
    /// Whether `flash.hip` does it.
    pub flash: bool,
}

/// Rows of queries that a block of `flash.hip` takes, tokens from which on it is worth it that they share
/// cells, and elements of the heads that it can do.
const FLASH_ROWS: usize = 64;
const FLASH_TOKENS: usize = 64;
const FLASH_DIM: usize = 128;

/// Bytes of a line of a cache (`fetch_ahead`), and how many of them an attention brings closer for those after
/// it: more have it wait, where it takes a few microseconds itself.
const LINE: u64 = 128;
const AHEAD_LINES: u64 = (2 << 20) / LINE;

/// Threads of the blocks of a step that take one head.
const STEP_THREADS: u32 = 512;

impl Shape {
    pub fn of(graph: &Graph, node: &Tensor, n_cu: usize) -> Shape {
        let [q, k, v] = [0, 1, 2].map(|i| graph.node(node.src[i]));
        let (n_head, n_head_kv, n_tokens) = (q.ne[1], k.ne[2], q.ne[2]);
        let lanes = (k.ne[0].max(v.ne[0]).div_ceil(8)).next_power_of_two().clamp(8, 32);
        let per_kv = n_head / n_head_kv;
        let heads = heads_of_block(per_kv, k.ne[1]);
        let blocks = n_head_kv * per_kv.div_ceil(heads);
        let half = matches!(k.dtype, DType::Ggml(GgmlType::F16 | GgmlType::Q8_0)) && k.dtype == v.dtype;
        let flash = n_tokens >= FLASH_TOKENS && half && k.ne[0].max(v.ne[0]) <= FLASH_DIM;
        // As many blocks as are resident at once.
        let splits = (n_cu / (blocks * n_tokens)).clamp(1, k.ne[1] / 64);
        Shape { n_tokens, n_head, per_kv, dim_v: v.ne[0], lanes, heads, blocks, splits, flash }
    }
}

impl Lower<'_> {
    pub(super) fn rope_table(&mut self, id: TensorId) -> Result<()> {
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

    pub(super) fn rope(&mut self, id: TensorId) -> Result<()> {
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
    pub(super) fn cache(&self, id: TensorId) -> Result<Cache> {
        let t = self.node(id);
        let name = self.ggml(self.graph.storage(id))?.name().to_lowercase();
        let ty = KV_TYPES.iter().position(|t| **t == name);
        let ty = ty.ok_or_else(|| Error::Internal(format!("a cache of type {name}")))?;
        Ok(Cache {
            p: self.address(id)?,
            dim: t.ne[0] as i32,
            n_cells: t.ne[1] as i32,
            ty: ty as i32,
            pad: 0,
        })
    }

    pub(super) fn kv_write(&mut self, id: TensorId) -> Result<()> {
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

    pub(super) fn rope_write(
        &mut self,
        rope: TensorId,
        k_rope: TensorId,
        k_write: TensorId,
        v_write: TensorId,
    ) -> Result<()> {
        let y = self.node(rope).clone();
        let Op::Rope { style, n_rot } = y.op else { return Err(Error::Internal("no rotation".into())) };
        let heads = |id: TensorId| -> Result<Heads> {
            let t = self.node(id);
            Ok(Heads { p: self.address(id)?, token: (t.nb[2] / 4) as i32, head: (t.nb[1] / 4) as i32 })
        };
        let v = self.src(v_write, 1);
        let (n_head, n_head_kv) = (y.ne[1], self.node(v).ne[1]);
        let (extent, capacity) = self.extent(&y);
        let a = RopeWrite {
            q: heads(self.src(rope, 0))?,
            k: heads(self.src(k_rope, 0))?,
            v: heads(v)?,
            y: self.address(rope)?,
            table: self.address(self.src(rope, 1))?,
            cells: self.address(self.src(k_write, 2))?,
            keys: self.cache(self.src(k_write, 0))?,
            values: self.cache(self.src(v_write, 0))?,
            y_token: (y.nb[2] / 4) as i32,
            y_head: (y.nb[1] / 4) as i32,
            n_head: n_head as i32,
            n_head_kv: n_head_kv as i32,
            head_dim: y.ne[0] as i32,
            n_rot: n_rot as i32,
            neox: i32::from(style == RopeStyle::Neox),
            extent,
            capacity: capacity as i32,
            pad: 0,
            run: self.at.run,
        };
        let kernel = self.unit("rope_write", self.src(k_write, 0))?;
        self.launch(("rope", &kernel), [y.ne[2], n_head + 2 * n_head_kv, 1], ROPE_THREADS, &a)
    }

    pub(super) fn kv_rope(&mut self, id: TensorId) -> Result<()> {
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
    pub(super) fn attention_args(&self, id: TensorId, q: TensorId) -> Result<(Attention, Shape)> {
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
            per_kv: shape.per_kv as i32,
            splits: shape.splits as i32,
            mask_words: (self.node(mask).nb[1] / 8) as i32,
            scale: scale.0,
            blocks: shape.blocks as i32,
            run: self.at.run,
            ..Attention::default()
        };
        Ok((a, shape))
    }

    pub(super) fn launch_attention(
        &mut self,
        kernel: &str,
        id: TensorId,
        a: &Attention,
        shape: &Shape,
    ) -> Result<()> {
        let [keys, values] = [1, 2].map(|i| self.graph.storage(self.src(id, i)));
        let same = self.ggml(keys)? == self.ggml(values)?;
        let unit = if same { self.unit("attention", keys)? } else { "attention_mixed".into() };
        let step = kernel == "attention_step";
        let kernel = format!("{kernel}_{}_{}", shape.lanes, shape.heads);
        let threads = if shape.heads == 1 && step { STEP_THREADS } else { THREADS };
        self.launch((&unit, &kernel), [shape.blocks, shape.splits, shape.n_tokens], threads, a)
    }

    pub(super) fn attention(&mut self, id: TensorId, pack: Option<TensorId>) -> Result<()> {
        let (mut a, shape) = self.attention_args(id, self.src(id, 0))?;
        match pack {
            Some(pack) => a.packed = self.address(pack)?,
            None => a.y = self.address(id)?,
        }
        if !shape.flash {
            return self.launch_attention("attention", id, &a, &shape);
        }
        let n_head_kv = shape.n_head / shape.per_kv;
        let grid = [(shape.n_tokens * shape.per_kv).div_ceil(FLASH_ROWS), n_head_kv, 1];
        let unit = self.unit("flash", self.graph.storage(self.src(id, 1)))?;
        let kernel = if shape.lanes == 8 { "flash_64" } else { "flash_128" };
        self.launch((&unit, kernel), grid, 4 * self.kernels.device().info().wave, &a)
    }

    /// What the products of `next` read first, up to the next attention.
    fn ahead(&self, next: &[Step]) -> Result<[Ahead; N_AHEAD]> {
        let mut left = AHEAD_LINES;
        let steps = next.iter().take_while(|s| !matches!(s, Step::Attend(_)));
        let products =
            steps.flat_map(Step::nodes).filter(|&id| matches!(self.node(id).op, Op::MatMul { .. }));
        let mut ahead = [Ahead::default(); N_AHEAD];
        for (to, id) in ahead.iter_mut().zip(products) {
            let w = self.src(id, 0);
            let lines = left.min(self.node(w).n_bytes() as u64 / LINE);
            *to = Ahead { p: self.address(w)?, lines };
            left -= lines;
        }
        Ok(ahead)
    }

    pub(super) fn attend(&mut self, s: &Attend, next: &[Step]) -> Result<()> {
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
        a.ahead = self.ahead(next)?;
        a.n_rot = n_rot as i32;
        a.neox = i32::from(style == RopeStyle::Neox);
        self.launch_attention("attention_step", s.attention, &a, &shape)
    }
}
