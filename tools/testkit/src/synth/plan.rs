//! Which tensors a model of a shape has, of which type, and how large their numbers are.
//!
//! Standard deviations keep activations near unit variance from layer to layer, so that logits
//! are well conditioned and two correct engines agree closely.

use rocmforge::quant::GgmlType;

use super::shape::Shape;

/// The types of a model's matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// One type for all; where a row is not a whole number of its blocks, Q8_0 or F16.
    Plain(GgmlType),
    /// Q4_K with Q6_K for the head and the embedding, and for `attn_v` and `ffn_down` of the
    /// layers that llama.cpp favours.
    Q4KM,
}

impl Recipe {
    /// The recipes that parity is checked for.
    pub const ALL: &'static [Recipe] = &[
        Recipe::Plain(GgmlType::F32),
        Recipe::Plain(GgmlType::F16),
        Recipe::Plain(GgmlType::BF16),
        Recipe::Plain(GgmlType::Q4_0),
        Recipe::Plain(GgmlType::Q4_1),
        Recipe::Plain(GgmlType::Q5_0),
        Recipe::Plain(GgmlType::Q5_1),
        Recipe::Plain(GgmlType::Q8_0),
        Recipe::Plain(GgmlType::Q2_K),
        Recipe::Plain(GgmlType::Q3_K),
        Recipe::Plain(GgmlType::Q4_K),
        Recipe::Plain(GgmlType::Q5_K),
        Recipe::Plain(GgmlType::Q6_K),
        Recipe::Plain(GgmlType::IQ1_S),
        Recipe::Plain(GgmlType::IQ1_M),
        Recipe::Plain(GgmlType::IQ2_XXS),
        Recipe::Plain(GgmlType::IQ2_XS),
        Recipe::Plain(GgmlType::IQ2_S),
        Recipe::Plain(GgmlType::IQ3_XXS),
        Recipe::Plain(GgmlType::IQ3_S),
        Recipe::Plain(GgmlType::IQ4_NL),
        Recipe::Plain(GgmlType::IQ4_XS),
        Recipe::Plain(GgmlType::MXFP4),
        Recipe::Plain(GgmlType::TQ1_0),
        Recipe::Plain(GgmlType::TQ2_0),
        Recipe::Q4KM,
    ];

    /// As on the command line: `F32`, `Q4_0`, `Q4_K_M`, ..
    pub fn name(self) -> String {
        match self {
            Recipe::Plain(ty) => ty.name().to_uppercase(),
            Recipe::Q4KM => "Q4_K_M".into(),
        }
    }

    /// The recipe called `name`.
    pub fn named(name: &str) -> Option<Recipe> {
        Recipe::ALL.iter().copied().find(|r| r.name().eq_ignore_ascii_case(name))
    }

    /// Whether its main type has blocks of 256.
    pub fn is_k_quant(self) -> bool {
        self.main().block_len() == 256
    }

    /// `general.file_type`: `enum llama_ftype`.
    pub fn file_type(self) -> u32 {
        match self {
            Recipe::Q4KM => 15,
            Recipe::Plain(ty) => match ty {
                GgmlType::F16 => 1,
                GgmlType::Q4_0 => 2,
                GgmlType::Q4_1 => 3,
                GgmlType::Q8_0 => 7,
                GgmlType::Q5_0 => 8,
                GgmlType::Q5_1 => 9,
                GgmlType::Q2_K => 10,
                GgmlType::Q3_K => 11,
                GgmlType::Q4_K => 14,
                GgmlType::Q5_K => 16,
                GgmlType::Q6_K => 18,
                GgmlType::IQ2_XXS => 19,
                GgmlType::IQ2_XS => 20,
                GgmlType::IQ3_XXS => 23,
                GgmlType::IQ1_S => 24,
                GgmlType::IQ4_NL => 25,
                GgmlType::IQ3_S => 26,
                GgmlType::IQ2_S => 28,
                GgmlType::IQ4_XS => 30,
                GgmlType::IQ1_M => 31,
                GgmlType::BF16 => 32,
                GgmlType::TQ1_0 => 36,
                GgmlType::TQ2_0 => 37,
                GgmlType::MXFP4 => 38,
                _ => 0,
            },
        }
    }

    fn main(self) -> GgmlType {
        match self {
            Recipe::Plain(ty) => ty,
            Recipe::Q4KM => GgmlType::Q4_K,
        }
    }

    /// The type of the matrix `what` with rows of `row` elements in layer `layer`, if in one.
    fn pick(self, what: &str, row: usize, layer: Option<usize>, n_layer: usize) -> GgmlType {
        let favoured =
            layer.is_some_and(|i| i < n_layer / 8 || i >= 7 * n_layer / 8 || (i - n_layer / 8) % 3 == 2);
        let ty = match (self, what) {
            (Recipe::Q4KM, "output" | "token_embd") => GgmlType::Q6_K,
            (Recipe::Q4KM, "attn_v" | "ffn_down" | "ffn_down_exps") if favoured => GgmlType::Q6_K,
            _ => self.main(),
        };
        [ty, GgmlType::Q8_0, GgmlType::F16]
            .into_iter()
            .find(|ty| row.is_multiple_of(ty.block_len()))
            .unwrap_or(GgmlType::F32)
    }
}

