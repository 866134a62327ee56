//! Law 10: the same inputs give the same bits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};
use rocmforge_testkit::scratch;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo.gguf")
}

fn load(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(path, ModelParams::default()).unwrap())
}

/// A model with experts.
fn mixture() -> PathBuf {
    let path = scratch("determinism-experts.gguf");
    let recipe = Recipe::Plain(GgmlType::Q4_0);
    let shape = Shape { n_vocab: 2048, ..Shape::named("tiny-qwen3moe").unwrap().clone() };
    synth::write(&path, &shape, &Options { recipe, seed: 3, vocab_from: None }).unwrap();
    path
}

fn context(model: &Arc<Model>, n_threads: usize) -> Context {
    let params = ContextParams {
        n_ctx: 512,
        n_ubatch: 64,
        n_seq_max: 4,
        n_threads,
        n_threads_batch: n_threads,
        ..ContextParams::default()
    };
    Context::new(model.clone(), params).unwrap()
}

fn decode(ctx: &mut Context, batch: &mut Batch, seq: i32, start: i32, ids: &[i32], all_logits: bool) {
    batch.clear();
    for (i, &id) in ids.iter().enumerate() {
        batch.add(id, start + i as i32, &[seq], all_logits || i + 1 == ids.len()).unwrap();
    }
    ctx.decode(batch).unwrap();
}

fn ids(n: usize) -> Vec<i32> {
    (0..n).map(|i| (i * 37 % 1900 + 3) as i32).collect()
}

/// All logits of a prompt in micro-batches and of some single tokens.
fn logits(ctx: &mut Context) -> Vec<u32> {
    let mut batch = Batch::new(256, 1).unwrap();
    decode(ctx, &mut batch, 0, 0, &ids(150), true);
    let mut out: Vec<u32> = ctx.all_logits().iter().map(|x| x.to_bits()).collect();
    for i in 0..10 {
        decode(ctx, &mut batch, 0, 150 + i, &[100 + i], true);
        out.extend(ctx.logits(-1).unwrap().iter().map(|x| x.to_bits()));
    }
    out
}

#[test]
fn same_inputs_same_bits() {
    for path in [demo(), mixture()] {
        let model = load(&path);
        let mut ctx = context(&model, 2);
        let first = logits(&mut ctx);
        ctx.clear();
        assert!(first == logits(&mut ctx), "a second run in the same context");
        assert!(first == logits(&mut context(&load(&path), 2)), "another load of the model");
        assert!(first == logits(&mut context(&model, 1)), "another number of threads");
    }
}

/// Weights that were copied: none is read from the file any more.
#[test]
fn a_copied_model_gives_the_bits_of_the_mapped_one() {
    for (i, path) in [demo(), mixture()].iter().enumerate() {
        let want = logits(&mut context(&load(path), 2));
        let copy = scratch(&format!("determinism-copied-{i}.gguf"));
        std::fs::copy(path, &copy).unwrap();
        let params = ModelParams { no_mmap: true, ..ModelParams::default() };
        let model = Arc::new(Model::load(&copy, params).unwrap());
        // The data of tensors is the end of the file; all but the padding between them.
        let mut bytes = std::fs::read(&copy).unwrap();
        let weights = bytes.len() - model.n_bytes() as usize;
        bytes[weights..].fill(0);
        std::fs::write(&copy, bytes).unwrap();
        assert!(want == logits(&mut context(&model, 2)), "{}", path.display());
    }
}

/// Greedy text after a prompt that goes through tiles, and the smallest lead of a best token over
/// the second.
fn greedy(ctx: &mut Context, prompt: &[u8], n: usize) -> (String, f32) {
    let vocab = ctx.model().clone();
    let prompt = vocab.vocab().tokenize(prompt, true, false).unwrap();
    let mut batch = Batch::new(256, 1).unwrap();
    decode(ctx, &mut batch, 0, 0, &prompt, false);
    let (mut text, mut lead) = (Vec::new(), f32::INFINITY);
    for i in 0..n {
        let logits = ctx.logits(-1).unwrap();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        lead = lead.min(logits[order[0]] - logits[order[1]]);
        text.extend_from_slice(vocab.vocab().token_to_piece(order[0] as i32, false).unwrap());
        decode(ctx, &mut batch, 0, (prompt.len() + i) as i32, &[order[0] as i32], false);
    }
    (String::from_utf8(text).unwrap(), lead)
}

/// Other instruction sets sum in other orders, which may not matter to the text: run under each, on
/// each architecture.
#[test]
fn every_instruction_set_writes_this_text() {
    const TEXT: &str = " girl called Mira who lived in a small village among green fields. She was very \
        friendly, and she loved to make new friends.\nOne day,";
    let (text, lead) = greedy(&mut context(&load(&demo()), 2), b"Once upon a time, there was a little", 32);
    assert!(lead > 5e-3, "the best tokens are only {lead} apart: take another text");
    assert_eq!(text, TEXT);
}
