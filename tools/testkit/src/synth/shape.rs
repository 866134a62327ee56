//! The shapes of synthetic models: what real ones look like, and small ones for every branch of
//! the code that a real one takes.

/// How positions turn into angles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rope {
    /// As they are.
    Plain,
    /// Divided by the factor.
    Linear {
        /// By how much the context is extended.
        factor: f32,
    },
    /// YaRN.
    Yarn {
        /// By how much the context is extended.
        factor: f32,
        /// Context length before.
        n_ctx_orig: u32,
    },
    /// A tensor `rope_freqs.weight` of divisors, as Llama 3.1 models carry.
    Freqs {
        /// Context length before.
        n_ctx_orig: u32,
    },
    /// Tensors `rope_factors_short.weight` and `rope_factors_long.weight` of divisors, for contexts up
    /// to that of before and for longer ones, as Phi 3 models carry.
    Long {
        /// Context length before.
        n_ctx_orig: u32,
        /// Factor on the magnitude of what rotates.
        attn_factor: f32,
    },
}

/// A mixture of experts in place of each feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// Experts of a layer.
    pub n_expert: usize,
    /// Experts that a token goes through.
    pub n_used: usize,
    /// Width of one expert.
    pub n_ff: usize,
}

/// The shape of a model, in the names of its GGUF metadata.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The name on the command line.
    pub name: &'static str,
    /// `general.architecture`.
    pub arch: &'static str,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Context length it says it was trained for.
    pub n_ctx: u32,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Layers.
    pub n_layer: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Width of the feed-forward network.
    pub n_ff: usize,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// Epsilon of the norms.
    pub eps: f32,
    /// Whether the head is the token embedding.
    pub tied: bool,
    /// Whether queries, keys and values have biases.
    pub bias: bool,
    /// How positions turn into angles.
    pub rope: Rope,
    /// How many times longer a head is than the part of it that rotates.
    pub head_per_rot: usize,
    /// Whether each head of queries and keys has a norm.
    pub qk_norm: bool,
    /// Whether attention and the feed-forward network have norms behind them.
    pub post_norm: bool,
    /// Whether queries, keys and values are one matrix.
    pub fused_qkv: bool,
    /// Whether gate and up are one matrix.
    pub fused_ffn: bool,
    /// The experts of each layer.
    pub experts: Option<Experts>,
}

/// 64 wide: rows of 64 and 160, so that no K-quant fits.
const TINY_LLAMA: Shape = Shape {
    name: "tiny-llama",
    arch: "llama",
    n_vocab: 512,
    n_ctx: 512,
    n_embd: 64,
    n_layer: 3,
    n_head: 4,
    n_head_kv: 2,
    head_dim: 16,
    n_ff: 160,
    rope_base: 1e4,
    eps: 1e-5,
    tied: false,
    bias: false,
    rope: Rope::Plain,
    head_per_rot: 1,
    qk_norm: false,
    post_norm: false,
    fused_qkv: false,
    fused_ffn: false,
    experts: None,
};
/// 256 wide: every type fits.
const TINY_LLAMA3: Shape = Shape {
    name: "tiny-llama3",
    n_embd: 256,
    n_layer: 2,
    n_head: 8,
    head_dim: 32,
    n_ff: 512,
    rope_base: 5e5,
    tied: true,
    ..TINY_LLAMA
};
const TINY_QWEN2: Shape = Shape {
    name: "tiny-qwen2",
    arch: "qwen2",
    n_embd: 128,
    head_dim: 32,
    n_ff: 256,
    rope_base: 1e6,
    eps: 1e-6,
    tied: true,
    bias: true,
    ..TINY_LLAMA
};
/// Beyond the context it says it was trained for.
const LONG: Rope = Rope::Long { n_ctx_orig: 128, attn_factor: 1.19 };
/// The two narrow ones again, wide enough for K-quants.
const TINY_LLAMA_256: Shape =
    Shape { name: "tiny-llama-256", n_embd: 256, head_dim: 64, n_ff: 768, ..TINY_LLAMA };
