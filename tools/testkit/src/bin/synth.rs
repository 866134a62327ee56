//! Write a GGUF model of a real architecture and shape with random weights.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rocmforge_testkit::synth::{self, Options, Recipe, SHAPES, Shape};

/// Write a GGUF model of a real architecture and shape with random, seeded weights.
#[derive(Parser)]
struct Args {
    /// Where to write it.
    out: PathBuf,
    /// The shape (an unknown name lists them).
    #[arg(long, default_value = "tiny-llama")]
    model: String,
    /// The type: F32, Q4_0, IQ3_XXS, .. or Q4_K_M.
    #[arg(long = "type", default_value = "Q8_0")]
    recipe: String,
    /// Copy the tokenizer of this GGUF file; its size replaces that of the shape.
    #[arg(long)]
    vocab_from: Option<PathBuf>,
    /// Layers, in place of the shape's.
    #[arg(long)]
    layers: Option<usize>,
    /// The same seed gives the same file.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write the model here with every tensor dequantised to f32.
    #[arg(long)]
    dequantized: Option<PathBuf>,
}

fn run(args: Args) -> Result<(), String> {
    let known = || SHAPES.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
    let mut shape = Shape::named(&args.model)
        .ok_or_else(|| format!("no model \"{}\"; there are {}", args.model, known()))?
        .clone();
    shape.n_layer = args.layers.unwrap_or(shape.n_layer);
    let recipe = Recipe::named(&args.recipe).ok_or_else(|| format!("no type \"{}\"", args.recipe))?;
    let options = Options { recipe, seed: args.seed, vocab_from: args.vocab_from };
    synth::write(&args.out, &shape, &options).map_err(|e| e.to_string())?;
    match &args.dequantized {
        Some(path) => synth::write_dequantized(&args.out, path).map_err(|e| e.to_string()),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("synth: {e}");
            ExitCode::FAILURE
        }
    }
}
