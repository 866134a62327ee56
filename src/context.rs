//! A context: the state of a conversation with a model, and [`Context::decode`], which runs it on.

mod state;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{
    AbortCheck, Inputs, KvLayer, KvSpec, Pipeline, ProgramId, SessionMemory, SessionSpec, Stage,
};
use crate::batch::Batch;
use crate::embeddings::Embeddings;
use crate::kv::{Cells, MAX_SEQ, Pos, SeqId};
use crate::log::{Log, info};
use crate::model::arch::{GraphSpec, Wanted};
use crate::model::{Compute, Hparams, Model, Part, Pooling};
use crate::quant::GgmlType;
use crate::{Error, Result};

/// The types that keys and values can be cached as.
pub const KV_TYPES: [GgmlType; 4] = [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q8_0];

/// How to make a context.
#[derive(Clone)]
pub struct ContextParams {
    /// Cells of the KV cache, shared by all sequences; 0 takes the model's training context.
    pub n_ctx: usize,
    /// Most tokens of one [`Context::decode`].
    pub n_batch: usize,
    /// Most tokens that are computed at a time.
    pub n_ubatch: usize,
    /// Sequences, 1 to [`MAX_SEQ`].
    pub n_seq_max: usize,
    /// Threads that compute a single token; 0 takes the processors available to the process.
    pub n_threads: usize,
    /// Threads that compute a micro-batch; 0 takes the processors available to the process.
    pub n_threads_batch: usize,
    /// Type of the cached keys: one of [`KV_TYPES`]. Q8_0 needs heads of a multiple of 32 elements.
    pub type_k: GgmlType,
    /// Type of the cached values, likewise.
    pub type_v: GgmlType,
    /// Whether embeddings are wanted too; see [`Context::set_embeddings`].
    pub embeddings: bool,
    /// How embeddings are pooled; `None` takes what the model's file says, which for most is not
    /// at all.
    pub pooling: Option<Pooling>,
    /// Where log lines go.
    pub log: Log,
}

impl Default for ContextParams {
    fn default() -> Self {
        ContextParams {
            n_ctx: 0,
            n_batch: 2048,
            n_ubatch: 512,
            n_seq_max: 1,
            n_threads: 0,
            n_threads_batch: 0,
            type_k: GgmlType::F16,
            type_v: GgmlType::F16,
            embeddings: false,
            pooling: None,
            log: Log::default(),
        }
    }
}

/// Work done since the context was made or [`Context::reset_perf`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perf {
    /// Tokens decoded in batches of more than one.
    pub n_prompt: usize,
    /// Time that took.
    pub prompt: Duration,
    /// Tokens decoded one at a time.
    pub n_eval: usize,
    /// Time that took.
    pub eval: Duration,
}

/// Asked now and then during a decode, on the thread that called it; `true` stops the decode.
pub type AbortFn = Box<dyn FnMut() -> bool + Send>;

/// The state of one or more sequences over a model. Used by one thread at a time.
pub struct Context {
    model: Arc<Model>,
    params: ContextParams,
    cells: Cells,
    session: Pipeline,
    inputs: Inputs,
    programs: HashMap<(usize, usize, Wanted), ProgramId>,
    shift_program: Option<ProgramId>,
    /// Logits of the last decode, `[n_outputs][n_vocab]`.
    logits: Vec<f32>,
    /// Whether the logits still lie where the session made them: those of a batch whose last micro-batch
    /// alone has some.
    logits_in_session: bool,
    /// For each token of the last batch, its row of logits.
    rows: Vec<Option<u32>>,
    n_outputs: usize,
    embeddings: Embeddings,
    /// Cells taken by the decode under way.
    placed: Vec<usize>,
    /// Per sequence, the position its next token must have; [`UNKNOWN`] until looked up.
    next_pos: Vec<Pos>,
    abort: Option<AbortFn>,
    perf: Perf,
}

/// In `next_pos`: not looked up in this decode.
const UNKNOWN: Pos = Pos::MIN;

