//! Ours and the peer, side by side in one run: prompt and generation speed, load time and memory on
//! models of real shapes with random weights, and the share of this machine's limits that is reached.
//!
//! Each measurement is a process of its own, so that no thread of one engine spins while the
//! other runs, and the two alternate; the ratio is the median over pairs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use rocmforge::backend::Device;
use rocmforge::gguf::{File, TensorInfo};
use rocmforge::{ModelParams, counters};
use rocmforge_testkit::engine::{Engine, Item, Params};
use rocmforge_testkit::limits;
use rocmforge_testkit::ours::Ours;
use rocmforge_testkit::peer::Peer;
use rocmforge_testkit::reference::random_prompt;
use rocmforge_testkit::synth::{self, Options, Recipe, Shape};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Ours,
    Peer,
}

/// Measure librocmforge beside the reference peer.
#[derive(Parser)]
struct Args {
    /// Shapes.
    #[arg(long, value_delimiter = ',', default_value = "qwen2-0.5b,tinyllama-1.1b")]
    models: Vec<String>,
    /// Types.
    #[arg(long, value_delimiter = ',', default_value = "Q4_0,Q4_K_M")]
    types: Vec<String>,
    /// Model files to measure in place of shapes and types.
    #[arg(long, value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 256)]
    pp: usize,
    /// Tokens generated.
    #[arg(long, default_value_t = 64)]
    tg: usize,
    /// Tokens in the cache before those generated.
    #[arg(long, default_value_t = 0)]
    depth: usize,
    /// Threads of both.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measurements of each side.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Also measure ours with this many threads, on the first model; 0 leaves it out.
    #[arg(long, default_value_t = 8)]
    oversubscribed: usize,
    /// Where ours computes: cpu or hip0. The peer computes on the GPU if it was built for one.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Also generate for this many sequences at once; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    sequences: usize,
    /// Ours copies the weights into memory in place of mapping the file.
    #[arg(long)]
    no_mmap: bool,
    /// Measure one side on the first file of --files and print the numbers.
    #[arg(long, hide = true)]
    measure: Option<Side>,
}

/// What one process measured.
#[derive(Clone, Copy)]
struct Sample {
    /// Seconds to load the model, its file in the page cache.
    load: f64,
    /// Seconds for the prompt.
    pp: f64,
    /// Seconds for the generation.
    tg: f64,
    /// Seconds for the generation of many sequences.
    many: f64,
    /// Bytes resident after the load and a first run, pages of the mapped file included.
    resident: f64,
    /// Kernels that ours starts on a GPU for a token, and for one of each of many sequences.
    launches: [f64; 2],
}

impl Sample {
    fn numbers(self) -> [f64; 7] {
        let [one, many] = self.launches;
        [self.load, self.pp, self.tg, self.many, self.resident, one, many]
    }

    fn parse(text: &str) -> Option<Sample> {
        let numbers: Vec<f64> = text.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let &[load, pp, tg, many, resident, one, of_many] = &numbers[..] else { return None };
        Some(Sample { load, pp, tg, many, resident, launches: [one, of_many] })
    }
}

fn measure(engine: &mut dyn Engine, load: f64, args: &Args) -> Result<Sample, String> {
    let tokens = random_prompt(args.pp.max(args.depth + args.tg), engine.n_vocab(), 1);
    let item = |i: usize, logits: bool| Item { token: tokens[i], pos: i as i32, seq: 0, logits };
    let prompt = |n: usize| (0..n).map(|i| item(i, i + 1 == n)).collect::<Vec<_>>();
    let mut sample = Sample { load, pp: 0.0, tg: 0.0, many: 0.0, resident: 0.0, launches: [0.0; 2] };
    // The first round warms up; it generates a little only.
    for n_generate in [4, args.tg] {
        engine.clear();
        let start = Instant::now();
        if args.pp > 0 {
            engine.run(&prompt(args.pp))?;
        }
        sample.pp = start.elapsed().as_secs_f64();
        engine.clear();
        if args.depth > 0 {
            engine.run(&prompt(args.depth))?;
        }
        let before = counters::read();
        let start = Instant::now();
        for i in 0..n_generate.min(args.tg) {
            engine.run(&[item(args.depth + i, true)])?;
        }
        sample.tg = start.elapsed().as_secs_f64();
        sample.launches[0] = (counters::read() - before).launch as f64 / n_generate.min(args.tg) as f64;
    }
    sample.resident = resident()?;
    Ok(sample)
}