const TINY_QWEN2_256: Shape =
    Shape { name: "tiny-qwen2-256", n_embd: 256, head_dim: 64, n_ff: 512, ..TINY_QWEN2 };

/// Heads wider than the stream divided by their number, as in Qwen3-0.6B.
const TINY_QWEN3: Shape =
    Shape { name: "tiny-qwen3", arch: "qwen3", head_dim: 64, bias: false, qk_norm: true, ..TINY_QWEN2 };
const TINY_CHATGLM: Shape = Shape {
    name: "tiny-chatglm",
    arch: "chatglm",
    rope_base: 1e4,
    tied: false,
    bias: true,
    head_per_rot: 2,
    fused_qkv: true,
    fused_ffn: true,
    ..TINY_LLAMA3
};
const TINY_GLM4: Shape =
    Shape { name: "tiny-glm4", arch: "glm4", fused_qkv: false, post_norm: true, ..TINY_CHATGLM };
/// Few wide experts, as in Mixtral.
const TINY_MIXTRAL: Shape = Shape {
    name: "tiny-mixtral",
    rope_base: 1e6,
    tied: false,
    experts: Some(Experts { n_expert: 8, n_used: 2, n_ff: 512 }),
    ..TINY_LLAMA3
};
/// Many narrow experts.
const TINY_QWEN3MOE: Shape = Shape {
    name: "tiny-qwen3moe",
    arch: "qwen3moe",
    eps: 1e-6,
    qk_norm: true,
    experts: Some(Experts { n_expert: 32, n_used: 4, n_ff: 256 }),
    ..TINY_MIXTRAL
};

/// Every shape that has a name.
pub const SHAPES: &[Shape] = &[
    TINY_LLAMA,
    TINY_LLAMA3,
    TINY_QWEN2,
    TINY_LLAMA_256,
    TINY_QWEN2_256,
    Shape { name: "tiny-llama-mha", n_head_kv: 4, ..TINY_LLAMA },
    Shape { name: "tiny-llama-bias", bias: true, ..TINY_LLAMA },
    Shape { name: "tiny-llama-linear", rope: Rope::Linear { factor: 2.5 }, ..TINY_LLAMA },
    Shape { name: "tiny-llama-yarn", rope: Rope::Yarn { factor: 4.0, n_ctx_orig: 128 }, ..TINY_LLAMA },
    Shape { name: "tiny-llama3-freqs", rope: Rope::Freqs { n_ctx_orig: 128 }, ..TINY_LLAMA3 },
    Shape { name: "tiny-qwen2-gqa7", n_embd: 224, n_head: 7, n_head_kv: 1, ..TINY_QWEN2 },
    Shape { name: "tiny-qwen2-untied", tied: false, ..TINY_QWEN2 },
    Shape { name: "tiny-qwen2-yarn", rope: Rope::Yarn { factor: 4.0, n_ctx_orig: 128 }, ..TINY_QWEN2 },
    Shape { name: "tiny-llama-longrope-long", rope: LONG, ..TINY_LLAMA3 },
    Shape {
        name: "tiny-llama-longrope-short",
        rope: Rope::Long { n_ctx_orig: 4096, attn_factor: 1.0 },
        ..TINY_LLAMA3
    },
    TINY_QWEN3,
    Shape { name: "tiny-qwen3-untied", n_embd: 256, tied: false, ..TINY_QWEN3 },
    TINY_CHATGLM,
    Shape { name: "tiny-chatglm-no-bias", bias: false, ..TINY_CHATGLM },
    TINY_GLM4,
    Shape { name: "tiny-glm4-fused", bias: false, fused_qkv: true, ..TINY_GLM4 },
    TINY_MIXTRAL,
    Shape {
        name: "tiny-mixtral-one",
        n_ff: 96,
        experts: Some(Experts { n_expert: 3, n_used: 1, n_ff: 96 }),
        ..TINY_MIXTRAL
    },
    TINY_QWEN3MOE,
    // Mixtral 8x7B and Qwen3-30B-A3B with fewer layers, the first also at half the width.
    Shape {
        name: "mixtral-small",
        n_vocab: 8192,
        n_ctx: 32768,
        n_embd: 2048,
        n_layer: 3,
        n_head: 16,
        n_head_kv: 4,
        head_dim: 128,
        n_ff: 7168,
        experts: Some(Experts { n_expert: 8, n_used: 2, n_ff: 7168 }),
        ..TINY_MIXTRAL
    },
    Shape {
        name: "qwen3moe-small",
        n_vocab: 8192,
        n_ctx: 40960,
        n_embd: 2048,
        n_layer: 3,
        n_head: 32,
        n_head_kv: 4,
        head_dim: 128,
        n_ff: 6144,
        experts: Some(Experts { n_expert: 128, n_used: 8, n_ff: 768 }),
        ..TINY_QWEN3MOE
    },
    Shape {
        name: "qwen2-0.5b",
        n_vocab: 151936,
        n_ctx: 32768,
        n_embd: 896,
        n_layer: 24,
        n_head: 14,
        head_dim: 64,
        n_ff: 4864,
        ..TINY_QWEN2
    },
    Shape {
        name: "tinyllama-1.1b",
        n_vocab: 32000,
        n_ctx: 2048,
        n_embd: 2048,
        n_layer: 22,
        n_head: 32,
        n_head_kv: 4,
        head_dim: 64,
        n_ff: 5632,
        ..TINY_LLAMA
    },
    Shape {
        name: "llama2-7b",
        n_vocab: 32000,
        n_ctx: 4096,
        n_embd: 4096,
        n_layer: 32,
        n_head: 32,
        n_head_kv: 32,
        head_dim: 128,
        n_ff: 11008,
        ..TINY_LLAMA
    },
    Shape {
        name: "llama3-8b",
        n_vocab: 128256,
        n_ctx: 8192,
        n_embd: 4096,
        n_layer: 32,
        n_head: 32,
        n_head_kv: 8,
        head_dim: 128,
        n_ff: 14336,
        tied: false,
        ..TINY_LLAMA3
    },
];

