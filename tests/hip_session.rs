//! A model on a GPU, against a fake runtime that computes nothing: what is launched, allocated, captured and
//! copied, and what becomes of every failure. (What the kernels compute is `tests/parity.rs` on a GPU.)

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use fake_hip::Fake;
use rocmforge::backend::Device;
use rocmforge::log::Log;
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Error, Model, ModelParams, Result, counters};
use rocmforge_testkit::harness::Tests;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};
use rocmforge_testkit::{root, scratch};

fn main() -> ExitCode {
    let cache = tempfile::tempdir().unwrap();
    // SAFETY: no other thread has been started.
    unsafe {
        for name in ["ROCMFORGE_HIP_LIBRARY", "ROCMFORGE_HIPRTC_LIBRARY"] {
            std::env::set_var(name, Fake::path());
        }
        std::env::set_var("XDG_CACHE_HOME", cache.path());
        std::env::remove_var("ROCMFORGE_KERNELS");
    }
    let mut tests = Tests::default();
    let mut add = |name: &str, test: fn(&Fake)| {
        tests.add(name, Ok(()), move || {
            static LOCK: Mutex<()> = Mutex::new(());
            let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            let fake = Fake::open();
            fake.reset();
            fake.set_gpus(1, "sm_90", 4 << 30);
            test(&fake);
            assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "nothing leaks");
        });
    };
    add("a_token_is_five_launches_a_layer", a_token_is_five_launches_a_layer);
    add("products_make_the_columns_that_there_are", products_make_the_columns_that_there_are);
    add("after_warm_up_a_token_copies_in_and_out_and_nothing_else", after_warm_up);
    add("every_failure_is_an_error_after_which_all_works", every_failure_is_an_error);
    add("a_lost_device_is_an_error", a_lost_device_is_an_error);
    add("what_cannot_be_used_is_said", what_cannot_be_used_is_said);
    tests.run()
}

fn load(params: ModelParams<'_>) -> Result<Arc<Model>> {
    Model::load(&root().join("models/demo.gguf"), params).map(Arc::new)
}

fn on_gpu(model: &std::path::Path) -> Result<Arc<Model>> {
    Model::load(model, ModelParams { device: Device::Gpu(0), ..ModelParams::default() }).map(Arc::new)
}

fn context(model: &Arc<Model>) -> Result<Context> {
    Context::new(model.clone(), ContextParams { n_ctx: 256, n_ubatch: 64, ..ContextParams::default() })
}

fn decode(ctx: &mut Context, pos: i32, n: i32) -> Result<()> {
    let mut batch = Batch::new(64, 1)?;
    for i in 0..n {
        batch.add(5 + i, pos + i, &[0], i + 1 == n)?;
    }
    ctx.decode(&batch)
}

/// A model of this shape whose matrices are of one type.
fn synthetic(shape: &'static str) -> (std::path::PathBuf, usize) {
    let shape = Shape::named(shape).unwrap();
    let path = scratch(&format!("hip-session-{}.gguf", shape.name));
    let recipe = Recipe::named("Q8_0").unwrap();
    synth::write(&path, shape, &Options { recipe, seed: 1, vocab_from: None }).unwrap();
    (path, shape.n_layer)
}

fn a_token_is_five_launches_a_layer(fake: &Fake) {
    // With biases, grouped heads, norms of queries and keys, one matrix for all of attention's inputs.
    for shape in ["tiny-llama3", "tiny-qwen2", "tiny-qwen3"] {
        let (path, n_layer) = synthetic(shape);
        let model = on_gpu(&path).unwrap();
        let mut ctx = context(&model).unwrap();
        for pos in 0..2 {
            decode(&mut ctx, pos, 1).unwrap();
        }
        let before = fake.launches().len();
        decode(&mut ctx, 2, 1).unwrap();
        let names: Vec<String> = fake.launches()[before..].iter().map(|l| l.name.clone()).collect();
        // Besides the layers: the embedding, the table of angles, the first norm and the logits.
        assert_eq!(names.len(), 5 * n_layer + 4, "{shape}: {names:?}");
    }
}

/// Kernels write whole blocks of columns: with room for 12 tokens, none may be made of 8.
fn products_make_the_columns_that_there_are(fake: &Fake) {
    let (path, _) = synthetic("tiny-llama3");
    let model = on_gpu(&path).unwrap();
    for n_ubatch in [1, 3, 12, 24, 40, 48] {
        let params = ContextParams { n_ctx: 128, n_ubatch, ..ContextParams::default() };
        let mut ctx = Context::new(model.clone(), params).unwrap();
        let before = fake.launches().len();
        decode(&mut ctx, 0, n_ubatch as i32).unwrap();
        let mut n = 0;
        for l in &fake.launches()[before..] {
            let Some(each) = l.name.strip_prefix("matvec_") else { continue };
            let each: u32 = each.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let columns = l.grid[1] * each;
            assert!(columns == n_ubatch as u32 || columns == 1, "{n_ubatch}: {} {:?}", l.name, l.grid);
            n += 1;
        }
        assert!(n > 0);
    }
}

