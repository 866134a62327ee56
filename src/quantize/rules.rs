//! Which type a tensor gets: the rules of llama.cpp's mixtures, tensor by tensor in their order.

use super::{Mixture, QuantizeParams};
use crate::gguf::{File, TensorInfo, Value};
use crate::log::{Log, warning};
use crate::quant::GgmlType::{self, *};
use crate::{Error, Result};

/// The number of the layer in a name `blk.N.`, -1 for none.
pub(super) fn layer(name: &str) -> i64 {
    let Some(rest) = name.strip_prefix("blk.") else { return -1 };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(-1)
}

pub(super) fn is_token_embd(name: &str) -> bool {
    matches!(name, "token_embd.weight" | "per_layer_token_embd.weight")
}

/// What a tensor is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Output,
    TokenEmbd,
    /// Values, or queries, keys and values in one, or what both are made of.
    AttnV,
    AttnK,
    AttnQ,
    AttnOutput,
    FfnUp,
    FfnGate,
    FfnDown,
    Other,
}

fn role(name: &str) -> Role {
    let has = |part| name.contains(part);
    match () {
        () if name == "output.weight" => Role::Output,
        () if is_token_embd(name) => Role::TokenEmbd,
        () if has("attn_qkv.weight") || has("attn_kv_b.weight") || has("attn_v.weight") => Role::AttnV,
        () if has("attn_k.weight") => Role::AttnK,
        () if has("attn_q.weight") => Role::AttnQ,
        () if has("attn_output.weight") => Role::AttnOutput,
        () if has("ffn_up") => Role::FfnUp,
        () if has("ffn_gate") => Role::FfnGate,
        () if has("ffn_down") => Role::FfnDown,
        () => Role::Other,
    }
}

/// Parts of the names of matrices that are never quantised: small, or too sensitive.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
];

/// Whether a tensor is one of those that get another type.
fn is_quantized(tensor: &TensorInfo<'_>, leave_output: bool) -> bool {
    let name = tensor.name;
    let n_dims = tensor.dims.iter().rposition(|&n| n > 1).map_or(1, |i| i + 1);
    n_dims >= 2
        && name.ends_with("weight")
        && !(leave_output && name == "output.weight")
        && !matches!(name, "position_embd.weight" | "token_types.weight")
        && !KEPT.iter().any(|part| name.contains(part))
}

/// Whether a type needs importance data to be of any use in this tensor.
pub(super) fn requires_importance(name: &str, ty: GgmlType, mixture: Mixture) -> bool {
    if ty.needs_importance() {
        return true;
    }
    if is_token_embd(name) || name == "output.weight" {
        return false;
    }
    match ty {
        IQ3_XXS | IQ2_S | IQ1_M => true,
        Q2_K => mixture == Mixture::Q2_K_S,
        _ => false,
    }
}

/// Layers at the ends, and every third between.
fn more_bits(layer: usize, n: usize) -> bool {
    layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2
}

/// The hyperparameters that count.
struct Shape<'a> {
    arch: &'a str,
    n_layer: usize,
    n_expert: u32,
    n_gqa: u32,
    /// A model of 70B: eight heads share keys and values, which are worth more bits.
    is_70b: bool,
}

impl<'a> Shape<'a> {
    fn of(file: &'a File) -> Result<Self> {
        let arch = file.need_str("general.architecture")?;
        let number = |key: &str| file.u32(&format!("{arch}.{key}"));
        // A number, or one for each layer: the first counts.
        let heads = |key: &str| match file.get(&format!("{arch}.{key}")) {
            Some(Value::Array(a)) => Ok(a.u32s()?.next()),
            _ => number(key),
        };
        let n_layer = number("block_count")?.unwrap_or(0) as usize;
        let n_head = heads("attention.head_count")?.unwrap_or(0);
        let n_head_kv = heads("attention.head_count_kv")?.unwrap_or(n_head);
        Ok(Shape {
            arch,
            n_layer,
            n_expert: number("expert_count")?.unwrap_or(0),
            n_gqa: n_head.checked_div(n_head_kv).unwrap_or(0),
            is_70b: match arch {
                "llama" => n_layer == 80 && n_head != n_head_kv,
                "qwen2" | "deci" | "olmo" => n_layer == 80,
                "jais2" => n_layer == 68,
                _ => false,
            },
        })
    }
}

