//! What no file of the reference's converters says of experts, and the format allows.

#[path = "hostile/file.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod file;

use std::sync::Arc;

use file::{Parts, model};
use rocmforge::gguf::File;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

/// Small weights that differ, experts' among them.
fn mixture(arch: &str) -> Parts {
    model(arch).with(|p| {
        let mut state = 1u64;
        for t in p.tensors.iter_mut().filter(|t| t.dims.len() > 1) {
            for bytes in t.data.as_chunks_mut::<4>().0 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *bytes = ((state >> 40) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes();
            }
        }
    })
}

/// The logits of a few tokens, in bits.
fn logits(parts: &Parts) -> Vec<u32> {
    let file = File::from_bytes(parts.bytes()).unwrap();
    let model = Model::from_gguf(Arc::new(file), ModelParams::default()).unwrap();
    let params = ContextParams { n_ctx: 64, n_threads: 1, n_threads_batch: 1, ..Default::default() };
    let mut context = Context::new(Arc::new(model), params).unwrap();
    let mut batch = Batch::new(8, 1).unwrap();
    for pos in 0..8 {
        batch.add(70 + 11 * pos, pos, &[0], true).unwrap();
    }
    context.decode(&batch).unwrap();
    context.all_logits().iter().map(|x| x.to_bits()).collect()
}

/// Weights of experts times 2 are the experts' results times 2, without a rounding in between.
#[test]
fn the_scale_of_weights_is_that_of_results() {
    for arch in ["mixtral", "qwen3moe"] {
        let scaled = mixture(arch).f32(&format!("{}.expert_weights_scale", file::prefix(arch)), 2.0);
        let doubled = mixture(arch).with(|p| {
            let down = p.tensors.iter_mut().find(|t| t.name == b"blk.0.ffn_down_exps.weight").unwrap();
            for bytes in down.data.as_chunks_mut::<4>().0 {
                *bytes = (f32::from_le_bytes(*bytes) * 2.0).to_le_bytes();
            }
        });
        let want = logits(&doubled);
        assert!(logits(&scaled) == want, "{arch}");
        assert!(logits(&mixture(arch)) != want, "{arch}: the scale changes something");
    }
}