impl Shape {
    /// The shape called `name`.
    pub fn named(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().find(|s| s.name == name)
    }

    /// Elements of a head that rotate.
    pub fn n_rot(&self) -> usize {
        self.head_dim / self.head_per_rot
    }

    /// `rope_factors_short.weight` and `rope_factors_long.weight`, `[n_rot / 2]` each: divisors that
    /// grow as the rotation slows, by a little and by a lot.
    pub fn rope_factors(&self) -> Option<[Vec<f32>; 2]> {
        let Rope::Long { .. } = self.rope else { return None };
        let n = self.n_rot() / 2;
        let grow = |most: f32| (0..n).map(|i| most.powf(i as f32 / n as f32)).collect();
        Some([grow(1.5), grow(12.0)])
    }

    /// `rope_freqs.weight`, `[head_dim / 2]`: what Llama 3.1 divides each frequency by. Slow
    /// rotations (less than one over the original context) are slowed 8 times, fast ones (more
    /// than four) left alone, those between are mixed.
    pub fn rope_freqs(&self) -> Option<Vec<f32>> {
        let Rope::Freqs { n_ctx_orig } = self.rope else { return None };
        let (slowest, fastest, factor) = (1.0, 4.0, 8.0);
        let divisor = |i: usize| {
            let frequency = f64::from(self.rope_base).powf(-2.0 * i as f64 / self.head_dim as f64);
            let rotations = f64::from(n_ctx_orig) * frequency / std::f64::consts::TAU;
            let mix = ((rotations - slowest) / (fastest - slowest)).clamp(0.0, 1.0);
            (1.0 / (mix + (1.0 - mix) / factor)) as f32
        };
        Some((0..self.head_dim / 2).map(divisor).collect())
    }
}
