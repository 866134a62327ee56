//! What a forward pass is written with: a graph builder that finds weights by their GGUF names
//! and checks their shapes.

use std::ops::Range;

use super::Arch;
use crate::gguf::{File, TensorInfo};
use crate::graph::{
    Builder, Extent, Graph, Groups, Input, KvHalf, RopeParams, RopeStyle, TensorId, WeightId,
};
use crate::model::Hparams;
use crate::quant::GgmlType;
use crate::{Error, Result};

/// What is wanted of a token. The roots of a graph are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// Logits, `[n_outputs][n_vocab]`.
    pub logits: bool,
    /// Embeddings, `[n_outputs][n_embd]`.
    pub embeddings: bool,
}

/// The sizes a graph is built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphSpec {
    /// The layers that the graph computes; see [`Hparams::all_layers`]. Without the first it begins with
    /// the residual stream as [`Input::Hidden`] in place of token ids, and without the head it ends with
    /// the stream as its output.
    pub layers: Range<usize>,
    /// Capacity in tokens.
    pub n_tokens: usize,
    /// Capacity in rows of output; none leaves out all that only outputs need.
    pub n_outputs: usize,
    /// What a row of output is made of.
    pub wanted: Wanted,
    /// Length of the context in tokens.
    pub n_ctx: usize,
    /// Cells of the KV cache, a multiple of 64.
    pub n_cells: usize,
    /// Type of the cached keys.
    pub type_k: GgmlType,
    /// Type of the cached values.
    pub type_v: GgmlType,
}

/// A forward pass in the making.
pub(crate) struct Net<'a> {
    /// The graph so far.
    pub g: Builder,
    /// The shape of the model.
    pub hp: &'a Hparams,
    /// How the architecture rotates.
    pub rope: RopeStyle,
    file: &'a File,
    spec: &'a GraphSpec,
    outputs: Vec<TensorId>,
}

impl<'a> Net<'a> {
    pub(super) fn new(arch: &Arch, hp: &'a Hparams, file: &'a File, spec: &'a GraphSpec) -> Self {
        let g = Builder::new(spec.n_tokens, spec.n_outputs);
        Net { g, hp, rope: arch.rope, file, spec, outputs: Vec::new() }
    }

    pub(super) fn finish(self) -> Graph {
        // The last layer gives nothing but the rows whose outputs are wanted.
        let every_row = self.spec.layers.end < self.hp.n_layer;
        let roots = if self.spec.n_outputs > 0 || every_row { &self.outputs[..] } else { &[] };
        self.g.finish(roots)
    }

    /// The layers to compute, without the head.
    pub fn layers(&self) -> Range<usize> {
        let Range { start, end } = self.spec.layers;
        start..end.min(self.hp.n_layer)
    }

    /// Whether the head is to be computed.
    pub fn has_head(&self) -> bool {
        self.spec.layers.contains(&self.hp.n_layer)
    }

    /// Whether the file has this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// An error unless the file has this tensor.
    pub fn require(&self, name: &str) -> Result<()> {
        self.find(name).map(drop)
    }