/// Seconds for `args.tg` steps of all sequences, and what a step launches.
fn measure_many(engine: &mut dyn Engine, args: &Args) -> Result<[f64; 2], String> {
    let tokens = random_prompt(args.tg + args.sequences, engine.n_vocab(), 2);
    let item = |seq: usize, pos: usize| Item {
        token: tokens[pos + seq],
        pos: pos as i32,
        seq: seq as i32,
        logits: true,
    };
    let mut measured = [0.0; 2];
    for n_generate in [4, args.tg] {
        engine.clear();
        let before = counters::read();
        let start = Instant::now();
        for pos in 0..n_generate.min(args.tg) {
            engine.run(&(0..args.sequences).map(|seq| item(seq, pos)).collect::<Vec<_>>())?;
        }
        let seconds = start.elapsed().as_secs_f64();
        measured = [seconds, (counters::read() - before).launch as f64 / n_generate.min(args.tg) as f64];
    }
    Ok(measured)
}

/// Bytes of this process in memory.
fn resident() -> Result<f64, String> {
    let status =
        std::fs::read_to_string("/proc/self/status").map_err(|e| format!("/proc/self/status: {e}"))?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map(|kib: f64| kib * 1024.0).ok_or_else(|| "/proc/self/status has no VmRSS".into())
}

fn child(side: Side, args: &Args) -> Result<(), String> {
    let path = args.files.first().ok_or("--measure needs --files")?;
    let n_threads = args.threads;
    let params =
        Params { n_ubatch: 512, n_threads, ..Params::sequence(args.pp.max(args.depth + args.tg) + 64) };
    let n_ctx = args.sequences * (args.tg + 16);
    let many = Params { n_seq_max: args.sequences, kv_unified: false, ..Params { n_ctx, ..params } };
    let start = Instant::now();
    let elapsed = || start.elapsed().as_secs_f64();
    let mut sample;
    match side {
        Side::Ours => {
            let model = Ours::load_with(
                path,
                ModelParams { device: args.device, no_mmap: args.no_mmap, ..ModelParams::default() },
            )?;
            let load = elapsed();
            sample = measure(&mut Ours::context(&model, &params)?, load, args)?;
            if args.sequences > 0 {
                [sample.many, sample.launches[1]] = measure_many(&mut Ours::context(&model, &many)?, args)?;
            }
        }
        Side::Peer => {
            let model = Peer::open()?.load_model(path)?;
            let load = elapsed();
            sample = measure(&mut model.context(&params, None)?, load, args)?;
            if args.sequences > 0 {
                [sample.many, _] = measure_many(&mut model.context(&many, None)?, args)?;
            }
        }
    };
    println!("{}", sample.numbers().map(|n| n.to_string()).join(" "));
    Ok(())
}

