//! Many units, beside each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::compiler::Compiler;
use crate::units::Unit;

/// What to compile.
pub struct Wanted<'a> {
    /// The folder of the sources and of the headers they include.
    pub sources: &'a Path,
    /// Units and targets: each of the one for each of the other.
    pub units: &'a [Unit],
    /// The targets.
    pub targets: &'a [&'a str],
    /// Where results are kept and found again, by what they were made of.
    pub cache: Option<&'a Path>,
    /// Where results go: `{unit}.{target}.co`.
    pub out: &'a Path,
    /// Compilers run at a time.
    pub n_jobs: usize,
}

/// One code object.
#[derive(Clone, Debug)]
pub struct Built {
    /// What it was made of.
    pub unit: Unit,
    /// Its target.
    pub target: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Compile what is wanted. The results in the order of units, then targets; or the first failure.
pub fn build(compiler: &Compiler, wanted: &Wanted) -> Result<Vec<Built>, String> {
    let io = |path: &Path| {
        let name = path.display().to_string();
        move |e: std::io::Error| format!("{name}: {e}")
    };
    for folder in [Some(wanted.out), wanted.cache].into_iter().flatten() {
        fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let headers = headers(wanted.sources)?;
    let jobs: Vec<Built> = wanted
        .units
        .iter()
        .flat_map(|unit| {
            wanted.targets.iter().map(|target| Built {
                unit: unit.clone(),
                target: target.to_string(),
                path: wanted.out.join(format!("{}.{target}.co", unit.name())),
            })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<String>> = Mutex::new(None);
    let work = || -> Result<(), String> {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let source = wanted.sources.join(format!("{}.hip", job.unit.source));
            let text = fs::read(&source).map_err(io(&source))?;
            let mut key = Sha256::new();
            for part in [
                compiler.identity().as_bytes(),
                job.target.as_bytes(),
                job.unit.name().as_bytes(),
                &text,
                &headers,
            ] {
                key.update((part.len() as u64).to_le_bytes());
                key.update(part);
            }
            let kept = wanted.cache.map(|c| c.join(format!("{:x}", key.finalize())));
            if let Some(kept) = kept.as_ref().filter(|k| k.exists()) {
                fs::copy(kept, &job.path).map_err(io(&job.path))?;
                continue;
            }
            // Under another name first: who reads meanwhile, or is interrupted, sees all or nothing.
            let part = unfinished(&job.path);
            compiler.compile(wanted.sources, &job.unit, &job.target, &part)?;
            if let Some(kept) = kept {
                let kept_part = unfinished(&kept);
                fs::copy(&part, &kept_part).map_err(io(&kept_part))?;
                fs::rename(&kept_part, &kept).map_err(io(&kept))?;
            }
            fs::rename(&part, &job.path).map_err(io(&job.path))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..wanted.n_jobs.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                if let Err(e) = work() {
                    next.store(jobs.len(), Ordering::Relaxed);
                    if let Ok(mut first) = failure.lock() {
                        first.get_or_insert(e);
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(None) => Ok(jobs),
        Ok(Some(e)) => Err(e),
        Err(_) => Err("a compiling thread died".into()),
    }
}

/// A name for `path` until it is whole, which nobody else uses.
fn unfinished(path: &Path) -> PathBuf {
    static SERIAL: AtomicUsize = AtomicUsize::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{serial}.part", std::process::id()))
}

/// All headers of the folder: any of them may be included by any source.
fn headers(folder: &Path) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for path in files(folder, "h")? {
        all.extend(fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
        all.push(0);
    }
    Ok(all)
}

/// Every unit of the sources in a folder, in the order of names.
pub fn units(folder: &Path) -> Result<Vec<Unit>, String> {
    let mut all = Vec::new();
    for path in files(folder, "hip")? {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name =
            path.file_stem().and_then(|n| n.to_str()).ok_or(format!("{}: not a name", path.display()))?;
        all.extend(Unit::of(name, &text));
    }
    Ok(all)
}

/// The files of a folder with an extension, in the order of their names.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let error = |e: std::io::Error| format!("{}: {e}", folder.display());
    let entries = fs::read_dir(folder).map_err(error)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(error)?;
    paths.retain(|p| p.extension().is_some_and(|e| e == extension));
    paths.sort();
    Ok(paths)
}
