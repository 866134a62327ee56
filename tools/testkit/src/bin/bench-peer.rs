//! Ours and the peer, side by side in one run: prompt and generation speed on models of real
//! shapes with random weights.
//!
//! Each measurement is a process of its own, so that no thread of one engine spins while the
//! other runs, and the two alternate; the ratio is the median over pairs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use rocmforge::gguf::File;
use rocmforge_testkit::engine::{Engine, Item, Params};
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
    /// Threads of both.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measurements of each side.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Also measure ours with this many threads, on the first model; 0 leaves it out.
    #[arg(long, default_value_t = 8)]
    oversubscribed: usize,
    /// Measure one side on the first file of --files and print two times in seconds.
    #[arg(long, hide = true)]
    measure: Option<Side>,
}

/// Seconds for the prompt and for the generation.
#[derive(Clone, Copy)]
struct Times {
    pp: f64,
    tg: f64,
}

fn measure(engine: &mut dyn Engine, args: &Args) -> Result<Times, String> {
    let tokens = random_prompt(args.pp + args.tg, engine.n_vocab(), 1);
    let item = |i: usize| Item { token: tokens[i], pos: i as i32, seq: 0, logits: i + 1 >= args.pp };
    let prompt: Vec<Item> = (0..args.pp).map(item).collect();
    let mut times = Times { pp: 0.0, tg: 0.0 };
    // The first round warms up; it generates a little only.
    for n_generate in [4, args.tg] {
        engine.clear();
        let start = Instant::now();
        if !prompt.is_empty() {
            engine.decode(&prompt)?;
        }
        times.pp = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for i in 0..n_generate.min(args.tg) {
            engine.decode(&[item(args.pp + i)])?;
        }
        times.tg = start.elapsed().as_secs_f64();
    }
    Ok(times)
}

fn child(side: Side, args: &Args) -> Result<(), String> {
    let path = args.files.first().ok_or("--measure needs --files")?;
    let n_threads = args.threads;
    let params = Params { n_ubatch: 512, n_threads, ..Params::sequence(args.pp + args.tg + 64) };
    let times = match side {
        Side::Ours => measure(&mut Ours::context(&Ours::load(path)?, &params)?, args)?,
        Side::Peer => measure(&mut Peer::open()?.load_model(path)?.context(&params, None)?, args)?,
    };
    println!("{} {}", times.pp, times.tg);
    Ok(())
}

/// One measurement in a process of its own.
fn spawn(side: Side, path: &Path, threads: usize, args: &Args) -> Result<Times, String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let side = if side == Side::Ours { "ours" } else { "peer" };
    let out = Command::new(exe)
        .args(["--measure", side, "--threads", &threads.to_string()])
        .args(["--pp", &args.pp.to_string(), "--tg", &args.tg.to_string(), "--files"])
        .arg(path)
        .output()
        .map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(format!("{side}: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(pp), Some(tg)) => Ok(Times { pp, tg }),
        _ => Err(format!("{side} printed {text:?}")),
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    let n = v.len();
    if n == 0 { f64::NAN } else { 0.5 * (v[n / 2] + v[(n - 1) / 2]) }
}

/// Bytes of weights that generating one token reads: all matrices, and of a table of embeddings
/// that is not also the head, next to nothing.
fn bytes_per_token(path: &Path) -> Result<f64, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let tied = file.tensor("output.weight").is_none();
    let read = file.tensors().iter().filter(|t| tied || t.name != "token_embd.weight");
    Ok(read.map(|t| t.n_bytes() as f64).sum())
}

/// Read bandwidth of `n_threads` threads in GB/s: the best of ten passes over 512 MiB.
fn read_bandwidth(n_threads: usize) -> f64 {
    let words = vec![1u64; 64 << 20];
    let pass = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in words.chunks(words.len() / n_threads) {
                scope.spawn(move || std::hint::black_box(part.iter().fold(0u64, |a, b| a.wrapping_add(*b))));
            }
        });
        start.elapsed().as_secs_f64()
    };
    let best = (0..10).map(|_| pass()).fold(f64::INFINITY, f64::min);
    (words.len() * 8) as f64 / best / 1e9
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
    let roof = read_bandwidth(args.threads);
    println!("{} threads; read bandwidth {roof:.1} GB/s; {} pairs, medians", args.threads, args.pairs);
    println!("| model | test | ours t/s | peer t/s | ratio | ours GB/s | of bandwidth |");
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
        let bytes = bytes_per_token(path)?;
        type Seconds = fn(&Times) -> f64;
        let tests: [(&str, usize, Seconds); 2] = [("pp", args.pp, |t| t.pp), ("tg", args.tg, |t| t.tg)];
        for (test, n, time) in tests {
            if n == 0 {
                continue;
            }
            let ours = n as f64 / median(pairs.iter().map(|(o, _)| time(o)).collect());
            let peer = n as f64 / median(pairs.iter().map(|(_, p)| time(p)).collect());
            let ratio = median(pairs.iter().map(|(o, p)| time(p) / time(o)).collect());
            // A prompt reads each weight once for many tokens: bandwidth says nothing there.
            let (rate, share) = if test == "tg" {
                let rate = bytes * ours / 1e9;
                (format!("{rate:.1}"), format!("{:.0} %", 100.0 * rate / roof))
            } else {
                ("-".into(), "-".into())
            };
            println!("| {name} | {test}{n} | {ours:.1} | {peer:.1} | {ratio:.2} | {rate} | {share} |");
        }
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
            |time: fn(&Times) -> f64| 100.0 * median(pairs.iter().map(|(m, f)| time(f) / time(m)).collect());
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
