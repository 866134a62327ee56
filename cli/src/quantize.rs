//! `rocmforge quantize`: a smaller model out of a large one. Arguments come in the order of
//! llama.cpp's program: IN, perhaps OUT, TYPE, perhaps the number of threads.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rocmforge::quantize::{Imatrix, Mixture, QuantizeParams, quantize};

use crate::args::QuantizeArgs;
use crate::failure::{Failure, Outcome};
use crate::{interrupt, models, output};

/// What the arguments without a flag say.
#[derive(Debug, PartialEq)]
struct Job {
    input: PathBuf,
    output: PathBuf,
    mixture: Mixture,
    n_threads: Option<usize>,
}

fn job(args: &QuantizeArgs) -> Outcome<Job> {
    let text = |i: usize| args.files.get(i).map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    let input = PathBuf::from(&args.files[0]);
    // The second argument is the type if it is one, so a file of such a name needs a directory.
    let (output, mixture, rest) = match Mixture::parse(&text(1)) {
        Some(mixture) => {
            let name = format!("ggml-model-{}.gguf", mixture.name());
            (input.parent().unwrap_or(Path::new("")).join(name), mixture, 2)
        }
        None => {
            let mixture = Mixture::parse(&text(2)).ok_or_else(|| {
                let wrong = if args.files.len() > 2 { text(2) } else { text(1) };
                Failure::Usage(format!("'{wrong}' is no type; --help lists them"))
            })?;
            (PathBuf::from(&args.files[1]), mixture, 3)
        }
    };
    let n_threads = match args.files.len().checked_sub(rest) {
        Some(0) | None => None,
        Some(1) => Some(
            text(rest)
                .parse()
                .map_err(|_| Failure::Usage(format!("'{}' is no number of threads", text(rest))))?,
        ),
        Some(_) => return Err(Failure::Usage(format!("unexpected argument '{}'", text(rest + 1)))),
    };
    Ok(Job { input, output, mixture, n_threads })
}

/// Runs the command.
pub fn run(args: &QuantizeArgs) -> Outcome {
    let job = job(args)?;
    interrupt::install()?;
    let imatrix = args.imatrix.as_deref().map(Imatrix::open).transpose()?;
    let params = QuantizeParams {
        imatrix: imatrix.as_ref(),
        output_tensor_type: args.output_tensor_type,
        token_embedding_type: args.token_embedding_type,
        pure: args.pure,
        leave_output_tensor: args.leave_output_tensor,
        allow_requantize: args.allow_requantize,
        n_threads: job.n_threads.unwrap_or(args.threads),
        log: models::log(args.verbose),
        ..QuantizeParams::new(job.mixture)
    };
    let bar = if args.verbose { None } else { models::bar("quantising") };
    let mut progress = |share: f32| {
        if let Some(bar) = &bar {
            bar.set_position((share * 1000.0) as u64);
        }
        !interrupt::requested()
    };
    let start = Instant::now();
    let done = quantize(&job.input, &job.output, &params, Some(&mut progress));
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let done = done?;
    let line = format!(
        "{}: {}, {} of weights from {} in {:.1} s\n",
        job.output.display(),
        job.mixture.name(),
        output::bytes(done.n_bytes_out),
        output::bytes(done.n_bytes_in),
        start.elapsed().as_secs_f64()
    );
    output::write(line.as_bytes())?;
    if done.n_fallback > 0 {
        output::note(&format!(
            "{} tensors have another type, because their rows do not fit (--verbose names them)",
            done.n_fallback
        ));
    }
    Ok(())
}
