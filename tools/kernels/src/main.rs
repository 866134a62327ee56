//! Compile the kernels into a folder that `ROCMFORGE_KERNELS` can name.

use std::path::PathBuf;
use std::process::ExitCode;

use rocmforge_kernels::{Compiler, TARGETS, Unit, Wanted, build, sources, units};

const USAGE: &str =
    "usage: kernels OUT [--compiler any|clang|zig|nvcc] [--target NAME].. [--unit NAME].. [--sources DIR]

Compile every unit for every AMD target (or those named) into OUT/{unit}.{target}.co. What has not
changed since is taken from OUT/cache. The compiler (any): ROCMFORGE_CLANG, else a clang, else zig's.";

fn run() -> Result<(), String> {
    let mut out = None;
    let mut compiler = String::from("any");
    let (mut targets, mut names) = (Vec::new(), Vec::new());
    let mut folder = sources();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--compiler" => compiler = value()?,
            "--target" => targets.push(value()?),
            "--unit" => names.push(value()?),
            "--sources" => folder = PathBuf::from(value()?),
            _ if out.is_none() && !word.starts_with('-') => out = Some(PathBuf::from(&word)),
            _ => return Err(USAGE.into()),
        }
    }
    let out = out.ok_or(USAGE)?;
    let compiler = match compiler.as_str() {
        "any" => Compiler::find()?,
        "clang" => Compiler::find_clang()?,
        "zig" => Compiler::find_zig()?,
        "nvcc" => Compiler::find_nvcc()?,
        _ => return Err(USAGE.into()),
    };
    if targets.is_empty() {
        targets = TARGETS.iter().map(|t| t.to_string()).collect();
    }
    let mut chosen: Vec<Unit> = units(&folder)?;
    chosen.retain(|u| names.is_empty() || names.contains(&u.name()));
    if let Some(missing) = names.iter().find(|n| chosen.iter().all(|u| u.name() != **n)) {
        return Err(format!("there is no unit \"{missing}\""));
    }
    let started = std::time::Instant::now();
    let built = build(
        &compiler,
        &Wanted {
            sources: &folder,
            units: &chosen,
            targets: &targets.iter().map(String::as_str).collect::<Vec<_>>(),
            cache: Some(&out.join("cache")),
            out: &out,
            n_jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
        },
    )?;
    eprintln!(
        "{}: {} code objects, {:.1} s",
        compiler.version(),
        built.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