/// One measurement in a process of its own.
fn spawn(side: Side, path: &Path, threads: usize, args: &Args) -> Result<Sample, String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let side = if side == Side::Ours { "ours" } else { "peer" };
    let out = Command::new(exe)
        .args(["--measure", side, "--threads", &threads.to_string()])
        .args(["--pp", &args.pp.to_string(), "--tg", &args.tg.to_string()])
        .args(["--depth", &args.depth.to_string(), "--files"])
        .arg(path)
        .args(["--sequences", &args.sequences.to_string(), "--device", &args.device.to_string()])
        .args(args.no_mmap.then_some("--no-mmap"))
        .output()
        .map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(format!("{side}: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    Sample::parse(&text).ok_or_else(|| format!("{side} printed {text:?}"))
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    let n = v.len();
    if n == 0 { f64::NAN } else { 0.5 * (v[n / 2] + v[(n - 1) / 2]) }
}

/// The part of each tensor that one token uses: of experts, those it is sent to.
fn used(file: &File) -> Result<impl Fn(&TensorInfo<'_>) -> f64 + use<>, String> {
    let arch = file.need_str("general.architecture").map_err(|e| e.to_string())?;
    let number = |key: &str| file.u32(&format!("{arch}.{key}")).map_err(|e| e.to_string());
    let share = match (number("expert_used_count")?, number("expert_count")?) {
        (Some(used), Some(all)) if all > 0 => used as f64 / all as f64,
        _ => 1.0,
    };
    Ok(move |t: &TensorInfo<'_>| if t.name.contains("_exps.") { share } else { 1.0 })
}

/// Bytes of weights that generating one token reads: all matrices, of experts those used, and of
/// a table of embeddings that is not also the head, next to nothing.
fn bytes_per_token(path: &Path) -> Result<f64, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let tied = file.tensor("output.weight").is_none();
    let used = used(&file)?;
    let read = file.tensors().filter(|t| tied || t.name != "token_embd.weight");
    Ok(read.map(|t| t.n_bytes() as f64 * used(&t)).sum())
}

/// Operations of the weight products of a prompt's token: two for each weight of the layers that
/// the token uses. The table of embeddings and the head, which runs for the last token only, are
/// left out.
fn operations_per_token(path: &Path) -> Result<f64, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let layers = file.tensors().filter(|t| t.name.starts_with("blk.") && t.n_dims > 1);
    let used = used(&file)?;
    Ok(layers.map(|t| 2.0 * t.n_elements() as f64 * used(&t)).sum())
}

/// The files to measure, made where they are not there yet.
fn files(args: &Args) -> Result<Vec<PathBuf>, String> {
    if !args.files.is_empty() {
        return Ok(args.files.clone());
    }
    let dir = rocmforge_testkit::root().join("target/bench-models");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut out = Vec::new();
    for model in &args.models {
        let shape = Shape::named(model).ok_or_else(|| format!("no shape \"{model}\""))?;
        for ty in &args.types {
            let recipe = Recipe::named(ty).ok_or_else(|| format!("no type \"{ty}\""))?;
            let path = dir.join(format!("{model}-{}.gguf", recipe.name()));
            if !path.is_file() {
                eprintln!("writing {}", path.display());
                let options = Options { recipe, seed: 1, vocab_from: None };
                synth::write(&path, shape, &options).map_err(|e| e.to_string())?;
            }
            out.push(path);
        }
    }
    Ok(out)
}