/// The rules and what they count. To be asked about every tensor, in order.
pub(super) struct Rules<'a> {
    params: &'a QuantizeParams<'a>,
    log: &'a Log,
    shape: Shape<'a>,
    /// The embeddings are the output matrix too.
    tied: bool,
    n_attn_v: usize,
    attn_v: usize,
    ffn_down: usize,
    ffn_gate: usize,
    ffn_up: usize,
    n_fallback: usize,
}

impl<'a> Rules<'a> {
    pub(super) fn new(
        file: &'a File,
        params: &'a QuantizeParams<'a>,
        tensors: &[TensorInfo<'_>],
    ) -> Result<Self> {
        let count = |wanted| tensors.iter().filter(|t| role(t.name) == wanted).count();
        for ty in [params.output_tensor_type, params.token_embedding_type].into_iter().flatten() {
            if !ty.has_codec() {
                return Err(Error::Unsupported(format!("weights cannot be quantised to {}", ty.name())));
            }
        }
        Ok(Rules {
            params,
            log: &params.log,
            shape: Shape::of(file)?,
            tied: count(Role::Output) == 0,
            n_attn_v: count(Role::AttnV),
            attn_v: 0,
            ffn_down: 0,
            ffn_gate: 0,
            ffn_up: 0,
            n_fallback: 0,
        })
    }

    /// How many tensors could not have the type that was meant for them.
    pub(super) fn n_fallback(&self) -> usize {
        self.n_fallback
    }

    pub(super) fn choose(&mut self, tensor: &TensorInfo<'_>) -> Result<GgmlType> {
        if !is_quantized(tensor, self.params.leave_output_tensor) {
            return Ok(tensor.ty);
        }
        let role = role(tensor.name);
        let forced = match role {
            Role::TokenEmbd => self.params.token_embedding_type,
            Role::Output => self.params.output_tensor_type,
            _ => None,
        };
        if let Some(ty) = forced {
            // A type that is asked for by name is given or refused, not replaced.
            ty.row_bytes(tensor.row_len())
                .map_err(|e| Error::InvalidArgument(format!("tensor {:?}: {e}", tensor.name)))?;
            return Ok(ty);
        }
        let main = self.params.mixture.main_type();
        if main.block_len() == 1 {
            return Ok(main);
        }
        let ty = if self.params.pure { main } else { self.mixed(tensor, role, main)? };
        Ok(self.fitting(tensor, ty))
    }

    /// `ty`, or the type that takes its place where rows are no whole number of its blocks.
    fn fitting(&mut self, tensor: &TensorInfo<'_>, ty: GgmlType) -> GgmlType {
        let fits = |ty: GgmlType| tensor.row_len().is_multiple_of(ty.block_len());
        if fits(ty) {
            return ty;
        }
        self.n_fallback += 1;
        let instead = match ty {
            IQ1_S | IQ1_M | IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | IQ4_XS => IQ4_NL,
            Q2_0 | Q2_K | Q3_K | TQ1_0 | TQ2_0 => Q4_0,
            Q4_K => Q5_0,
            Q5_K => Q5_1,
            Q6_K => Q8_0,
            _ => F16,
        };
        let instead = if fits(instead) { instead } else { F16 };
        warning!(
            self.log,
            "tensor {:?}: rows of {} are no whole number of {} blocks, it becomes {}",
            tensor.name,
            tensor.row_len(),
            ty.name(),
            instead.name()
        );
        instead
    }

    /// The layer of a tensor of the feed-forward network: its own number if experts are spread
    /// over several tensors, else how many came before.
    fn ffn_layer(&self, tensor: &TensorInfo<'_>, before: usize) -> Result<usize> {
        if self.shape.n_expert <= 1 {
            return Ok(before);
        }
        let layer = usize::try_from(layer(tensor.name)).ok().filter(|&l| l < self.shape.n_layer);
        layer.ok_or_else(|| {
            Error::Format(format!("tensor {:?} is of none of {} layers", tensor.name, self.shape.n_layer))
        })
    }

    fn mixed(&mut self, tensor: &TensorInfo<'_>, role: Role, main: GgmlType) -> Result<GgmlType> {
        use Mixture as M;
        let m = self.params.mixture;
        if role == Role::Output || (self.tied && role == Role::TokenEmbd) {
            return Ok(self.output(tensor, main));
        }
        if m == M::MXFP4_MOE {
            return Ok(if tensor.dims[2] > 1 { MXFP4 } else { Q8_0 });
        }
        if role == Role::TokenEmbd {
            return Ok(match m {
                M::IQ2_XXS | M::IQ2_XS | M::IQ1_S | M::IQ1_M => Q2_K,
                M::IQ2_S | M::IQ2_M | M::IQ3_XXS => IQ3_S,
                M::TQ1_0 | M::TQ2_0 | M::Q2_0 => Q4_K,
                _ => main,
            });
        }
        match m {
            M::IQ2_XXS | M::IQ2_XS | M::IQ2_S | M::IQ2_M | M::IQ1_S | M::IQ1_M => {
                Ok(self.two_bits(role, main))
            }
            _ => match role {
                Role::AttnV => Ok(self.attn_v(main)),
                Role::AttnK if self.shape.n_expert == 8 => Ok(Q8_0),
                Role::AttnK | Role::AttnQ => Ok(match m {
                    M::IQ3_XS => IQ3_XXS,
                    M::IQ3_XXS => IQ2_S,
                    _ => main,
                }),
                Role::AttnOutput => Ok(self.attn_output(main)),
                Role::FfnDown => {
                    let layer = self.ffn_layer(tensor, self.ffn_down)?;
                    self.ffn_down += 1;
                    Ok(self.ffn_down(layer, main))
                }
                Role::FfnGate | Role::FfnUp => {
                    let before = if role == Role::FfnGate { &mut self.ffn_gate } else { &mut self.ffn_up };
                    let count = *before;
                    *before += 1;
                    let (layer, n) = (self.ffn_layer(tensor, count)?, self.shape.n_layer);
                    let inner = layer >= n / 8 && layer < 7 * n / 8;
                    Ok(if m == M::IQ3_XS && inner { IQ3_XXS } else { main })
                }
                Role::Output | Role::TokenEmbd | Role::Other => Ok(main),
            },
        }
    }

    fn output(&self, tensor: &TensorInfo<'_>, main: GgmlType) -> GgmlType {
        use Mixture as M;
        if let Some(ty) = self.params.output_tensor_type {
            return ty;
        }
        let fits = tensor.row_len().is_multiple_of(main.block_len());
        match self.params.mixture {
            M::MXFP4_MOE => Q8_0,
            _ if self.shape.arch == "falcon" || !fits => Q8_0,
            M::IQ2_XXS | M::IQ2_XS | M::IQ3_XXS | M::IQ1_S | M::IQ2_S | M::IQ2_M | M::IQ1_M => Q5_K,
            _ if main == Q8_0 => Q8_0,
            _ => Q6_K,
        }
    }

    /// The mixtures of about two bits and less.
    fn two_bits(&mut self, role: Role, main: GgmlType) -> GgmlType {
        use Mixture as M;
        let m = self.params.mixture;
        let larger = matches!(m, M::IQ2_S | M::IQ2_M);
        match role {
            Role::AttnV => {
                self.attn_v += 1;
                match () {
                    () if self.shape.n_gqa >= 4 || self.shape.n_expert >= 4 => Q4_K,
                    () if larger => IQ3_S,
                    () => Q2_K,
                }
            }
            Role::AttnK if self.shape.n_expert == 8 => Q4_K,
            Role::FfnDown => {
                self.ffn_down += 1;
                match () {
                    () if self.ffn_down > self.shape.n_layer / 8 => main,
                    () if larger => IQ3_S,
                    () => Q2_K,
                }
            }
            Role::AttnOutput if self.shape.n_expert == 8 => Q5_K,
            Role::AttnOutput => match m {
                M::IQ1_S | M::IQ1_M => IQ2_XXS,
                _ if larger => IQ3_S,
                _ => main,
            },
            _ => main,
        }
    }

    fn attn_v(&mut self, main: GgmlType) -> GgmlType {
        use Mixture as M;
        let (i, shared) = (self.attn_v, self.shape.n_gqa >= 4);
        self.attn_v += 1;
        let ty = match self.params.mixture {
            M::Q2_K if shared => Q4_K,
            M::Q2_K => Q3_K,
            M::Q2_K_S | M::IQ3_XXS | M::IQ3_XS | M::IQ3_S if shared => Q4_K,
            M::IQ3_XXS if self.params.imatrix.is_none() => IQ3_S,
            M::IQ3_M => Q4_K,
            M::Q3_K_M if i < 2 => Q5_K,
            M::Q3_K_M => Q4_K,
            M::Q3_K_L => Q5_K,
            M::IQ4_NL | M::IQ4_XS if shared => Q5_K,
            M::Q4_K_M | M::Q5_K_M if more_bits(i, self.n_attn_v) => Q6_K,
            M::Q4_K_S if i < 4 => Q5_K,
            _ => main,
        };
        match ty {
            // With eight experts these are a small part.
            _ if self.shape.n_expert == 8 => Q8_0,
            Q3_K | Q4_K if self.shape.is_70b => Q5_K,
            ty => ty,
        }
    }

    fn ffn_down(&self, layer: usize, main: GgmlType) -> GgmlType {
        use Mixture as M;
        let n = self.shape.n_layer;
        let falcon = self.shape.arch == "falcon";
        let (more, first) = (more_bits(layer, n), layer < n / 8);
        let plain = self.params.imatrix.is_none();
        match self.params.mixture {
            M::Q2_K => Q3_K,
            M::Q2_K_S if first => Q4_K,
            M::IQ3_XXS if plain => {
                if first {
                    Q4_K
                } else {
                    Q3_K
                }
            }
            M::Q3_K_M if layer < n / 16 => Q5_K,
            M::Q3_K_M if !falcon || more => Q4_K,
            M::Q3_K_M => Q3_K,
            M::IQ3_M if first || (self.shape.n_expert == 8 && more) => Q4_K,
            M::Q3_K_L => {
                if falcon {
                    Q4_K
                } else {
                    Q5_K
                }
            }
            M::Q4_K_M if falcon && layer < n / 16 => Q6_K,
            M::Q4_K_M if falcon && more => Q5_K,
            M::Q4_K_M if falcon => Q4_K,
            M::Q4_K_M | M::Q5_K_M if more => Q6_K,
            M::IQ4_NL | M::IQ4_XS if first && plain => Q5_K,
            M::Q4_K_S if first && !falcon => Q5_K,
            // With importance data the first layers go wrong in these types, without it in those.
            M::Q4_0 if first && !plain => Q4_1,
            M::Q5_0 if first && !plain => Q5_1,
            _ => main,
        }
    }

    fn attn_output(&self, main: GgmlType) -> GgmlType {
        use Mixture as M;
        let m = self.params.mixture;
        if self.shape.arch == "falcon" {
            return if m == M::Q3_K_L { Q4_K } else { main };
        }
        if self.shape.n_expert == 8 {
            return match m {
                M::Q2_K
                | M::IQ3_XS
                | M::IQ3_XXS
                | M::Q3_K_S
                | M::Q3_K_M
                | M::IQ4_NL
                | M::Q4_K_S
                | M::Q4_K_M
                | M::IQ3_S
                | M::IQ3_M
                | M::IQ4_XS => Q5_K,
                _ => main,
            };
        }
        match m {
            M::Q2_K => Q3_K,
            M::IQ3_XXS => IQ3_S,
            M::Q3_K_M | M::IQ3_M => Q4_K,
            M::Q3_K_L => Q5_K,
            _ => main,
        }
    }
}
