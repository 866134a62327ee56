//! Law 3: after warm-up, a token takes no heap allocation: not to decode, sample or detokenize it,
//! on any thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rocmforge::backend::Device;
use rocmforge::counters::{self, Counters};
use rocmforge::sampler::Params;
use rocmforge::tokenizer::Detokenizer;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};
use rocmforge_testkit::scratch;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

struct Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_token_allocates_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo.gguf");
    let model = Arc::new(Model::load(&path, ModelParams::default()).unwrap());
    let params = ContextParams { n_ctx: 256, n_threads: 2, n_threads_batch: 2, ..ContextParams::default() };
    let mut ctx = Context::new(model.clone(), params).unwrap();
    let mut chain = Params { seed: 1, penalty_repeat: 1.1, ..Params::default() }.build().unwrap();
    let mut detokenizer = Detokenizer::new(false);
    let mut batch = Batch::new(256, 1).unwrap();
    for (i, id) in model.vocab().tokenize(b"Once upon a time", true, false).unwrap().into_iter().enumerate() {
        batch.add(id, i as i32, &[0], true).unwrap();
    }
    let (mut n_bytes, mut before) = (0, 0);
    for step in 0..100 {
        if step == 80 {
            // Seventy tokens are enough for every penalty window and buffer to be full.
            before = ALLOCATIONS.load(Relaxed);
        }
        ctx.decode(&batch).unwrap();
        let token = chain.sample(ctx.logits(-1).unwrap()).unwrap();
        n_bytes += detokenizer.push(model.vocab(), token).unwrap().len();
        let pos = ctx.cells().seq_range(0).unwrap().unwrap().1 + 1;
        batch.clear();
        batch.add(token, pos, &[0], true).unwrap();
    }
    let n = ALLOCATIONS.load(Relaxed) - before;
    assert!(n_bytes > 100, "a story came out");
    assert_eq!(n, 0, "allocations in 20 tokens");
    drop((ctx, model));
    experts_allocate_nothing(None);
    // Nor where the model is computed in two parts.
    experts_allocate_nothing(Some(2));
}

/// Neither single tokens nor micro-batches, whichever experts they choose.
fn experts_allocate_nothing(n_gpu_layers: Option<usize>) {
    let path = scratch("alloc-experts.gguf");
    let (shape, recipe) = (Shape::named("tiny-mixtral").unwrap(), Recipe::Q4KM);
    synth::write(&path, shape, &Options { recipe, seed: 3, vocab_from: None }).unwrap();
    let stand_in = n_gpu_layers.is_some();
    let params = ModelParams { device: Device::Cpu, n_gpu_layers, stand_in, ..ModelParams::default() };
    let model = Arc::new(Model::load(&path, params).unwrap());
    let params = ContextParams { n_ctx: 512, n_threads: 2, n_threads_batch: 2, ..ContextParams::default() };
    let mut ctx = Context::new(model, params).unwrap();
    let mut batch = Batch::new(64, 1).unwrap();
    let (mut pos, mut before, mut work) = (0, 0, counters::read());
    for round in 0..4 {
        if round == 2 {
            (before, work) = (ALLOCATIONS.load(Relaxed), counters::read());
        }
        for n in [33, 1, 64, 1] {
            batch.clear();
            for i in 0..n {
                batch.add((pos * 31 + 7) % 512, pos, &[0], i + 1 == n).unwrap();
                pos += 1;
            }
            ctx.decode(&batch).unwrap();
        }
    }
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "allocations in prompts and tokens through experts");
    assert_eq!(counters::read() - work, Counters::default());
}
