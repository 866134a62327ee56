//! A model of which the last layers are computed elsewhere, cut at each of its layers: the same bits as
//! uncut. The processor stands in for the GPU (`tests/hip_session.rs` has a fake of one).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rocmforge::backend::Device;
use rocmforge::model::Pooling;
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Error, Model, ModelParams};
use rocmforge_testkit::scratch;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

fn synthetic(shape: &str, recipe: Recipe) -> (PathBuf, usize) {
    let shape = Shape::named(shape).unwrap();
    let path = scratch(&format!("offload-{}-{}.gguf", shape.name, recipe.name()));
    synth::write(&path, shape, &Options { recipe, seed: 4, vocab_from: None }).unwrap();
    (path, shape.n_layer)
}

/// The model uncut, or with so many layers on the stand-in.
fn load(path: &Path, n_gpu_layers: Option<usize>) -> Arc<Model> {
    let stand_in = n_gpu_layers.is_some();
    let params = ModelParams { device: Device::Cpu, n_gpu_layers, stand_in, ..ModelParams::default() };
    Arc::new(Model::load(path, params).unwrap())
}

fn context(model: &Arc<Model>, type_k: GgmlType, type_v: GgmlType) -> Context {
    let params = ContextParams {
        n_ctx: 320,
        n_ubatch: 32,
        n_seq_max: 3,
        n_threads: 1,
        n_threads_batch: 2,
        type_k,
        type_v,
        pooling: Some(Pooling::None),
        ..ContextParams::default()
    };
    Context::new(model.clone(), params).unwrap()
}

/// What a context gave.
#[derive(Default, PartialEq)]
struct Seen {
    bits: Vec<u32>,
    states: Vec<Vec<u8>>,
}

impl Seen {
    fn take(&mut self, rows: &[f32]) {
        assert!(rows.iter().all(|x| x.is_finite()));
        self.bits.extend(rows.iter().map(|x| x.to_bits()));
    }

    /// Decodes `tokens`, each a sequence and whether logits are wanted, at the ends of their sequences.
    fn decode(&mut self, c: &mut Context, tokens: &[(i32, bool)]) {
        let mut batch = Batch::new(128, 1).unwrap();
        let end = |seq| c.cells().seq_range(seq).unwrap().map_or(0, |(_, last)| last + 1);
        let mut next = [0, 1, 2].map(end);
        for (i, &(seq, wanted)) in tokens.iter().enumerate() {
            let pos = &mut next[seq as usize];
            batch.add((i as i32 * 31 + *pos * 7 + seq) % 500, *pos, &[seq], wanted).unwrap();
            *pos += 1;
        }
        c.decode(&batch).unwrap();
        self.take(c.all_logits());
        self.take(c.all_embeddings());
    }

    fn save(&mut self, c: &mut Context) {
        let mut state = vec![0; c.state_size().unwrap()];
        c.state_get(&mut state).unwrap();
        self.states.push(state);
    }
}

