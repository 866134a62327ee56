//! The demo model on gfx1100 machine code, by every compiler that there is: the host side of the HIP backend, its launches
//! executed by the interpreter (`tools/gfx1100`). It writes what the processor writes.
//!
//! `--nocapture` prints what the kernels did: instructions by class, bytes, lines of memory a load, conflicts of LDS; beside
//! what they take of the machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use fake_hip::{Executed, Fake};
use rocmforge::backend::Device;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};
use rocmforge_gfx1100::Counters;
use rocmforge_kernels::machine::{Kernel, Tools};
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::parity::nmse;
use rocmforge_testkit::{gfx1100, root};

const PROMPT: &str = "Once upon a time, in a small house by the sea, there lived a girl who";
const N_GENERATE: usize = 32;

fn main() -> ExitCode {
    let mut tests = Tests::default();
    if let Some(compiler) = gfx1100::here() {
        tests.add("the_demo_model_writes_what_the_processor_writes", Ok(()), move || demo_model(&compiler));
        return tests.run();
    }
    for (name, compiler) in gfx1100::compilers() {
        let needs = compiler.as_ref().map(drop).map_err(String::clone);
        tests.add(format!("{name}::demo_model"), needs, move || {
            let kernels = gfx1100::kernels(name, &compiler.unwrap()).unwrap_or_else(|e| panic!("{e}"));
            let mut again = gfx1100::again(name, &kernels);
            let flags =
                std::env::args_os().skip(1).filter(|a| a.to_string_lossy().starts_with("--nocapture"));
            assert!(again.args(flags).status().unwrap().success(), "see above");
        });
    }
    tests.run()
}

/// Tokens that a device generates, and the logits of each step; of the tokens `forced` where there are any.
fn generate(device: Device, forced: &[i32]) -> (Vec<i32>, Vec<Vec<f32>>) {
    let params = ModelParams { device, ..ModelParams::default() };
    let model = Arc::new(Model::load(&root().join("models/demo.gguf"), params).unwrap());
    let prompt = model.vocab().tokenize(PROMPT.as_bytes(), true, true).unwrap();
    let mut ctx = Context::new(model, ContextParams { n_ctx: 256, ..ContextParams::default() }).unwrap();
    let mut batch = Batch::new(256, 1).unwrap();
    for (i, &id) in prompt.iter().enumerate() {
        batch.add(id, i as i32, &[0], i + 1 == prompt.len()).unwrap();
    }
    let (mut tokens, mut logits) = (Vec::new(), Vec::new());
    for i in 0..N_GENERATE {
        ctx.decode(&batch).unwrap();
        let row = ctx.logits(-1).unwrap();
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as i32;
        logits.push(row.to_vec());
        tokens.push(best);
        batch.clear();
        let next = forced.get(i).copied().unwrap_or(best);
        batch.add(next, (prompt.len() + i) as i32, &[0], true).unwrap();
    }
    (tokens, logits)
}

fn demo_model(compiler: &str) {
    let fake = Fake::open();
    let profile = harness::notes();
    fake.execute(true, profile);
    let (want, want_logits) = generate(Device::Cpu, &[]);
    let start = Instant::now();
    let (tokens, logits) = generate(Device::Gpu(0), &want);
    let seconds = start.elapsed().as_secs_f64();
    let errors = want_logits.iter().zip(&logits).map(|(want, got)| nmse(got, want));
    let worst = errors.fold(0.0, f64::max);
    let counters = fake.counters();
    let mut all = Counters::default();
    counters.iter().for_each(|e| all.add(&e.counters));
    harness::note(format_args!(
        "demo model by {compiler}: {N_GENERATE} tokens in {seconds:.1} s, {} instructions of waves, {:.1} million a second, \
         normalised error at most {worst:.1e}",
        all.total(),
        all.rate()
    ));
    if profile {
        print_table(&counters);
    }
    assert_eq!(tokens, want, "the tokens of the processor");
    assert!(worst < 1e-3, "logits differ by {worst}");
    assert!(all.total() > 0);
}

/// What kernels did, beside what they take: registers, LDS, waves that a SIMD holds, and instructions of their code.
fn print_table(executed: &[Executed]) {
    let folder = std::env::var("ROCMFORGE_KERNELS").unwrap_or_default();
    let kernels = Tools::find().and_then(|tools| taken(Path::new(&folder), &tools)).unwrap_or_else(|e| {
        println!("what kernels take is not known: {e}");
        Vec::new()
    });
    let mut sums: BTreeMap<(String, String), Counters> = BTreeMap::new();
    for e in executed {
        let unit = kernels.iter().find(|(_, object, _)| object.starts_with(&e.image));
        let unit = unit.map_or("?", |(unit, ..)| unit);
        sums.entry((unit.into(), e.kernel.clone())).or_default().add(&e.counters);
    }
    println!("{:<18} {:<22} vgprs    lds waves   code {}", "unit", "kernel", Counters::heads());
    for ((unit, kernel), counters) in sums {
        let mut all = kernels.iter().filter(|(u, ..)| *u == unit).flat_map(|(.., kernels)| kernels);
        let taken = all.find(|k| k.name == kernel).cloned().unwrap_or_default();
        let Kernel { vgprs, lds, instructions, .. } = taken;
        let waves = taken.waves_per_simd();
        println!(
            "{unit:<18} {kernel:<22} {vgprs:>5} {lds:>6} {waves:>5} {instructions:>6} {}",
            counters.row()
        );
    }
}

/// A unit's name, code object and kernels.
type Taken = (String, Vec<u8>, Vec<Kernel>);

/// The units of a folder.
fn taken(folder: &Path, tools: &Tools) -> Result<Vec<Taken>, String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(unit) = name.strip_suffix(".gfx1100.co") else { continue };
        all.push((unit.to_owned(), std::fs::read(&path).map_err(|e| e.to_string())?, tools.read(&path)?));
    }
    Ok(all)
}
