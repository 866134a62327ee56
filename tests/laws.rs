//! The laws about work done once, proved with the library's counters. They are process-wide, so
//! everything that reads them is the one test of this program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocmforge::counters::{self, Counters};
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo.gguf")
}

fn load() -> Arc<Model> {
    Arc::new(Model::load(&demo(), ModelParams::default()).unwrap())
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

fn since(before: Counters) -> Counters {
    counters::read() - before
}

#[test]
fn work_that_is_done_once_is_done_once() {
    // Law 1: one open, one parse. Law 2: each weight bound once.
    let start = counters::read();
    let model = load();
    let n_tensors = model.file().n_tensors() as u64;
    let once = Counters { file_open: 1, file_parse: 1, weight_bind: n_tensors, ..Counters::default() };
    assert_eq!(since(start), once);

    // Contexts share the weights. Law 5: the cache is there before the first token.
    let before = counters::read();
    let mut ctx = context(&model, 2);
    let hp = model.hparams().unwrap();
    let kv_bytes = 2 * 512 * hp.n_layer * hp.n_head_kv[0] * (hp.head_dim_k + hp.head_dim_v);
    assert_eq!(ctx.memory().kv, kv_bytes);
    assert_eq!(since(before), Counters::default());

    // Warm-up: a prompt of 100 tokens is two micro-batches of the same capacity, one of them
    // without outputs; then single tokens.
    let mut batch = Batch::new(256, 1).unwrap();
    decode(&mut ctx, &mut batch, 0, 0, &ids(100), false);
    decode(&mut ctx, &mut batch, 0, 100, &ids(1), false);
    let warm = since(before);
    assert_eq!((warm.graph_build, warm.graph_compile), (3, 3));
    let memory = ctx.memory();

    // Laws 3 and 4: other tokens, positions, lengths, sequences and numbers of tokens within the
    // same capacities are data. Nothing is built, compiled, bound or allocated for them.
    let warm = counters::read();
    for i in 0..50 {
        decode(&mut ctx, &mut batch, 0, 101 + i, &[40 + i], false);
    }
    decode(&mut ctx, &mut batch, 1, 0, &ids(97), false);
    decode(&mut ctx, &mut batch, 2, 0, &ids(64 + 35), false);
    ctx.clear();
    decode(&mut ctx, &mut batch, 3, 0, &ids(128 + 63), false);
    ctx.seq_rm(3, 50..i32::MAX).unwrap();
    decode(&mut ctx, &mut batch, 3, 50, &[7], false);
    assert_eq!(since(warm), Counters::default());
    assert_eq!(ctx.memory(), memory);

    // Moving positions needs one graph more, once.
    for _ in 0..3 {
        ctx.seq_rm(3, 10..11).unwrap();
        ctx.seq_add(3, 11..i32::MAX, -1).unwrap();
        let next = ctx.cells().seq_range(3).unwrap().unwrap().1 + 1;
        decode(&mut ctx, &mut batch, 3, next, &[7], false);
    }
    assert_eq!(since(warm), Counters { graph_build: 1, graph_compile: 1, ..Counters::default() });
}