fn kv_layers(hp: &Hparams) -> Vec<KvLayer> {
    let layer =
        |&n_head_kv: &usize| KvLayer { n_head_kv, head_dim_k: hp.head_dim_k, head_dim_v: hp.head_dim_v };
    hp.n_head_kv.iter().map(layer).collect()
}

fn spec(
    params: &ContextParams,
    layers: Range<usize>,
    (n_tokens, n_outputs, wanted): (usize, usize, Wanted),
) -> GraphSpec {
    let n_cells = params.n_ctx.next_multiple_of(64);
    let (n_ctx, type_k, type_v) = (params.n_ctx, params.type_k, params.type_v);
    GraphSpec { layers, n_tokens, n_outputs, wanted, n_ctx, n_cells, type_k, type_v }
}

/// A session on each device that computes a part of the model.
fn pipeline(compute: &Compute, params: &ContextParams) -> Result<Pipeline> {
    let layers = kv_layers(&compute.hparams);
    let n_cells = params.n_ctx.next_multiple_of(64);
    let stage = |part: &Part| {
        let own = part.layers.start..part.layers.end.min(layers.len());
        let layers = layers[own].to_vec();
        let kv = KvSpec { layers, n_cells, type_k: params.type_k, type_v: params.type_v };
        let (n_threads, n_threads_batch) = (params.n_threads, params.n_threads_batch);
        let spec = SessionSpec { kv, n_threads, n_threads_batch };
        let session = part.backend.session(&part.weights, &spec).map_err(|e| part.advise(e))?;
        Ok(Stage { session, layers: part.layers.clone() })
    };
    Ok(Pipeline::new(compute.parts.iter().map(stage).collect::<Result<_>>()?))
}

