//! `rocmforge perplexity`: how surprised a model is by a text.
//!
//! The text is cut into pieces of the context's length, as llama.cpp's program of that name does,
//! and of each piece the tokens of the second half count, so that every one of them is foretold
//! from at least half a context.

use std::sync::Arc;

use clap::ArgMatches;
use rocmforge::kv::Pos;
use rocmforge::{Batch, Context, ContextParams, Token};

use crate::args::PerplexityArgs;
use crate::failure::{Failure, Outcome};
use crate::generate::context_params;
use crate::{interrupt, models, output, text};

/// Sums over the tokens that count.
#[derive(Default)]
struct Loss {
    n: usize,
    sum: f64,
    squares: f64,
}

impl Loss {
    /// Adds the negative log-likelihood of `token` under `logits`.
    fn add(&mut self, logits: &[f32], token: Token) {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|v| f64::from(v - max).exp()).sum();
        let loss = sum.ln() - f64::from(logits[token as usize] - max);
        self.n += 1;
        self.sum += loss;
        self.squares += loss * loss;
    }

    fn perplexity(&self) -> f64 {
        (self.sum / self.n as f64).exp()
    }

    /// The standard error of the perplexity.
    fn error(&self) -> f64 {
        if self.n < 2 {
            return f64::NAN;
        }
        let mean = self.sum / self.n as f64;
        let variance = (self.squares / self.n as f64 - mean * mean).max(0.0);
        (variance / (self.n - 1) as f64).sqrt() * self.perplexity()
    }
}

/// Runs the command.
pub fn run(args: &PerplexityArgs, matches: &ArgMatches) -> Outcome {
    let path = models::find(args.model.model.as_deref())?;
    let input = text::input(matches, ("prompt", args.prompt.as_ref()), args.file.as_ref())?;
    interrupt::install()?;
    let model = models::load(&path, &args.compute, Some(args.ctx_size), models::log(false), false)?;
    let vocab = model.vocab();
    let tokens = vocab.tokenize(&input.bytes, true, false)?;
    let n_ctx = args.ctx_size;
    if tokens.len() < 2 * n_ctx {
        return Err(Failure::Failed(format!(
            "the text has {} tokens; at least {} are needed for pieces of {n_ctx} (-c sets their length)",
            tokens.len(),
            2 * n_ctx
        )));
    }
    let pieces = tokens.len() / n_ctx;
    let pieces = args.chunks.map_or(pieces, |n| n.min(pieces));
    let params = ContextParams { n_ctx, ..context_params(&args.compute) };
    let mut context = Context::new(Arc::clone(&model), params)?;
    context.set_abort(Some(Box::new(interrupt::requested)));

    let mut loss = Loss::default();
    let mut batch = Batch::new(args.compute.batch_size.min(n_ctx), 1)?;
    let mut line = String::new();
    for (i, piece) in tokens.chunks_exact(n_ctx).take(pieces).enumerate() {
        context.clear();
        let first = n_ctx / 2;
        for (b, part) in piece.chunks(batch.capacity()).enumerate() {
            interrupt::check()?;
            let start = b * batch.capacity();
            batch.clear();
            for (j, &token) in part.iter().enumerate() {
                let at = start + j;
                // Each piece begins as a text does.
                let token = if at == 0 && vocab.add_bos() { vocab.bos().unwrap_or(token) } else { token };
                batch.add(token, at as Pos, &[0], at >= first && at + 1 < n_ctx)?;
            }
            context.decode(&batch)?;
            for at in (start..start + part.len()).filter(|&at| at >= first && at + 1 < n_ctx) {
                loss.add(context.logits((at - start) as i32)?, piece[at + 1]);
            }
        }
        line.clear();
        line += &format!("[{}]{:.4},", i + 1, loss.perplexity());
        output::write(line.as_bytes())?;
    }
    output::write(
        format!("\nFinal estimate: PPL = {:.4} +/- {:.5}\n", loss.perplexity(), loss.error()).as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perplexity_is_the_inverse_of_the_geometric_mean() {
        let mut loss = Loss::default();
        // Odds of 1:3 and of 1:1.
        loss.add(&[0.0, 3f32.ln()], 0);
        loss.add(&[5.0, 5.0], 1);
        assert!((loss.perplexity() - 8f64.sqrt()).abs() < 1e-6);
        // Losses ln 4 and ln 2: deviation ln(2)/2, standard error that over sqrt(2 - 1).
        assert!((loss.error() - 2f64.ln() / 2.0 * 8f64.sqrt()).abs() < 1e-6);
    }
}
