//! `rocmforge bench`: how fast a model computes a prompt (pp) and generates (tg), as llama-bench
//! measures it: from an empty cache, on arbitrary tokens, after a warm-up.

use std::sync::Arc;
use std::time::Instant;

use rocmforge::kv::Pos;
use rocmforge::log::Log;
use rocmforge::{Batch, Context, ContextParams, Token};

use crate::args::BenchArgs;
use crate::failure::{Failure, Outcome};
use crate::generate::context_params;
use crate::report::{Report, Test};
use crate::{bandwidth, interrupt, models, output};

/// Tokens that warm generation up: the graph of one token is compiled, and all weights read.
const WARM_UP: usize = 2;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Outcome {
    if args.n_prompt == 0 && args.n_gen == 0 {
        return Err(Failure::Usage("nothing to measure: both -p and -n are 0".into()));
    }
    let path = models::find(args.model.model.as_deref())?;
    interrupt::install()?;
    let n_ctx = args.n_prompt.max(args.n_gen).max(WARM_UP);
    let model = models::load(&path, &args.compute, Some(n_ctx), Log::default(), false)?;
    let params = ContextParams { n_ctx, ..context_params(&args.compute) };
    let mut context = Context::new(Arc::clone(&model), params)?;
    context.set_abort(Some(Box::new(interrupt::requested)));
    let params = context.params().clone();

    let n_batch = params.n_batch.min(args.n_prompt).max(1);
    let mut bench = Bench { batch: Batch::new(n_batch, 1)?, n_vocab: context.n_vocab(), context };
    let mut report = Report {
        model: model.description(),
        n_bytes: model.n_bytes(),
        n_params: model.n_params(),
        bytes_per_token: model.bytes_per_token(),
        backend: model.backend().unwrap_or_default(),
        n_threads: params.n_threads,
        n_threads_batch: params.n_threads_batch,
        n_batch: params.n_batch,
        n_ubatch: params.n_ubatch,
        type_k: params.type_k.name(),
        type_v: params.type_v.name(),
        bandwidth: bandwidth::measure(params.n_threads)?,
        tests: Vec::new(),
    };
    output::write(report.head(args.output).as_bytes())?;
    if args.n_prompt > 0 {
        bench.prompt(args.n_prompt)?;
        let rates = rates(args.repetitions, args.n_prompt, || bench.prompt(args.n_prompt))?;
        report.tests.push(Test { n_prompt: args.n_prompt, n_gen: 0, rates });
        output::write(report.row(args.output).as_bytes())?;
    }
    if args.n_gen > 0 {
        bench.generation(WARM_UP.min(args.n_gen))?;
        let rates = rates(args.repetitions, args.n_gen, || bench.generation(args.n_gen))?;
        report.tests.push(Test { n_prompt: 0, n_gen: args.n_gen, rates });
        output::write(report.row(args.output).as_bytes())?;
    }
    output::write(report.tail(args.output).as_bytes())
}

/// Tokens per second of each of `n` calls of `work`, which computes `n_tokens`.
fn rates(n: u32, n_tokens: usize, mut work: impl FnMut() -> Outcome) -> Outcome<Vec<f64>> {
    (0..n)
        .map(|_| {
            let start = Instant::now();
            work()?;
            Ok(n_tokens as f64 / start.elapsed().as_secs_f64())
        })
        .collect()
}

struct Bench {
    context: Context,
    batch: Batch,
    n_vocab: usize,
}

impl Bench {
    /// Computes a prompt of `n` tokens, and the logits of the last.
    fn prompt(&mut self, n: usize) -> Outcome {
        self.context.clear();
        for first in (0..n).step_by(self.batch.capacity()) {
            self.decode(first, self.batch.capacity().min(n - first), n)?;
        }
        Ok(())
    }

    /// Computes `n` tokens one after the other, and the logits of each.
    fn generation(&mut self, n: usize) -> Outcome {
        self.context.clear();
        (0..n).try_for_each(|pos| self.decode(pos, 1, pos + 1))
    }

    /// Computes `n` tokens from position `first` on, and the logits of position `end - 1`.
    fn decode(&mut self, first: usize, n: usize, end: usize) -> Outcome {
        interrupt::check()?;
        self.batch.clear();
        for pos in first..first + n {
            let token = arbitrary(pos, self.n_vocab);
            let at = Pos::try_from(pos).map_err(|_| Failure::Failed("too many tokens".into()))?;
            self.batch.add(token, at, &[0], pos + 1 == end)?;
        }
        Ok(self.context.decode(&self.batch)?)
    }
}

/// Some token for each position, spread over the vocabulary (Knuth's multiplicative hash).
fn arbitrary(pos: usize, n_vocab: usize) -> Token {
    let hash = (pos as u32 + 1).wrapping_mul(2_654_435_761);
    (u64::from(hash) % n_vocab.max(1) as u64) as Token
}
