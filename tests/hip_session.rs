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
    add("after_warm_up_a_token_copies_in_and_nothing_else", after_warm_up);
    add("a_cut_model_copies_its_rows_in_and_nothing_else", a_cut_model_copies_its_rows_in);
    add("as_many_layers_as_fit", as_many_layers_as_fit);
    add("every_failure_is_an_error_after_which_all_works", every_failure_is_an_error);
    add("a_lost_device_is_an_error", a_lost_device_is_an_error);
    add("what_cannot_be_used_is_said", what_cannot_be_used_is_said);
    tests.run()
}

fn load(params: ModelParams<'_>) -> Result<Arc<Model>> {
    Model::load(&root().join("models/demo.gguf"), params).map(Arc::new)
}

fn on_gpu(model: &std::path::Path) -> Result<Arc<Model>> {
    cut(model, None)
}

/// A model of which the GPU computes so many layers.
fn cut(model: &std::path::Path, n_gpu_layers: Option<usize>) -> Result<Arc<Model>> {
    let params = ModelParams { device: Device::Gpu(0), n_gpu_layers, ..ModelParams::default() };
    Model::load(model, params).map(Arc::new)
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
    of_recipe(shape, "Q8_0")
}

fn of_recipe(shape: &'static str, recipe: &str) -> (std::path::PathBuf, usize) {
    let shape = Shape::named(shape).unwrap();
    let path = scratch(&format!("hip-session-{}-{recipe}.gguf", shape.name));
    let recipe = Recipe::named(recipe).unwrap();
    synth::write(&path, shape, &Options { recipe, seed: 1, vocab_from: None }).unwrap();
    (path, shape.n_layer)
}