/// Standard deviation of the logits that choose a token's experts.
const ROUTER_GAIN: f32 = 8.0;

/// The numbers of a tensor.
#[derive(Clone, Debug)]
pub enum Fill {
    /// Normally distributed.
    Normal {
        /// The centre.
        mean: f32,
        /// The standard deviation.
        sd: f32,
    },
    /// Just these.
    Values(Vec<f32>),
}

/// One tensor to be made.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its GGUF name.
    pub name: String,
    /// Row length first.
    pub dims: Vec<u64>,
    /// Its type.
    pub ty: GgmlType,
    /// Its numbers.
    pub fill: Fill,
}

/// Every tensor of a model, in the order of its file.
pub fn plan(s: &Shape, recipe: Recipe) -> Vec<Planned> {
    let mut out = Vec::new();
    let vector = |name: String, n: usize, mean: f32| Planned {
        name,
        dims: vec![n as u64],
        ty: GgmlType::F32,
        fill: Fill::Normal { mean, sd: 0.1 },
    };
    // `gain` is the standard deviation of the product with a row of unit variance.
    let matrix =
        |prefix: &str, what: &str, row: usize, rows: usize, gain: f32, layer: Option<usize>| Planned {
            name: format!("{prefix}{what}.weight"),
            dims: vec![row as u64, rows as u64],
            ty: recipe.pick(what, row, layer, s.n_layer),
            fill: Fill::Normal { mean: 0.0, sd: gain / (row as f32).sqrt() },
        };
    let embedding = if s.tied { 1.0 } else { (s.n_embd as f32).sqrt() };
    out.push(matrix("", "token_embd", s.n_embd, s.n_vocab, embedding, None));
    let values = |name: &str, values: Vec<f32>| Planned {
        name: name.into(),
        dims: vec![values.len() as u64],
        ty: GgmlType::F32,
        fill: Fill::Values(values),
    };
    out.extend(s.rope_freqs().map(|v| values("rope_freqs.weight", v)));
    if let Some([short, long]) = s.rope_factors() {
        out.push(values("rope_factors_short.weight", short));
        out.push(values("rope_factors_long.weight", long));
    }
    out.push(vector("output_norm.weight".into(), s.n_embd, 1.0));
    if !s.tied {
        out.push(matrix("", "output", s.n_embd, s.n_vocab, 1.0, None));
    }
    let (n_q, n_kv) = (s.n_head * s.head_dim, s.n_head_kv * s.head_dim);
    for i in 0..s.n_layer {
        let p = format!("blk.{i}.");
        let layer = Some(i);
        out.push(vector(format!("{p}attn_norm.weight"), s.n_embd, 1.0));
        let parts = [("attn_q", n_q, 1.5), ("attn_k", n_kv, 1.5), ("attn_v", n_kv, 1.0)];
        let parts = if s.fused_qkv { &[("attn_qkv", n_q + 2 * n_kv, 1.2)] } else { &parts[..] };
        for &(what, n, gain) in parts {
            out.push(matrix(&p, what, s.n_embd, n, gain, layer));
        }
        for &(what, n, _) in parts.iter().filter(|_| s.bias) {
            out.push(vector(format!("{p}{what}.bias"), n, 0.0));
        }
        if s.qk_norm {
            out.push(vector(format!("{p}attn_q_norm.weight"), s.head_dim, 1.0));
            out.push(vector(format!("{p}attn_k_norm.weight"), s.head_dim, 1.0));
        }
        out.push(matrix(&p, "attn_output", n_q, s.n_embd, 1.0, layer));
        if s.post_norm {
            out.push(vector(format!("{p}post_attention_norm.weight"), s.n_embd, 1.0));
            out.push(vector(format!("{p}post_ffw_norm.weight"), s.n_embd, 1.0));
        }
        out.push(vector(format!("{p}ffn_norm.weight"), s.n_embd, 1.0));
        if let Some(e) = s.experts {
            // Which experts a token takes is decided by a hair now and then, and by the smallest error
            // the other way. The last one's weight is small where logits lie far apart, so that such a
            // change is no larger than other errors.
            let router = matrix(&p, "ffn_gate_inp", s.n_embd, e.n_expert, ROUTER_GAIN, layer);
            out.push(Planned { ty: GgmlType::F32, ..router });
            for (what, row, rows) in [
                ("ffn_gate_exps", s.n_embd, e.n_ff),
                ("ffn_up_exps", s.n_embd, e.n_ff),
                ("ffn_down_exps", e.n_ff, s.n_embd),
            ] {
                let mut all = matrix(&p, what, row, rows, 1.0, layer);
                all.dims.push(e.n_expert as u64);
                out.push(all);
            }
        } else if s.fused_ffn {
            out.push(matrix(&p, "ffn_up", s.n_embd, 2 * s.n_ff, 1.0, layer));
            out.push(matrix(&p, "ffn_down", s.n_ff, s.n_embd, 1.0, layer));
        } else {
            out.push(matrix(&p, "ffn_gate", s.n_embd, s.n_ff, 1.0, layer));
            out.push(matrix(&p, "ffn_up", s.n_embd, s.n_ff, 1.0, layer));
            out.push(matrix(&p, "ffn_down", s.n_ff, s.n_embd, 1.0, layer));
        }
    }
    out
}