/// Prompts, tokens, sequences side by side, moved keys, embeddings, states.
fn script(model: &Arc<Model>, type_k: GgmlType, type_v: GgmlType) -> Seen {
    let mut seen = Seen::default();
    let mut c = context(model, type_k, type_v);
    // Three micro-batches, all rows wanted; three, only the last wanted; some in between.
    seen.decode(&mut c, &[(0, true); 70]);
    let mut last = [(1, false); 67];
    last[66].1 = true;
    seen.decode(&mut c, &last);
    seen.decode(&mut c, &[(2, false), (2, true), (2, false), (2, false), (2, true)]);
    seen.decode(&mut c, &[(2, false)]);
    for _ in 0..3 {
        seen.decode(&mut c, &[(0, true)]);
        seen.decode(&mut c, &[(0, true), (1, false), (2, true)]);
    }
    seen.save(&mut c);
    c.seq_rm(0, 10..20).unwrap();
    c.seq_add(0, 20..i32::MAX, -10).unwrap();
    seen.decode(&mut c, &[(0, true)]);
    c.seq_rm(2, 0..i32::MAX).unwrap();
    c.seq_cp(0, 2, 0..i32::MAX).unwrap();
    c.set_embeddings(true);
    seen.decode(&mut c, &[(0, true), (0, false), (0, true)]);
    seen.decode(&mut c, &[(1, true)]);
    c.set_embeddings(false);
    seen.save(&mut c);
    // Another context goes on where this one ended.
    let mut other = context(model, type_k, type_v);
    other.state_set(seen.states.last().unwrap()).unwrap();
    seen.decode(&mut other, &[(0, true), (1, true)]);
    let mut one = vec![0; c.state_seq_size(1).unwrap()];
    c.state_seq_get(1, &mut one).unwrap();
    other.state_seq_set(2, &one).unwrap();
    seen.decode(&mut other, &[(2, true)]);
    seen.save(&mut other);
    seen
}

fn same_at_every_cut(shape: &str, recipe: Recipe, type_k: GgmlType, type_v: GgmlType) {
    let (path, n_layer) = synthetic(shape, recipe);
    let uncut = load(&path, None);
    let expected = script(&uncut, type_k, type_v);
    assert!(expected.bits.len() > 10_000 && expected.states.len() == 3);
    for n in 1..=n_layer + 1 {
        let model = load(&path, Some(n));
        let seen = script(&model, type_k, type_v);
        let different = seen.bits.iter().zip(&expected.bits).position(|(a, b)| a != b);
        assert!(different.is_none(), "{shape}, {n} of {n_layer} + 1: outputs differ from {different:?} on");
        assert!(seen.bits.len() == expected.bits.len(), "{shape}, {n}: as many outputs");
        assert!(seen.states == expected.states, "{shape}, {n} of {n_layer} + 1: states");
        // One's states are the other's.
        let mut c = context(&uncut, type_k, type_v);
        c.state_set(&seen.states[0]).unwrap();
    }
}

#[test]
fn llama() {
    same_at_every_cut("tiny-llama3", Recipe::Q4KM, GgmlType::F16, GgmlType::F16);
    same_at_every_cut("tiny-llama3-freqs", Recipe::Plain(GgmlType::Q8_0), GgmlType::Q8_0, GgmlType::F16);
}

#[test]
fn qwen2_whose_output_matrix_is_the_embedding_table() {
    same_at_every_cut("tiny-qwen2", Recipe::Plain(GgmlType::Q4_0), GgmlType::F16, GgmlType::F32);
}

#[test]
fn qwen3_with_norms_of_heads() {
    same_at_every_cut("tiny-qwen3", Recipe::Plain(GgmlType::Q8_0), GgmlType::F16, GgmlType::F16);
}

#[test]
fn glm4_with_fused_matrices_and_norms_behind() {
    same_at_every_cut("tiny-glm4", Recipe::Plain(GgmlType::Q8_0), GgmlType::F16, GgmlType::F16);
}

#[test]
fn experts() {
    same_at_every_cut("tiny-mixtral", Recipe::Plain(GgmlType::Q4_0), GgmlType::F16, GgmlType::F16);
    same_at_every_cut("tiny-qwen3moe", Recipe::Plain(GgmlType::Q8_0), GgmlType::F16, GgmlType::F16);
}

#[test]
fn longrope_binds_its_divisors_on_both_sides() {
    let f16 = GgmlType::F16;
    same_at_every_cut("tiny-llama-longrope-long", Recipe::Plain(GgmlType::Q8_0), f16, f16);
}

