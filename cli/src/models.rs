//! Finding and loading models.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use indicatif::{ProgressBar, ProgressStyle};
use rocmforge::log::{Level, Log};
use rocmforge::{Model, ModelParams};

use crate::args::ComputeArgs;
use crate::failure::{Failure, Outcome};
use crate::{interrupt, output};

/// The model that is used when none is named.
const DEMO: &str = "demo.gguf";
/// The directory to look for it first.
const MODELS_ENV: &str = "ROCMFORGE_MODELS";

/// The model to use: the one named, else the demo model.
pub fn find(named: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_path_buf());
    }
    let places = demo_places();
    places.iter().find(|p| p.is_file()).cloned().ok_or_else(|| {
        let list: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        let list = list.join(", ");
        Failure::Failed(format!("no model is named (-m FILE) and the demo model is at none of: {list}"))
    })
}

fn demo_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(dir) = env::var_os(MODELS_ENV).filter(|d| !d.is_empty()) {
        places.push(PathBuf::from(dir).join(DEMO));
    }
    // The checkout this program was built in.
    if let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() {
        places.push(root.join("models").join(DEMO));
    }
    // An installation: PREFIX/bin/rocmforge and PREFIX/share/rocmforge.
    if let Ok(exe) = env::current_exe()
        && let Some(prefix) = exe.parent().and_then(Path::parent)
    {
        places.push(prefix.join("share").join("rocmforge").join(DEMO));
    }
    places
}

/// Log lines to standard error if `verbose`, else nowhere.
pub fn log(verbose: bool) -> Log {
    if !verbose {
        return Log::default();
    }
    Log::new(Arc::new(|level, line| match level {
        Level::Debug | Level::Info => output::note(line),
        Level::Warn => output::note(&format!("warning: {line}")),
        Level::Error => output::note(&format!("error: {line}")),
    }))
}

/// A progress bar of a thousand steps on standard error, if someone is watching.
pub fn bar(what: &'static str) -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(1000).with_prefix(what);
        match ProgressStyle::with_template("{prefix} [{bar:40}] {percent}%") {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    })
}

/// Loads a model to compute with, behind a progress bar if someone is watching. A GPU is left room for a context
/// of `n_ctx` tokens.
pub fn load(
    path: &Path,
    compute: &ComputeArgs,
    n_ctx: Option<usize>,
    log: Log,
    verbose: bool,
) -> Outcome<Arc<Model>> {
    // Log lines would tear the bar.
    let bar = if verbose { None } else { bar("loading") };
    let mut progress = |share: f32| {
        if let Some(bar) = &bar {
            bar.set_position((share * 1000.0) as u64);
        }
        !interrupt::requested()
    };
    let params = ModelParams {
        device: compute.device,
        n_gpu_layers: compute.n_gpu_layers.0,
        fit_ctx: n_ctx,
        no_mmap: compute.no_mmap,
        progress: Some(&mut progress),
        log,
        ..ModelParams::default()
    };
    let model = Model::load(path, params);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(Arc::new(model?))
}