fn a_token_is_five_launches_a_layer(fake: &Fake) {
    // With biases, grouped heads, norms of queries and keys, values of another type than they have.
    for (shape, recipe) in
        [("tiny-llama3", "Q8_0"), ("tiny-qwen2", "Q8_0"), ("tiny-qwen3", "Q8_0"), ("tiny-llama3", "Q4_K_M")]
    {
        let (path, n_layer) = of_recipe(shape, recipe);
        let model = on_gpu(&path).unwrap();
        let mut ctx = context(&model).unwrap();
        for pos in 0..2 {
            decode(&mut ctx, pos, 1).unwrap();
        }
        let before = fake.launches().len();
        decode(&mut ctx, 2, 1).unwrap();
        let names: Vec<String> = fake.launches()[before..].iter().map(|l| l.name.clone()).collect();
        // Besides the layers: the embedding, the table of angles, the first norm and the logits.
        assert_eq!(names.len(), 5 * n_layer + 4, "{shape} {recipe}: {names:?}");
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
    let (path, n_layer) = synthetic("tiny-llama3");
    let model = on_gpu(&path).unwrap();
    let mut ctx = context(&model).unwrap();
    decode(&mut ctx, 0, 40).unwrap();
    decode(&mut ctx, 40, 1).unwrap();
    for pos in 41..60 {
        let before = counters::read();
        decode(&mut ctx, pos, 1).unwrap();
        let done = counters::read() - before;
        let launch = 5 * n_layer as u64 + 4;
        let once = counters::Counters { launch, host_to_device: 1, ..Default::default() };
        assert_eq!(done, once);
    }
}

/// The CPU computes the first layers: the residual stream is one copy more, and nothing else is.
fn a_cut_model_copies_its_rows_in(fake: &Fake) {
    let (path, n_layer) = synthetic("tiny-qwen2");
    for n in 1..=n_layer + 1 {
        let model = cut(&path, Some(n)).unwrap();
        assert_eq!((model.n_gpu_layers(), model.device()), (n, Some(Device::Gpu(0))));
        let mut ctx = context(&model).unwrap();
        decode(&mut ctx, 0, 40).unwrap();
        decode(&mut ctx, 40, 1).unwrap();
        decode(&mut ctx, 41, 1).unwrap();
        let host_to_device = if n > n_layer { 1 } else { 2 };
        for pos in 42..50 {
            let (before, launches) = (counters::read(), fake.launches().len());
            decode(&mut ctx, pos, 1).unwrap();
            let done = counters::read() - before;
            // Five a layer and the logits; the table of angles and a first norm; and the embedding of all.
            let head = [2, 1][usize::from(n > 1)];
            let expected =
                5 * (n - 1).min(n_layer) + head + 2 * usize::from(n > 1) + usize::from(n > n_layer);
            assert_eq!(fake.launches().len() - launches, expected, "{n} layers");
            let launch = expected as u64;
            let once = counters::Counters { launch, host_to_device, ..Default::default() };
            assert_eq!(done, once, "{n} layers");
        }
        // A prompt, of which the rows of all tokens go over.
        let before = counters::read();
        decode(&mut ctx, 50, 40).unwrap();
        let done = counters::read() - before;
        let launch = done.launch;
        let once = counters::Counters { launch, host_to_device, ..Default::default() };
        assert_eq!(done, once, "{n} layers");
        // Keys are moved on both sides.
        ctx.seq_rm(0, 3..7).unwrap();
        ctx.seq_add(0, 7..i32::MAX, -4).unwrap();
        decode(&mut ctx, 86, 1).unwrap();
        let mut state = vec![0; ctx.state_size().unwrap()];
        ctx.state_get(&mut state).unwrap();
        context(&model).unwrap().state_set(&state).unwrap();
    }
}

/// How many layers fit is computed: what they take, byte by byte.
fn as_many_layers_as_fit(fake: &Fake) {
    for shape in ["tiny-llama3", "tiny-qwen2"] {
        let (path, n_layer) = synthetic(shape);
        let on_cpu = ModelParams { device: Device::Cpu, ..ModelParams::default() };
        let whole = Model::load(&path, on_cpu).unwrap();
        let (file, hp) = (whole.file(), whole.hparams().unwrap());
        let bytes = |wanted: &dyn Fn(&str) -> bool| {
            file.tensors().filter(|t| wanted(t.name)).map(|t| t.n_bytes()).sum::<usize>()
        };
        let is_tied = file.tensor("output.weight").is_none();
        let output = if is_tied { "token_embd." } else { "output." };
        let trained = hp.n_ctx_train.min(4096);
        let head = bytes(&|name| name.starts_with("output_norm.") || name.starts_with(output));
        // The embeddings come with the first layer, or are the output matrix.
        let need = |n: usize, n_ctx: usize| {
            let layers = n_layer - (n - 1).min(n_layer)..n_layer;
            let of = |il: usize| bytes(&|name| name.starts_with(&format!("blk.{il}.")));
            let cache = n_ctx * hp.n_head_kv[0] * (hp.head_dim_k + hp.head_dim_v) * 2;
            let all: usize = layers.map(|il| of(il) + cache).sum();
            let embeddings =
                if n > n_layer && !is_tied { bytes(&|name| name.starts_with("token_embd.")) } else { 0 };
            (512 << 20) + all + head + embeddings
        };
        let load =
            |device, fit_ctx| Model::load(&path, ModelParams { device, fit_ctx, ..ModelParams::default() });
        for n in 2..=n_layer + 1 {
            for (fit_ctx, n_ctx) in [(None, trained), (Some(64), 64), (Some(1000), 1024)] {
                for device in [Device::Auto, Device::Gpu(0)] {
                    fake.set_gpus(1, "sm_90", need(n, n_ctx));
                    let model = load(device, fit_ctx).unwrap();
                    assert_eq!(model.n_gpu_layers(), n, "{shape} {device} {n_ctx}");
                    decode(&mut context(&Arc::new(model)).unwrap(), 0, 40).unwrap();
                    fake.set_gpus(1, "sm_90", need(n, n_ctx) - 1);
                    match (n, device) {
                        (2, Device::Auto) => {
                            assert_eq!(load(device, fit_ctx).unwrap().device(), Some(Device::Cpu));
                        }
                        (2, _) => {
                            let e = load(device, fit_ctx).err().unwrap();
                            assert!(matches!(&e, Error::OutOfMemory(m) if m.contains("MiB are free")), "{e}");
                        }
                        _ => assert_eq!(load(device, fit_ctx).unwrap().n_gpu_layers(), n - 1),
                    }
                }
            }
        }
        // The GPU that has room for more is taken.
        fake.set_gpus(2, "sm_90", need(n_layer + 1, trained) + 100);
        assert_eq!(load(Device::Auto, None).unwrap().device(), Some(Device::Gpu(0)));
        let busy = on_gpu(&path).unwrap();
        let model = load(Device::Auto, None).unwrap();
        assert_eq!((model.device(), model.n_gpu_layers()), (Some(Device::Gpu(1)), n_layer + 1));
        drop((busy, model));
    }
}

/// Loads, prompts and generates, on the GPU or on both.
fn script() -> Result<()> {
    run_all(None)?;
    run_all(Some(2))
}

fn run_all(n_gpu_layers: Option<usize>) -> Result<()> {
    let model = load(ModelParams { device: Device::Gpu(0), n_gpu_layers, ..ModelParams::default() })?;
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
    // A GPU that is asked for is not replaced by the processor.
    let some = |device| ModelParams { device, n_gpu_layers: Some(1), ..ModelParams::default() };
    assert_eq!(load(some(Device::Auto)).unwrap().device(), Some(Device::Gpu(0)));
    fake.set_gpus(1, "gfx803", 4 << 30);
    assert!(load(some(Device::Auto)).is_err_and(|e| e.to_string().contains("gfx803")));
    fake.set_gpus(1, "sm_90", 4 << 30);

    let model = load(gpu(0)).unwrap();
    assert_eq!(model.device(), Some(Device::Gpu(0)));
    let mixed = ContextParams { n_ctx: 64, type_k: GgmlType::F32, ..ContextParams::default() };
    decode(&mut Context::new(model, mixed).unwrap(), 0, 40).unwrap();

    // Layers that are asked for and do not fit, and a context that does not, say what to do.
    fake.set_gpus(1, "sm_90", 1 << 20);
    let e = load(ModelParams { n_gpu_layers: Some(99), ..gpu(0) }).err().unwrap();
    assert!(
        matches!(&e, Error::OutOfMemory(m) if m.contains("weights") && m.contains("n_gpu_layers")),
        "{e}"
    );
    fake.set_gpus(1, "sm_90", 4 << 30);
    let model = load(gpu(0)).unwrap();
    let e = Context::new(model, ContextParams { n_ctx: 1 << 22, ..ContextParams::default() }).err().unwrap();
    assert!(matches!(&e, Error::OutOfMemory(m) if m.contains("cache") && m.contains("n_gpu_layers")), "{e}");

    // Left to itself, the library takes the GPU if the model fits, and else says why it does not.
    assert_eq!(load(ModelParams::default()).unwrap().device(), Some(Device::Gpu(0)));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let log = Log::new(Arc::new(move |_, line| kept.lock().unwrap().push(line.to_owned())));
    load(ModelParams { log: log.clone(), n_gpu_layers: Some(2), ..gpu(0) }).unwrap();
    let told = |what: &str| lines.lock().unwrap().iter().any(|l| l.contains(what));
    assert!(told("hip0 computes 2 of ") && told("cpu the embeddings"), "{lines:?}");
    fake.set_gpus(1, "sm_90", 1 << 20);
    let model = load(ModelParams { log, ..ModelParams::default() }).unwrap();
    assert_eq!((model.device(), model.n_gpu_layers()), (Some(Device::Cpu), 0));
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|l| l.contains("the CPU computes") && l.contains("MiB are free")), "{lines:?}");
}
