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
/// The two narrow ones again, wide enough for K-quants.
const TINY_LLAMA_256: Shape =
    Shape { name: "tiny-llama-256", n_embd: 256, head_dim: 64, n_ff: 768, ..TINY_LLAMA };
const TINY_QWEN2_256: Shape =
    Shape { name: "tiny-qwen2-256", n_embd: 256, head_dim: 64, n_ff: 512, ..TINY_QWEN2 };

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
];

impl Shape {
    /// The shape called `name`.
    pub fn named(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().find(|s| s.name == name)
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