fn after_warm_up(_: &Fake) {
    let (path, _) = synthetic("tiny-llama3");
    let model = on_gpu(&path).unwrap();
    let mut ctx = context(&model).unwrap();
    decode(&mut ctx, 0, 40).unwrap();
    decode(&mut ctx, 40, 1).unwrap();
    for pos in 41..60 {
        let before = counters::read();
        decode(&mut ctx, pos, 1).unwrap();
        let once = counters::Counters { host_to_device: 1, device_to_host: 1, ..Default::default() };
        assert_eq!(counters::read() - before, once);
    }
}

/// Loads, prompts and generates.
fn script() -> Result<()> {
    let model = load(ModelParams { device: Device::Gpu(0), ..ModelParams::default() })?;
    let mut ctx = context(&model)?;
    decode(&mut ctx, 0, 40)?;
    decode(&mut ctx, 40, 1)
}

fn every_failure_is_an_error(fake: &Fake) {
    const OUT_OF_MEMORY: u32 = 2;
    script().unwrap();
    for function in [
        "hipMalloc",
        "hipHostMalloc",
        "hipStreamCreateWithFlags",
        "hipEventCreateWithFlags",
        "hipEventRecord",
        "hipMemcpyAsync",
        "hipMemsetAsync",
        "hipModuleLoadData",
        "hipModuleGetFunction",
        "hipModuleLaunchKernel",
        "hipStreamBeginCapture",
        "hipStreamEndCapture",
        "hipGraphInstantiate",
        "hipGraphLaunch",
        "hipStreamSynchronize",
    ] {
        fake.reset();
        fake.set_gpus(1, "sm_90", 4 << 30);
        script().unwrap();
        let n = fake.count(function);
        assert!(n > 0, "{function} is called");
        for nth in [1, 2, n / 2, n - 1, n] {
            if nth == 0 {
                continue;
            }
            fake.reset();
            fake.set_gpus(1, "sm_90", 4 << 30);
            fake.fail(function, nth, OUT_OF_MEMORY);
            let e = script().expect_err("a call failed").to_string();
            assert!(e.contains(function) || e.contains("memory"), "{function} {nth}: {e}");
            assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "{function} {nth}");
            script().unwrap();
        }
    }
    // A context goes on after a decode that failed.
    fake.reset();
    fake.set_gpus(1, "sm_90", 4 << 30);
    let model = load(ModelParams { device: Device::Gpu(0), ..ModelParams::default() }).unwrap();
    let mut ctx = context(&model).unwrap();
    decode(&mut ctx, 0, 1).unwrap();
    fake.fail("hipGraphLaunch", 1, OUT_OF_MEMORY);
    decode(&mut ctx, 1, 1).unwrap_err();
    assert_eq!(ctx.cells().n_used(), 1);
    decode(&mut ctx, 1, 1).unwrap();
    // A prompt needs a larger arena, for which there may be no memory; tokens go on all the same.
    for (function, nth) in
        [("hipMalloc", 1), ("hipHostMalloc", 1), ("hipStreamEndCapture", 1), ("hipStreamEndCapture", 2)]
    {
        let mut ctx = context(&model).unwrap();
        decode(&mut ctx, 0, 1).unwrap();
        fake.fail(function, nth, OUT_OF_MEMORY);
        decode(&mut ctx, 1, 40).unwrap_err();
        decode(&mut ctx, 1, 1).unwrap();
        decode(&mut ctx, 2, 40).unwrap();
    }
}

fn a_lost_device_is_an_error(fake: &Fake) {
    const LOST: u32 = 709;
    let model = load(ModelParams { device: Device::Gpu(0), ..ModelParams::default() }).unwrap();
    let mut ctx = context(&model).unwrap();
    decode(&mut ctx, 0, 1).unwrap();
    fake.lose("hipGraphLaunch", 1, LOST);
    for _ in 0..2 {
        let e = decode(&mut ctx, 1, 1).unwrap_err();
        assert!(matches!(e, Error::Backend(_)), "{e}");
    }
    drop((ctx, model));
    fake.reset();
}

fn what_cannot_be_used_is_said(fake: &Fake) {
    let gpu = |index| ModelParams { device: Device::Gpu(index), ..ModelParams::default() };
    assert!(load(gpu(7)).is_err_and(|e| e.to_string().contains('7')));
    let some = ModelParams { n_gpu_layers: Some(1), ..gpu(0) };
    assert!(load(some).is_err_and(|e| matches!(&e, Error::Unsupported(m) if m.contains("n_gpu_layers"))));

    let model = load(gpu(0)).unwrap();
    assert_eq!(model.device(), Some(Device::Gpu(0)));
    let mixed = ContextParams { n_ctx: 64, type_k: GgmlType::F32, ..ContextParams::default() };
    let e = Context::new(model, mixed).err().unwrap();
    assert!(matches!(&e, Error::Unsupported(m) if m.contains("type_v")), "{e}");

    // Left to itself, the library takes the GPU if the model fits, and else says why it does not.
    assert_eq!(load(ModelParams::default()).unwrap().device(), Some(Device::Gpu(0)));
    fake.set_gpus(1, "sm_90", 1 << 20);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let log = Log::new(Arc::new(move |_, line| kept.lock().unwrap().push(line.to_owned())));
    let model = load(ModelParams { log, ..ModelParams::default() }).unwrap();
    assert_eq!(model.device(), Some(Device::Cpu));
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|l| l.contains("the CPU computes") && l.contains("MiB are free")), "{lines:?}");
}
