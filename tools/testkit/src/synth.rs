//! Models of real architectures and shapes with random, seeded weights.
//!
//! For parity and for speed where real weights cannot be had: shapes, block formats and metadata
//! are those of real files, the numbers are noise of a scale that keeps logits well conditioned.

mod plan;
mod shape;

pub use plan::{Fill, Planned, Recipe, plan};
pub use shape::{Experts, Rope, SHAPES, Shape};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rocmforge::gguf::{File, Sink, Writer};
use rocmforge::quant::{GgmlType, dequantize, quantize, quantize_weighted};
use rocmforge::{Error, Result};

use crate::rng::Rng;

/// Weights of a tensor that are drawn and quantised; a larger tensor repeats them, each time from
/// another block on. A whole number of blocks of every type.
const POOL: usize = 1 << 18;

/// What to make of a shape.
#[derive(Clone, Debug)]
pub struct Options {
    /// The types of the matrices.
    pub recipe: Recipe,
    /// The same seed gives the same file.
    pub seed: u64,
    /// A GGUF file whose tokenizer is copied; its size replaces that of the shape.
    pub vocab_from: Option<PathBuf>,
}

/// Write the model at `path`; what is there is replaced when the new file is complete.
///
/// # Errors
/// Whatever reading the vocabulary or writing the file gives.
pub fn write(path: &Path, shape: &Shape, options: &Options) -> Result<()> {
    let mut shape = shape.clone();
    let vocab = options.vocab_from.as_deref().map(File::open).transpose()?;
    if let Some(file) = &vocab {
        shape.n_vocab = file.need_array("tokenizer.ggml.tokens")?.len();
    }
    let mut w = Writer::new();
    metadata(&mut w, &shape, options)?;
    match &vocab {
        Some(file) => {
            for (key, value) in file.keys().filter(|(key, _)| key.starts_with("tokenizer.")) {
                w.set(key, value)?;
            }
        }
        None => w.set("tokenizer.ggml.model", "none")?,
    }
    for (i, t) in plan(&shape, options.recipe).into_iter().enumerate() {
        // Each tensor its own stream: one more of them leaves the others as they are.
        let seed = options.seed.wrapping_mul(1 << 20).wrapping_add(i as u64);
        let n: u64 = t.dims.iter().product();
        let (ty, fill) = (t.ty, t.fill);
        w.tensor_from(&t.name, &t.dims, ty, move |sink| draw(sink, ty, n as usize, &fill, Rng::new(seed)))?;
    }
    replace(path, |tmp| w.write(tmp))
}

/// Write the model of `from` at `path` with every tensor as f32: what its blocks stand for,
/// exactly.
///
/// # Errors
/// Whatever reading or writing gives; a type that cannot be dequantised.
pub fn write_dequantized(from: &Path, path: &Path) -> Result<()> {
    let file = File::open(from)?;
    let mut w = Writer::new();
    for (key, value) in file.keys() {
        w.set(key, value)?;
    }
    w.set("general.file_type", 0u32)?;
    for t in file.tensors() {
        let file = &file;
        w.tensor_from(t.name, &t.dims[..t.n_dims as usize], GgmlType::F32, move |sink| {
            let mut row = vec![0f32; t.row_len()];
            for bytes in file.data(&t).chunks_exact(t.ty.row_bytes(row.len())?) {
                dequantize(t.ty, bytes, &mut row)?;
                sink.write(bytemuck::cast_slice(&row))?;
            }
            Ok(())
        })?;
    }
    replace(path, |tmp| w.write(tmp))
}

/// Write a file beside `path`, then put it there.
fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
    let tmp = PathBuf::from(tmp);
    write(&tmp)?;
    std::fs::rename(&tmp, path).map_err(|e| Error::io(path, e))
}

fn metadata(w: &mut Writer<'_>, s: &Shape, options: &Options) -> Result<()> {
    w.set("general.architecture", s.arch)?;
    w.set("general.name", format!("{} (random weights, seed {})", s.name, options.seed).as_str())?;
    w.set("general.file_type", options.recipe.file_type())?;
    w.set("general.quantization_version", 2u32)?;
    let key = |name: &str| format!("{}.{name}", s.arch);
    for (name, value) in [
        ("vocab_size", s.n_vocab as u32),
        ("context_length", s.n_ctx),
        ("embedding_length", s.n_embd as u32),
        ("block_count", s.n_layer as u32),
        ("feed_forward_length", s.n_ff as u32),
        ("attention.head_count", s.n_head as u32),
        ("attention.head_count_kv", s.n_head_kv as u32),
        ("attention.key_length", s.head_dim as u32),
        ("attention.value_length", s.head_dim as u32),
        ("rope.dimension_count", s.n_rot() as u32),
    ] {
        w.set(&key(name), value)?;
    }
    if let Some(e) = s.experts {
        w.set(&key("expert_count"), e.n_expert as u32)?;
        w.set(&key("expert_used_count"), e.n_used as u32)?;
        // Mixtral's files say it in feed_forward_length.
        if s.arch != "llama" {
            w.set(&key("expert_feed_forward_length"), e.n_ff as u32)?;
        }
    }
    w.set(&key("attention.layer_norm_rms_epsilon"), s.eps)?;
    w.set(&key("rope.freq_base"), s.rope_base)?;
    match s.rope {
        Rope::Plain | Rope::Freqs { .. } => {}
        Rope::Linear { factor } => {
            w.set(&key("rope.scaling.type"), "linear")?;
            w.set(&key("rope.scaling.factor"), factor)?;
        }
        Rope::Long { n_ctx_orig, attn_factor } => {
            w.set(&key("rope.scaling.type"), "longrope")?;
            w.set(&key("rope.scaling.original_context_length"), n_ctx_orig)?;
            w.set(&key("rope.scaling.attn_factor"), attn_factor)?;
        }
        Rope::Yarn { factor, n_ctx_orig } => {
            w.set(&key("rope.scaling.type"), "yarn")?;
            w.set(&key("rope.scaling.factor"), factor)?;
            w.set(&key("rope.scaling.original_context_length"), n_ctx_orig)?;
        }
    }
    Ok(())
}