impl Context {
    /// A context over `model`. The KV cache is allocated here, once.
    pub fn new(model: Arc<Model>, params: ContextParams) -> Result<Context> {
        let compute = model.compute()?;
        let params = checked(params, compute)?;
        let hp = &compute.hparams;
        let pooling = params.pooling.unwrap_or(Pooling::None);
        let n_cells = params.n_ctx.next_multiple_of(64);
        let session = pipeline(compute, &params)?;
        let n = params.n_ubatch;
        let inputs = Inputs {
            tokens: vec![0; n],
            positions: vec![0; n],
            cells: vec![0; n],
            mask: vec![0; n * n_cells / 64],
            output_ids: vec![0; n],
            cell_shift: vec![0; n_cells],
            hidden: vec![0.0; if compute.parts.len() > 1 { n * hp.n_embd } else { 0 }],
            ..Inputs::default()
        };
        let mib = session.memory().kv as f64 / (1 << 20) as f64;
        info!(params.log, "KV cache: {} cells, {mib:.1} MiB", params.n_ctx);
        Ok(Context {
            cells: Cells::new(params.n_ctx, params.n_seq_max),
            session,
            inputs,
            programs: HashMap::new(),
            shift_program: None,
            logits: Vec::new(),
            logits_in_session: false,
            rows: Vec::with_capacity(params.n_batch),
            n_outputs: 0,
            embeddings: Embeddings::new(hp.n_embd, params.n_seq_max, pooling),
            placed: Vec::with_capacity(params.n_batch),
            next_pos: vec![UNKNOWN; params.n_seq_max],
            abort: None,
            perf: Perf::default(),
            model,
            params,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The parameters in force, with defaults resolved.
    pub fn params(&self) -> &ContextParams {
        &self.params
    }

    /// What is in the KV cache.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// What the session has allocated.
    pub fn memory(&self) -> SessionMemory {
        self.session.memory()
    }

    /// Work done so far.
    pub fn perf(&self) -> Perf {
        self.perf
    }

    /// Sets the work done to zero.
    pub fn reset_perf(&mut self) {
        self.perf = Perf::default();
    }

    /// Sets or removes the function that can stop a decode.
    pub fn set_abort(&mut self, abort: Option<AbortFn>) {
        self.abort = abort;
    }

    /// Changes the number of threads; 0 takes the processors available to the process.
    pub fn set_threads(&mut self, n_threads: usize, n_threads_batch: usize) -> Result<()> {
        (self.params.n_threads, self.params.n_threads_batch) = (threads(n_threads), threads(n_threads_batch));
        self.session.set_threads(self.params.n_threads, self.params.n_threads_batch)
    }

    /// Empties the KV cache.
    pub fn clear(&mut self) {
        self.cells.clear();
    }

    /// See [`Cells::seq_rm`].
    pub fn seq_rm(&mut self, seq: SeqId, range: Range<Pos>) -> Result<()> {
        self.cells.seq_rm(seq, range)
    }

    /// See [`Cells::seq_cp`].
    pub fn seq_cp(&mut self, src: SeqId, dst: SeqId, range: Range<Pos>) -> Result<()> {
        self.cells.seq_cp(src, dst, range)
    }

    /// See [`Cells::seq_keep`].
    pub fn seq_keep(&mut self, seq: SeqId) -> Result<()> {
        self.cells.seq_keep(seq)
    }

    /// See [`Cells::seq_add`].
    pub fn seq_add(&mut self, seq: SeqId, range: Range<Pos>, delta: Pos) -> Result<()> {
        self.cells.seq_add(seq, range, delta)
    }

    /// See [`Cells::seq_div`].
    pub fn seq_div(&mut self, seq: SeqId, range: Range<Pos>, divisor: Pos) -> Result<()> {
        self.cells.seq_div(seq, range, divisor)
    }

    /// Runs the tokens of `batch` through the model, in micro-batches, and keeps the wanted logits.
    ///
    /// The tokens of a sequence must have consecutive positions that go on where the sequence ends
    /// in the cache. After an error the cache is as it was before the call.
    pub fn decode(&mut self, batch: &Batch) -> Result<()> {
        let start = Instant::now();
        self.forget_outputs();
        self.check(batch)?;
        if batch.len() > self.cells.n_free() {
            return Err(Error::KvFull(format!(
                "the KV cache is full: {} of {} cells are in use and the batch has {} tokens; remove tokens \
                 (seq_rm), or make the context larger (n_ctx)",
                self.cells.n_used(),
                self.cells.len(),
                batch.len()
            )));
        }
        self.reserve_outputs(batch)?;
        self.placed.clear();
        if let Err(e) = self.run_batch(batch) {
            for &cell in &self.placed {
                self.cells.unplace(cell);
            }
            self.forget_outputs();
            return Err(e);
        }
        self.embeddings.finish();
        let (n, time) = match batch.len() {
            1 => (&mut self.perf.n_eval, &mut self.perf.eval),
            _ => (&mut self.perf.n_prompt, &mut self.perf.prompt),
        };
        *n += batch.len();
        *time += start.elapsed();
        Ok(())
    }

    /// The logits of token `i` of the last batch; negative counts from the last wanted row.
    pub fn logits(&self, i: i32) -> Result<&[f32]> {
        let n_vocab = self.n_vocab();
        let row = self.row(i).and_then(|r| self.all_logits().chunks_exact(n_vocab).nth(r));
        row.ok_or_else(|| self.no_output("logits", i))
    }

    /// The logits of all wanted tokens of the last batch, `[n_outputs][n_vocab]`. There are none
    /// where embeddings are pooled.
    pub fn all_logits(&self) -> &[f32] {
        let n = if self.wanted().logits { self.n_outputs } else { 0 };
        let logits = if self.logits_in_session { self.session.output(0) } else { &self.logits };
        &logits[..n * self.n_vocab()]
    }

    /// Turns embeddings on or off for the decodes to come.
    ///
    /// Without pooling, every token whose logits are wanted has an embedding too. With pooling
    /// every token of a batch counts, there is one embedding per sequence and batch, and logits are
    /// not computed.
    pub fn set_embeddings(&mut self, on: bool) {
        self.forget_outputs();
        self.params.embeddings = on;
    }

    /// The embedding of token `i` of the last batch, `[n_embd]`; negative counts from the last
    /// wanted row. Only without pooling.
    pub fn embedding(&self, i: i32) -> Result<&[f32]> {
        self.row(i).and_then(|r| self.embeddings.row(r)).ok_or_else(|| self.no_output("embedding", i))
    }

    /// The embeddings of all wanted tokens of the last batch, `[n_outputs][n_embd]`. There are none
    /// where they are pooled.
    pub fn all_embeddings(&self) -> &[f32] {
        self.embeddings.rows()
    }

    /// The pooled embedding of the tokens that the last batch had of `seq`, `[n_embd]`.
    pub fn seq_embedding(&self, seq: SeqId) -> Result<&[f32]> {
        self.embeddings.pooled(seq)
    }

    fn wanted(&self) -> Wanted {
        let embeddings = self.params.embeddings;
        Wanted { logits: !embeddings || !self.pools(), embeddings }
    }

    fn pools(&self) -> bool {
        self.params.pooling != Some(Pooling::None)
    }

    fn row(&self, i: i32) -> Option<usize> {
        if i < 0 {
            self.n_outputs.checked_sub(i.unsigned_abs() as usize)
        } else {
            self.rows.get(i as usize).copied().flatten().map(|r| r as usize)
        }
    }

    fn no_output(&self, what: &str, i: i32) -> Error {
        let (n, wanted) = (self.rows.len(), self.n_outputs);
        let why = match (self.params.embeddings, self.pools()) {
            (true, true) => ", and this context pools embeddings",
            (false, _) if what == "embedding" => ", and embeddings are off",
            _ => "",
        };
        Error::InvalidArgument(format!(
            "no {what} for token {i}: the last decode had {n} tokens, {wanted} of them with output wanted{why}"
        ))
    }

    fn forget_outputs(&mut self) {
        self.n_outputs = 0;
        self.logits_in_session = false;
        self.rows.clear();
        self.embeddings.clear();
    }

    /// Rows of the embedding table: the length of a row of logits.
    pub fn n_vocab(&self) -> usize {
        self.model.hparams().map_or(0, |hp| hp.n_vocab)
    }

    fn check(&mut self, batch: &Batch) -> Result<()> {
        let invalid = |m: String| Err(Error::InvalidArgument(m));
        if batch.is_empty() {
            return invalid("the batch is empty".into());
        }
        if batch.len() > self.params.n_batch {
            return invalid(format!(
                "the batch has {} tokens; the context takes {} at a time (n_batch)",
                batch.len(),
                self.params.n_batch
            ));
        }
        self.next_pos.fill(UNKNOWN);
        for i in 0..batch.len() {
            let t = batch.get(i);
            if t.token < 0 || t.token as usize >= self.n_vocab() {
                let n_vocab = self.n_vocab();
                return invalid(format!(
                    "token {i} of the batch is {}, outside the vocabulary of {n_vocab}",
                    t.token
                ));
            }
            for &seq in t.seqs {
                self.cells.check_seq(seq)?;
                let next = &mut self.next_pos[seq as usize];
                if *next == UNKNOWN {
                    *next = match self.cells.seq_range(seq)? {
                        Some((_, max)) => max.saturating_add(1),
                        None => t.pos,
                    };
                }
                if t.pos != *next || t.pos < 0 || t.pos == Pos::MAX {
                    return invalid(format!(
                        "token {i} of the batch has position {} in sequence {seq}; expected {}",
                        t.pos,
                        (*next).max(0)
                    ));
                }
                *next += 1;
            }
        }
        Ok(())
    }

    /// Makes room for the outputs of `batch`, and numbers their rows.
    fn reserve_outputs(&mut self, batch: &Batch) -> Result<()> {
        let mut n = 0;
        for i in 0..batch.len() {
            let wanted = self.is_output(batch, i);
            self.rows.push(wanted.then_some(n));
            n += u32::from(wanted);
        }
        let wanted = self.wanted();
        if wanted.embeddings {
            self.embeddings.begin(n as usize)?;
        }
        // Those of the last micro-batch stay where they are if there are no others.
        let last = (batch.len() - 1) / self.params.n_ubatch * self.params.n_ubatch;
        self.logits_in_session = wanted.logits && (0..last).all(|i| !self.is_output(batch, i));
        let copied = wanted.logits && !self.logits_in_session;
        let len = if copied { n as usize * self.n_vocab() } else { 0 };
        if len > self.logits.len() {
            self.logits
                .try_reserve_exact(len - self.logits.len())
                .map_err(|_| Error::OutOfMemory(format!("no memory for {n} rows of logits")))?;
            self.logits.resize(len, 0.0);
        }
        Ok(())
    }

    /// Whether anything is wanted of token `i`: where embeddings are pooled, something is of all.
    fn is_output(&self, batch: &Batch, i: usize) -> bool {
        batch.get(i).logits || (self.params.embeddings && self.pools())
    }

    fn run_batch(&mut self, batch: &Batch) -> Result<()> {
        if self.cells.has_shifts() {
            self.shift_keys()?;
        }
        let n_ubatch = self.params.n_ubatch;
        for first in (0..batch.len()).step_by(n_ubatch) {
            self.run_ubatch(batch, first..(first + n_ubatch).min(batch.len()))?;
        }
        Ok(())
    }

    fn run_ubatch(&mut self, batch: &Batch, range: Range<usize>) -> Result<()> {
        let n_tokens = range.len();
        let mut n_outputs = 0;
        for (row, i) in range.clone().enumerate() {
            let t = batch.get(i);
            let cell =
                self.cells.place(t.pos, t.seqs).ok_or_else(|| Error::Internal("no free cell".into()))?;
            self.placed.push(cell);
            let is_output = self.is_output(batch, i);
            let inputs = &mut self.inputs;
            inputs.tokens[row] = t.token;
            inputs.positions[row] = t.pos;
            inputs.cells[row] = cell as i32;
            if is_output {
                inputs.output_ids[n_outputs] = row as i32;
                n_outputs += 1;
            }
        }
        let n_kv = self.cells.n_kv();
        let words = self.params.n_ctx.div_ceil(64);
        let inputs = &mut self.inputs;
        for (row, i) in range.clone().enumerate() {
            let t = batch.get(i);
            self.cells.mask_row(t.seqs[0], t.pos, n_kv, &mut inputs.mask[row * words..(row + 1) * words]);
        }
        (inputs.n_tokens, inputs.n_outputs, inputs.n_kv) = (n_tokens, n_outputs, n_kv);

        let program = self.program(n_tokens, n_outputs)?;
        let abort = self.abort.as_mut().map(|a| &mut **a as AbortCheck<'_>);
        crate::fault::point("decode");
        self.session.run(program, &mut self.inputs, abort)?;

        if n_outputs > 0 {
            self.take_outputs(batch, range.start, n_outputs);
        }
        Ok(())
    }

    /// Copies what was wanted of the micro-batch that began at token `first`.
    fn take_outputs(&mut self, batch: &Batch, first: usize, n_outputs: usize) {
        let wanted = self.wanted();
        let mut outputs = (0..).map(|i| self.session.output(i));
        if wanted.logits
            && let Some(logits) = outputs.next()
            && !self.logits_in_session
        {
            let n_vocab = self.model.hparams().map_or(0, |hp| hp.n_vocab);
            let len = n_outputs * n_vocab;
            self.logits[self.n_outputs * n_vocab..][..len].copy_from_slice(&logits[..len]);
        }
        if wanted.embeddings
            && let Some(embeddings) = outputs.next()
        {
            let rows = embeddings.chunks_exact(embeddings.len() / n_outputs);
            for (row, &id) in rows.zip(&self.inputs.output_ids) {
                self.embeddings.push(row, batch.get(first + id as usize).seqs);
            }
        }
        self.n_outputs += n_outputs;
    }

    /// The compiled graph for so many tokens and outputs. Capacities are powers of two, so that a
    /// context compiles a handful of graphs in its life; the counts of a run are data.
    fn program(&mut self, n_tokens: usize, n_outputs: usize) -> Result<ProgramId> {
        let round = |n: usize| if n == 0 { 0 } else { n.next_power_of_two().min(self.params.n_ubatch) };
        let key = (round(n_tokens), round(n_outputs), self.wanted());
        if let Some(&program) = self.programs.get(&key) {
            return Ok(program);
        }
        let (compute, file, params) = (self.model.compute()?, self.model.file(), &self.params);
        let program = self
            .session
            .compile(|layers| compute.arch.graph(&compute.hparams, file, &spec(params, layers, key)))?;
        self.programs.insert(key, program);
        Ok(program)
    }

    /// Takes the logits out of the session, whose next run ends them.
    fn keep_logits(&mut self) {
        if std::mem::take(&mut self.logits_in_session) {
            let logits = self.session.output(0);
            if logits.len() > self.logits.len() {
                self.logits.resize(logits.len(), 0.0);
            }
            self.logits[..logits.len()].copy_from_slice(logits);
        }
    }

    /// Rotates the cached keys whose positions have changed.
    fn shift_keys(&mut self) -> Result<()> {
        let program = match self.shift_program {
            Some(p) => p,
            None => {
                let (compute, file, params) = (self.model.compute()?, self.model.file(), &self.params);
                let key = (1, 0, self.wanted());
                let program = self.session.compile(|layers| {
                    compute.arch.shift_graph(&compute.hparams, file, &spec(params, layers, key))
                })?;
                *self.shift_program.insert(program)
            }
        };
        let n_ctx = self.params.n_ctx;
        self.cells.take_shifts(&mut self.inputs.cell_shift[..n_ctx]);
        (self.inputs.n_tokens, self.inputs.n_outputs) = (0, 0);
        self.inputs.n_kv = self.cells.n_kv();
        // Not abortable: half-moved keys could not be put right.
        self.session.run(program, &mut self.inputs, None)
    }
}

fn threads(n: usize) -> usize {
    if n > 0 { n } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn checked(mut p: ContextParams, compute: &Compute) -> Result<ContextParams> {
    let invalid = |m: String| Err(Error::InvalidArgument(m));
    if p.n_ctx == 0 {
        p.n_ctx = compute.hparams.n_ctx_train;
    }
    if p.n_ctx > 1 << 26 {
        return invalid(format!("n_ctx is {}; at most {} cells are possible", p.n_ctx, 1 << 26));
    }
    if p.n_batch == 0 || p.n_ubatch == 0 || p.n_batch > 1 << 20 {
        return invalid(format!(
            "n_batch is {} and n_ubatch {}; expected 1 to {}",
            p.n_batch,
            p.n_ubatch,
            1 << 20
        ));
    }
    p.n_ubatch = p.n_ubatch.min(p.n_batch);
    if p.n_seq_max == 0 || p.n_seq_max > MAX_SEQ {
        return invalid(format!("n_seq_max is {}; expected 1 to {MAX_SEQ}", p.n_seq_max));
    }
    let hp = &compute.hparams;
    for (name, ty, dim) in [("type_k", p.type_k, hp.head_dim_k), ("type_v", p.type_v, hp.head_dim_v)] {
        if !KV_TYPES.contains(&ty) {
            let names = KV_TYPES.map(GgmlType::name).join(", ");
            return Err(Error::Unsupported(format!("{name} is {}; supported are {names}", ty.name())));
        }
        if !dim.is_multiple_of(ty.block_len()) {
            return Err(Error::Unsupported(format!(
                "{name} is {}, whose blocks of {} elements do not divide this model's heads of {dim}; take f16",
                ty.name(),
                ty.block_len()
            )));
        }
    }
    if p.pooling.is_none() {
        p.pooling = Some(compute.hparams.pooling);
    }
    if p.n_threads > 512 || p.n_threads_batch > 512 {
        return invalid("more than 512 threads".into());
    }
    (p.n_threads, p.n_threads_batch) = (threads(p.n_threads), threads(p.n_threads_batch));
    Ok(p)
}
