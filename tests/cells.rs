//! The KV cache through the context: cells that are scattered, and the types that it can have.

use std::path::Path;
use std::sync::Arc;

use rocmforge::backend::Device;
use rocmforge::context::KV_TYPES;
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Error, Model, ModelParams};
use rocmforge_testkit::parity::nmse;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

fn demo() -> Arc<Model> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo.gguf");
    Arc::new(Model::load(&path, ModelParams::default()).unwrap())
}

fn params() -> ContextParams {
    ContextParams {
        n_ctx: 320,
        n_ubatch: 64,
        n_seq_max: 4,
        n_threads: 2,
        n_threads_batch: 2,
        ..Default::default()
    }
}

fn decode(c: &mut Context, items: &[(i32, i32, i32)]) -> Vec<f32> {
    let mut batch = Batch::new(256, 1).unwrap();
    for &(token, pos, seq) in items {
        batch.add(token, pos, &[seq], true).unwrap();
    }
    c.decode(&batch).unwrap();
    c.all_logits().to_vec()
}

/// Tokens of a sequence from position `pos` on.
fn tokens(seq: i32, pos: i32, n: i32) -> Vec<(i32, i32, i32)> {
    (pos..pos + n).map(|p| ((p * 37 + seq * 101) % 1900 + 3, p, seq)).collect()
}

/// Sequences that are generated side by side take blocks of their own and compute what they compute alone.
#[test]
fn sequences_side_by_side() {
    let model = demo();
    let mut c = Context::new(model.clone(), params()).unwrap();
    let mut logits = Vec::new();
    for pos in 0..50 {
        let items: Vec<_> = (0..4).flat_map(|seq| tokens(seq, pos, 1)).collect();
        let all = decode(&mut c, &items);
        logits.extend_from_slice(&all[3 * all.len() / 4..]);
    }
    assert_eq!(c.cells().n_used(), 200);
    for seq in 0..4 {
        let mut words = [0; 5];
        c.cells().mask_row(seq, 49, c.cells().n_kv(), &mut words);
        let used: Vec<usize> = (0..5).filter(|&w| words[w] != 0).collect();
        assert_eq!(used, [seq as usize], "the blocks of sequence {seq}");
    }
    let mut alone = Context::new(model, params()).unwrap();
    let want: Vec<f32> = (0..50).flat_map(|pos| decode(&mut alone, &tokens(3, pos, 1))).collect();
    let error = nmse(&logits, &want);
    assert!(error < 1e-8, "NMSE {error:.1e}");
}

/// Where no block is free, a sequence lies in the holes of another, computes what it computes alone, and
/// takes no new cells while there are holes.
#[test]
fn scattered_cells() {
    let model = demo();
    let params = || ContextParams { n_ctx: 256, ..params() };
    let mut c = Context::new(model.clone(), params()).unwrap();
    decode(&mut c, &tokens(0, 0, 200));
    for pos in (1..200).step_by(4).chain((102..200).step_by(4)) {
        c.seq_rm(0, pos..pos + 1).unwrap();
    }
    c.seq_rm(0, 20..30).unwrap();
    c.seq_add(0, 30..i32::MAX, -10).unwrap();
    let holes = 200 - c.cells().n_used() as i32;
    assert_eq!(c.cells().n_kv(), 200);
    // A prompt, then tokens one by one, in cells of which every fourth was free, then two of four.
    let mut logits = decode(&mut c, &tokens(1, 0, 60));
    for pos in 60..holes {
        logits.extend(decode(&mut c, &tokens(1, pos, 1)));
    }
    assert_eq!((c.cells().n_used(), c.cells().n_kv()), (200, 200), "all holes are filled and no more");
    logits.extend(decode(&mut c, &tokens(1, holes, 1)));
    assert_eq!(c.cells().n_kv(), 201);

    let mut alone = Context::new(model, params()).unwrap();
    let mut want = decode(&mut alone, &tokens(1, 0, 60));
    for pos in 60..holes + 1 {
        want.extend(decode(&mut alone, &tokens(1, pos, 1)));
    }
    let error = nmse(&logits, &want);
    // A GPU rounds the weights of cells to f16 by the block that they are in (`kernels/flash.hip`).
    let bound = if c.model().device() == Some(Device::Cpu) { 1e-8 } else { 1e-6 };
    assert!(error < bound, "NMSE {error:.1e}");
}

/// Every pair of types computes nearly the same, before and after positions move.
#[test]
fn types_of_the_cache() {
    let model = demo();
    let run = |type_k, type_v| {
        let mut c = Context::new(model.clone(), ContextParams { type_k, type_v, ..params() }).unwrap();
        let mut logits = decode(&mut c, &tokens(0, 0, 100));
        c.seq_rm(0, 10..40).unwrap();
        c.seq_add(0, 40..i32::MAX, -30).unwrap();
        for i in 0..10 {
            logits.extend(decode(&mut c, &[(200 + i, 70 + i, 0)]));
        }
        (logits, c.memory().kv)
    };
    let (exact, bytes) = run(GgmlType::F32, GgmlType::F32);
    for type_k in KV_TYPES {
        for type_v in KV_TYPES {
            let (logits, kv) = run(type_k, type_v);
            let error = nmse(&logits, &exact);
            let bound = |ty| match ty {
                GgmlType::F32 => 0.0,
                GgmlType::F16 => 1e-5,
                _ => 2e-3,
            };
            let what = format!("{} and {}: NMSE {error:.1e}", type_k.name(), type_v.name());
            assert!(error <= bound(type_k) + bound(type_v), "{what}");
            assert_eq!(error == 0.0, (type_k, type_v) == (GgmlType::F32, GgmlType::F32), "{what}");
            let size = |ty: GgmlType| ty.block_bytes() as f64 / ty.block_len() as f64;
            assert_eq!(kv as f64, bytes as f64 * (size(type_k) + size(type_v)) / 8.0, "{what}");
        }
    }
}

#[test]
fn types_that_cannot_be() {
    let refused = |model: &Arc<Model>, change: &dyn Fn(&mut ContextParams), parts: &[&str]| {
        let mut p = params();
        change(&mut p);
        let e = Context::new(model.clone(), p).err().expect("an error");
        assert!(matches!(e, Error::Unsupported(_)), "{e}");
        assert!(parts.iter().all(|part| e.to_string().contains(part)), "{e}");
    };
    refused(&demo(), &|p| p.type_v = GgmlType::Q4_0, &["type_v is q4_0", "f32, f16, bf16, q8_0"]);
    // Heads of 16.
    let path = rocmforge_testkit::scratch("cells-tiny.gguf");
    let options = Options { recipe: Recipe::named("F32").unwrap(), seed: 1, vocab_from: None };
    synth::write(&path, Shape::named("tiny-llama").unwrap(), &options).unwrap();
    let tiny = Arc::new(Model::load(&path, ModelParams::default()).unwrap());
    refused(&tiny, &|p| p.type_k = GgmlType::Q8_0, &["type_k is q8_0", "32", "heads of 16"]);
    refused(&tiny, &|p| p.type_v = GgmlType::Q8_0, &["type_v is q8_0"]);
    let bf16 = ContextParams { type_k: GgmlType::BF16, type_v: GgmlType::BF16, ..params() };
    assert!(Context::new(tiny, bf16).is_ok());
}