    fn find(&self, name: &str) -> Result<TensorInfo<'a>> {
        self.file.tensor(name).ok_or_else(|| Error::Format(format!("the file has no tensor {name}")))
    }

    /// The weight `name`, which must have the shape `want`, trailing ones left out.
    fn weight(&mut self, name: &str, want: &[usize]) -> Result<TensorId> {
        let t = self.find(name)?;
        let (ty, ne) = (t.ty, t.dims.map(|n| n as usize));
        if ne[..want.len()] != *want || ne[want.len()..].iter().any(|&n| n != 1) {
            return Err(Error::Format(format!(
                "tensor {name} has the shape {ne:?}; the metadata asks for {want:?}"
            )));
        }
        let float = matches!(ty, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16);
        let single_row = ne[1] * ne[2] * ne[3] == 1;
        if !ty.is_computable() || (single_row && !float) {
            return Err(Error::Unsupported(format!(
                "tensor {name} is of type {}, which is not supported",
                ty.name()
            )));
        }
        Ok(self.g.weight(WeightId(t.index as u32), ty, ne))
    }

    /// `x` times the matrix `{name}.weight`, plus `{name}.bias` where the file has one.
    pub fn linear(&mut self, name: &str, x: TensorId, n_out: usize) -> Result<TensorId> {
        let n_in = self.g.ne(x)[0];
        let w = self.weight(&format!("{name}.weight"), &[n_in, n_out])?;
        let y = self.g.mat_mul(w, x);
        let bias = format!("{name}.bias");
        if !self.has(&bias) {
            return Ok(y);
        }
        let b = self.weight(&bias, &[n_out])?;
        Ok(self.g.add(y, b))
    }

    /// Rows of `x`, sorted by expert as `groups` says, times their experts' matrices
    /// `{name}.weight`, `[n_in, n_out, n_expert]`.
    pub fn expert_linear(
        &mut self,
        name: &str,
        x: TensorId,
        groups: &Groups,
        n_out: usize,
    ) -> Result<TensorId> {
        let shape = [self.g.ne(x)[0], n_out, groups.n_expert];
        let w = self.weight(&format!("{name}.weight"), &shape)?;
        Ok(self.g.mat_mul_id(w, x, groups))
    }

    /// The root-mean-square norm with the weights `{name}.weight`.
    pub fn norm(&mut self, name: &str, x: TensorId) -> Result<TensorId> {
        let w = self.weight(&format!("{name}.weight"), &[self.g.ne(x)[0]])?;
        let y = self.g.rms_norm(x, self.hp.rms_eps);
        Ok(self.g.mul(y, w))
    }

    /// An input of the run.
    pub fn input(&mut self, input: Input) -> TensorId {
        self.g.input(input, self.spec.n_cells)
    }

    /// What the first layer reads: the embeddings of the tokens, or the stream that was handed on.
    pub fn stream(&mut self) -> Result<TensorId> {
        if self.spec.layers.start == 0 {
            return self.embed();
        }
        let is_head = self.spec.layers.start == self.hp.n_layer;
        let extent = if is_head { Extent::Outputs } else { Extent::Tokens };
        Ok(self.g.hidden(self.hp.n_embd, extent))
    }

    /// The embeddings of the tokens.
    fn embed(&mut self) -> Result<TensorId> {
        let table = self.weight("token_embd.weight", &[self.hp.n_embd, self.hp.n_vocab])?;
        let ids = self.input(Input::Tokens);
        Ok(self.g.get_rows(table, ids))
    }

    /// The rows whose logits are wanted.
    pub fn wanted_rows(&mut self, x: TensorId) -> TensorId {
        // Of one token, that is the row there is.
        if (self.spec.n_tokens, self.spec.n_outputs) == (1, 1) {
            return x;
        }
        let ids = self.input(Input::OutputIds);
        self.g.get_rows(x, ids)
    }

    /// The rotations for the positions (or shifts) in `input`, with the file's frequency factors.
    pub fn rope_table(&mut self, input: Input, params: RopeParams) -> Result<TensorId> {
        let name = match self.hp.longrope {
            true if self.spec.n_ctx > params.n_ctx_orig as usize => "rope_factors_long.weight",
            true => "rope_factors_short.weight",
            false => "rope_freqs.weight",
        };
        let given = self.hp.longrope || self.has(name);
        let factors = if given { Some(self.weight(name, &[params.n_rot / 2])?) } else { None };
        let positions = self.input(input);
        Ok(self.g.rope_table(positions, params, factors))
    }

    /// The cache of one half of layer `il`.
    pub fn kv(&mut self, il: usize, half: KvHalf) -> TensorId {
        let (dim, ty) = match half {
            KvHalf::K => (self.hp.head_dim_k, self.spec.type_k),
            KvHalf::V => (self.hp.head_dim_v, self.spec.type_v),
        };
        // A session has the caches of its own layers only.
        let own = il - self.spec.layers.start;
        self.g.kv(own, half, ty, [dim, self.spec.n_cells, self.hp.n_head_kv[il]])
    }

    /// The cache of one half of layer `il` after `x [dim, n_head_kv, n]` is written to it.
    pub fn cached(&mut self, il: usize, half: KvHalf, x: TensorId) -> TensorId {
        let kv = self.kv(il, half);
        let cells = self.input(Input::Cells);
        self.g.kv_write(kv, x, cells)
    }

    /// What is wanted of a token.
    pub fn wanted(&self) -> Wanted {
        self.spec.wanted
    }

    /// Makes `x` an output of the pass; in the order of [`Wanted`], or the stream that is handed on.
    pub fn output(&mut self, x: TensorId) {
        self.outputs.push(x);
    }
}