#[test]
fn a_decode_that_is_stopped_anywhere_leaves_the_context_as_it_was() {
    let (path, _) = synthetic("tiny-llama3", Recipe::Plain(GgmlType::Q8_0));
    let model = load(&path, Some(2));
    let f16 = GgmlType::F16;
    let mut expected = Seen::default();
    let mut c = context(&model, f16, f16);
    expected.decode(&mut c, &[(0, true); 40]);
    expected.decode(&mut c, &[(0, true); 5]);

    let asked = Arc::new(AtomicUsize::new(0));
    let stop_at = Arc::new(AtomicUsize::new(usize::MAX));
    let mut c = context(&model, f16, f16);
    let (count, stop) = (asked.clone(), stop_at.clone());
    c.set_abort(Some(Box::new(move || count.fetch_add(1, Relaxed) >= stop.load(Relaxed))));
    let mut seen = Seen::default();
    seen.decode(&mut c, &[(0, true); 40]);
    let mut batch = Batch::new(64, 1).unwrap();
    (0..40).for_each(|i| batch.add(3 + i, 40 + i, &[0], true).unwrap());
    let mut n_stopped = 0;
    for at in 0.. {
        stop_at.store(at, Relaxed);
        asked.store(0, Relaxed);
        match c.decode(&batch) {
            Err(e) => assert!(matches!(e, Error::Aborted(_)), "{e}"),
            Ok(()) => break,
        }
        assert_eq!(c.cells().n_used(), 40);
        n_stopped += 1;
    }
    // Two micro-batches of two parts each, and each part asks.
    assert!(n_stopped >= 4, "stopped {n_stopped} times");
    c.seq_rm(0, 40..i32::MAX).unwrap();
    stop_at.store(usize::MAX, Relaxed);
    seen.decode(&mut c, &[(0, true); 5]);
    assert!(seen == expected);
}

#[test]
fn progress_is_of_all_bytes_and_cancels_both_parts() {
    let (path, n_layer) = synthetic("tiny-qwen2", Recipe::Plain(GgmlType::Q8_0));
    let load = |stop: f32| {
        let mut told = Vec::new();
        let mut progress = |share: f32| {
            told.push(share);
            share < stop
        };
        let params = ModelParams {
            device: Device::Cpu,
            n_gpu_layers: Some(n_layer / 2),
            stand_in: true,
            progress: Some(&mut progress),
            ..ModelParams::default()
        };
        let outcome = Model::load(&path, params);
        (outcome, told)
    };
    let (model, told) = load(f32::MAX);
    model.unwrap();
    assert!(told.is_sorted() && told[0] == 0.0 && told.last().is_some_and(|&x| x > 0.999 && x <= 1.0));
    assert!(told.len() > 20, "{told:?}");
    for stop in [0.0, 0.2, 0.9, 0.999] {
        let (outcome, told) = load(stop);
        assert!(matches!(outcome, Err(Error::Aborted(_))), "{stop}");
        assert_eq!(told.iter().filter(|&&x| x >= stop).count(), 1, "nothing is told after the answer");
    }
}

#[test]
fn who_computes_is_told() {
    let (path, n_layer) = synthetic("tiny-llama3", Recipe::Plain(GgmlType::Q8_0));
    let model = load(&path, None);
    assert_eq!((model.device(), model.n_gpu_layers()), (Some(Device::Cpu), 0));
    // Layers are shared out, and what both sides need is bound by both.
    let told = load(&path, Some(2)).backend().unwrap();
    assert!(
        told.contains(&format!("({} layers), cpu", n_layer - 1)) && told.contains("(2 layers)"),
        "{told}"
    );
    // No layers, whatever the device.
    let none = ModelParams { device: Device::Gpu(99), n_gpu_layers: Some(0), ..ModelParams::default() };
    assert_eq!(Model::load(&path, none).unwrap().device(), Some(Device::Cpu));
    let both = ModelParams { device: Device::Cpu, n_gpu_layers: Some(3), ..ModelParams::default() };
    let e = Model::load(&path, both).err().unwrap();
    assert!(matches!(&e, Error::InvalidArgument(m) if m.contains("n_gpu_layers is 3")), "{e}");
}