/// The `n` numbers of one tensor, in blocks of `ty`.
fn draw(sink: &mut Sink<'_>, ty: GgmlType, n: usize, fill: &Fill, mut rng: Rng) -> Result<()> {
    let numbers: Vec<f32> = match fill {
        Fill::Values(values) => values.clone(),
        Fill::Normal { mean, sd } => (0..n.min(POOL)).map(|_| mean + sd * rng.normal()).collect(),
    };
    let mut pool = vec![0; ty.row_bytes(numbers.len())?];
    if ty.needs_importance() {
        quantize_weighted(ty, &numbers, &vec![1.0; numbers.len()], &mut pool)?;
    } else {
        quantize(ty, &numbers, &mut pool)?;
    }
    let mut left = ty.row_bytes(n)?;
    let mut start = 0;
    while left > 0 {
        let piece = &pool[start..];
        let piece = &piece[..piece.len().min(left)];
        sink.write(piece)?;
        left -= piece.len();
        start = rng.below(pool.len() / ty.block_bytes()) * ty.block_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, recipe: Recipe) -> (PathBuf, File) {
        let path = crate::scratch(&format!("synth-{name}-{}.gguf", recipe.name()));
        let shape = Shape::named(name).unwrap();
        write(&path, shape, &Options { recipe, seed: 1, vocab_from: None }).unwrap();
        let file = File::open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn names_are_unique_and_found() {
        for (i, s) in SHAPES.iter().enumerate() {
            assert!(SHAPES[..i].iter().all(|t| t.name != s.name), "{} twice", s.name);
        }
        for &r in Recipe::ALL {
            assert_eq!(Recipe::named(&r.name()), Some(r));
        }
    }

    #[test]
    fn every_type_that_fits_is_used_and_others_fall_back() {
        for &recipe in Recipe::ALL {
            let (_, wide) = model("tiny-llama3", recipe);
            let ty = wide.tensor("blk.0.attn_q.weight").unwrap().ty;
            let name = recipe.name();
            let main = if recipe == Recipe::Q4KM { "Q4_K" } else { &name };
            assert_eq!(ty.name().to_uppercase(), main);
        }
        let (_, narrow) = model("tiny-llama", Recipe::Plain(GgmlType::Q5_K));
        assert_eq!(narrow.tensor("blk.0.ffn_down.weight").unwrap().ty, GgmlType::Q8_0);
    }

    #[test]
    fn the_dequantised_copy_holds_what_the_blocks_stand_for() {
        let (path, file) = model("tiny-llama3", Recipe::Q4KM);
        let copy = crate::scratch("synth-copy.gguf");
        write_dequantized(&path, &copy).unwrap();
        let copy = File::open(&copy).unwrap();
        assert_eq!(file.n_tensors(), copy.n_tensors());
        for t in file.tensors() {
            let mut want = vec![0f32; t.n_elements()];
            dequantize(t.ty, file.data(&t), &mut want).unwrap();
            let c = copy.tensor(t.name).unwrap();
            assert_eq!((c.ty, c.dims), (GgmlType::F32, t.dims), "{}", t.name);
            assert_eq!(copy.data(&c), bytemuck::cast_slice::<f32, u8>(&want), "{}", t.name);
        }
    }

    #[test]
    fn a_seed_gives_the_same_file_and_weights_of_the_planned_scale() {
        let (path, file) = model("tiny-qwen2", Recipe::Plain(GgmlType::F32));
        let bytes = std::fs::read(&path).unwrap();
        let (path, _) = model("tiny-qwen2", Recipe::Plain(GgmlType::F32));
        assert_eq!(bytes, std::fs::read(path).unwrap());
        let t = file.tensor("blk.1.ffn_up.weight").unwrap();
        let w: &[f32] = bytemuck::cast_slice(file.data(&t));
        let variance = w.iter().map(|v| v * v).sum::<f32>() / w.len() as f32;
        assert!((variance * 128.0 - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn llama3_divisors_run_from_one_to_eight() {
        let d = Shape::named("tiny-llama3-freqs").unwrap().rope_freqs().unwrap();
        assert_eq!(d.len(), 16);
        assert_eq!((d[0], d[15]), (1.0, 8.0));
        assert!(d.is_sorted() && d.iter().any(|v| *v > 1.0 && *v < 8.0), "{d:?}");
    }
}