fn run(args: &Args) -> Result<(), String> {
    Peer::open()?;
    let files = files(args)?;
    let (bandwidth, peak) = match args.device {
        Device::Cpu => (limits::read_bandwidth(args.threads), limits::int8_peak(args.threads)),
        Device::Gpu(index) => (limits::gpu_read_bandwidth(index)?, None),
        Device::Auto => return Err("--device auto says not what to compare with; name cpu or hip0".into()),
    };
    let dots = peak.map_or("not measured".into(), |p| format!("{:.0} GOPS", p / 1e9));
    println!(
        "{}, {} threads; reads {:.1} GB/s; 8-bit dot products {dots}; {} pairs, medians",
        args.device,
        args.threads,
        bandwidth / 1e9,
        args.pairs
    );
    println!("| model | test | ours | peer | ratio | ours uses | of the limit |");
    println!("|---|---|---|---|---|---|---|");
    for path in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let pairs = (0..args.pairs)
            .map(|_| {
                Ok((
                    spawn(Side::Ours, path, args.threads, args)?,
                    spawn(Side::Peer, path, args.threads, args)?,
                ))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let ours = |value: fn(&Sample) -> f64| median(pairs.iter().map(|(o, _)| value(o)).collect());
        let peer = |value: fn(&Sample) -> f64| median(pairs.iter().map(|(_, p)| value(p)).collect());
        let ratio =
            |value: fn(&Sample) -> f64| median(pairs.iter().map(|(o, p)| value(p) / value(o)).collect());
        let share = |used: f64, roof: f64| format!("{:.0} %", 100.0 * used / roof);
        let launches = |value: fn(&Sample) -> f64| match args.device {
            Device::Gpu(_) => format!(", {:.0} launches", ours(value)),
            _ => String::new(),
        };
        if args.pp > 0 {
            let speed = |seconds| args.pp as f64 / seconds;
            let used = operations_per_token(path)? * speed(ours(|s| s.pp));
            let share = peak.map_or("-".into(), |peak| share(used, peak));
            println!(
                "| {name} | pp{} | {:.1} t/s | {:.1} t/s | {:.2} | {:.0} GOPS | {share} |",
                args.pp,
                speed(ours(|s| s.pp)),
                speed(peer(|s| s.pp)),
                ratio(|s| s.pp),
                used / 1e9
            );
        }
        if args.tg > 0 {
            let speed = |seconds| args.tg as f64 / seconds;
            let used = bytes_per_token(path)? * speed(ours(|s| s.tg));
            let deep = if args.depth > 0 { format!(" @ d{}", args.depth) } else { String::new() };
            println!(
                "| {name} | tg{}{deep} | {:.1} t/s | {:.1} t/s | {:.2} | {:.1} GB/s{} | {} |",
                args.tg,
                speed(ours(|s| s.tg)),
                speed(peer(|s| s.tg)),
                ratio(|s| s.tg),
                used / 1e9,
                launches(|s| s.launches[0]),
                share(used, bandwidth)
            );
        }
        if args.sequences > 0 {
            let n = args.sequences;
            let speed = |seconds| (n * args.tg) as f64 / seconds;
            let used = bytes_per_token(path)? * speed(ours(|s| s.many)) / n as f64;
            println!(
                "| {name} | {n} x tg{} | {:.1} t/s | {:.1} t/s | {:.2} | {:.1} GB/s{} | {} |",
                args.tg,
                speed(ours(|s| s.many)),
                speed(peer(|s| s.many)),
                ratio(|s| s.many),
                used / 1e9,
                launches(|s| s.launches[1]),
                share(used, bandwidth)
            );
        }
        let load = |s: &Sample| 1e3 * s.load;
        let resident = |s: &Sample| s.resident / 1e6;
        println!(
            "| {name} | load | {:.0} ms | {:.0} ms | {:.2} | - | - |",
            ours(load),
            peer(load),
            ratio(load)
        );
        println!(
            "| {name} | resident | {:.0} MB | {:.0} MB | {:.2} | - | - |",
            ours(resident),
            peer(resident),
            ratio(resident)
        );
        let _ = std::io::stdout().flush();
    }
    if let Some(path) = files.first().filter(|_| args.oversubscribed > 0) {
        let pairs = (0..args.pairs)
            .map(|_| {
                let many = spawn(Side::Ours, path, args.oversubscribed, args)?;
                Ok((many, spawn(Side::Ours, path, args.threads, args)?))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let share =
            |time: fn(&Sample) -> f64| 100.0 * median(pairs.iter().map(|(m, f)| time(f) / time(m)).collect());
        println!(
            "\n{}: ours with {} threads reaches {:.0} % (prompt) and {:.0} % (generation) of ours with {}",
            path.file_stem().unwrap_or_default().to_string_lossy(),
            args.oversubscribed,
            share(|t| t.pp),
            share(|t| t.tg),
            args.threads
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.measure {
        Some(side) => child(side, &args),
        None => run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench-peer: {e}");
            ExitCode::FAILURE
        }
    }
}
