//! `rocmforge generate`: continues a text, and prints it as it is made.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use rocmforge::chat::{Message, Template};
use rocmforge::kv::Pos;
use rocmforge::sampler::Chain;
use rocmforge::tokenizer::Detokenizer;
use rocmforge::{Batch, Context, ContextParams, Model, Token};

use crate::args::{ComputeArgs, GenerateArgs};
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use crate::{interrupt, models, output, text};

/// The context where the flag does not say: enough for most uses, and never the gigabytes of cache
/// that the training context of a recent model takes.
const DEFAULT_CTX: usize = 4096;

/// Work done and the time it took.
#[derive(Clone, Copy, Default)]
struct Speed {
    tokens: usize,
    time: Duration,
}

impl Speed {
    fn describe(&self) -> String {
        let (n, s) = (self.tokens, self.time.as_secs_f64());
        let rate = if n > 0 && s > 0.0 { n as f64 / s } else { 0.0 };
        format!("{n} {} in {s:.2} s ({rate:.1} t/s)", if n == 1 { "token" } else { "tokens" })
    }
}

/// Why generation ended.
enum End {
    /// The model ended the text, or as many tokens as asked for were made.
    Done,
    ContextFull,
}

/// Runs the command.
pub fn run(args: &GenerateArgs, matches: &ArgMatches) -> Outcome {
    let path = models::find(args.model.model.as_deref())?;
    let mut prompt = text::input(matches, ("prompt", args.prompt.as_ref()), args.file.as_ref())?;
    if prompt.read && prompt.bytes.ends_with(b"\n") {
        prompt.bytes.pop();
    }
    interrupt::install()?;

    let log = models::log(args.verbose);
    let model = models::load(&path, &args.compute, args.ctx_size, log.clone(), args.verbose)?;
    let n_ctx = match (args.ctx_size, model.hparams()) {
        (Some(n), _) => n,
        (None, Some(hp)) => hp.n_ctx_train.min(DEFAULT_CTX),
        (None, None) => DEFAULT_CTX,
    };
    let params = ContextParams { n_ctx, log, ..context_params(&args.compute) };
    let mut context = Context::new(Arc::clone(&model), params)?;
    context.set_abort(Some(Box::new(interrupt::requested)));
    let session = Session::open(&args.session, &mut context)?;
    let tokens = if prompt.bytes.is_empty() && !args.chat && !session.tokens.is_empty() {
        session.tokens.clone()
    } else {
        prompt_tokens(&model, &prompt.bytes, args.chat)?
    };
    let n_ctx = context.params().n_ctx;
    if tokens.len() > n_ctx {
        let n = tokens.len();
        return Err(Failure::Failed(format!(
            "the prompt has {n} tokens and the context holds {n_ctx}; -c {n} or more makes it large enough"
        )));
    }
    let mut chain = args.sampling.chain(args.ignore_eos, n_ctx, model.vocab())?;
    if args.verbose {
        let names: Vec<&str> = chain.names().collect();
        let seed = chain.seed().map_or(String::new(), |s| format!(", seed {s}"));
        output::note(&format!("samplers: {}{seed}", names.join(" -> ")));
        output::note(&format!("prompt: {} tokens, context: {n_ctx}", tokens.len()));
    }

    let shown = !args.chat && !args.no_display_prompt;
    if shown && args.special {
        output::write(&model.vocab().detokenize(&tokens, false, true)?)?;
    } else if shown {
        output::write(&prompt.bytes)?;
    }
    let n_past = session.reuse(&tokens, &mut context)?;
    let n_keep = usize::try_from(args.session.keep)
        .map_or(tokens.len(), |n| n.saturating_add(usize::from(model.vocab().add_bos())).min(tokens.len()));
    let mut run = Run {
        context,
        n_past,
        shift: (args.session.context_shift && !args.session.no_context_shift).then_some(n_keep),
        shifted: false,
        batch: Batch::new(args.compute.batch_size.min(tokens.len()).max(1), 1)?,
        detokenizer: Detokenizer::new(args.special),
        show_end: args.special,
        prompt: Speed::default(),
        generation: Speed::default(),
    };
    let end = run.all(&tokens, &mut chain, args.predict, &session);
    finish(&mut run, end, n_ctx, &model)
}

/// Ends the output, and says how fast it was and why it ended.
fn finish(run: &mut Run, end: Outcome<End>, n_ctx: usize, model: &Model) -> Outcome {
    if !matches!(end, Err(Failure::BrokenPipe)) {
        output::write(run.detokenizer.finish().as_bytes())?;
        if io::stdout().is_terminal() {
            output::write(b"\n")?;
        }
    }
    match end {
        Ok(End::ContextFull) => {
            output::note(&format!(
                "stopped: the context of {n_ctx} tokens is full (-c makes it larger, --context-shift drops what is old)"
            ));
        }
        Ok(End::Done) | Err(Failure::Interrupted) => {}
        Err(failure) => return Err(failure),
    }
    output::note(&format!(
        "prompt {}, generation {}, load {:.2} s",
        run.prompt.describe(),
        run.generation.describe(),
        model.load_time().as_secs_f64()
    ));
    end.map(|_| ())
}

/// A generation under way.
struct Run {
    context: Context,
    /// Tokens in the context.
    n_past: usize,
    /// How many tokens at the beginning survive when the context is full; none if it then ends.
    shift: Option<usize>,
    /// Some have been dropped.
    shifted: bool,
    batch: Batch,
    detokenizer: Detokenizer,
    /// Print the token that ends the text.
    show_end: bool,
    prompt: Speed,
    generation: Speed,
}

impl Run {
    /// Computes the prompt, then generates `n_predict` tokens, or without limit if that is negative.
    fn all(
        &mut self,
        prompt: &[Token],
        chain: &mut Chain,
        n_predict: i64,
        session: &Session<'_>,
    ) -> Outcome<End> {
        let start = Instant::now();
        for tokens in prompt[self.n_past..].chunks(self.batch.capacity()) {
            self.decode(tokens)?;
            self.prompt.tokens += tokens.len();
            self.prompt.time = start.elapsed();
        }
        if let Some(path) = session.after_prompt(prompt) {
            self.context.state_save_file(path, prompt)?;
        }
        prompt.iter().for_each(|&t| chain.accept(t));
        let mut text = prompt.to_vec();
        let end = self.generate(chain, n_predict, &mut text);
        if let Some(path) = session.at_end()
            && !self.shifted
        {
            self.context.state_save_file(path, &text)?;
        }
        end
    }

    /// Generates; each token that is decoded is added to `text`.
    fn generate(&mut self, chain: &mut Chain, n_predict: i64, text: &mut Vec<Token>) -> Outcome<End> {
        let model = Arc::clone(self.context.model());
        let vocab = model.vocab();
        let start = Instant::now();
        while n_predict < 0 || (self.generation.tokens as i64) < n_predict {
            interrupt::check()?;
            // Rows of the embedding table past the vocabulary are padding.
            let logits = self.context.logits(-1)?;
            let token = chain.sample(logits.get(..vocab.n_tokens()).unwrap_or(logits))?;
            let end = vocab.is_eog(token);
            if !end || self.show_end {
                output::write(self.detokenizer.push(vocab, token)?.as_bytes())?;
            }
            self.generation.tokens += 1;
            self.generation.time = start.elapsed();
            if end || self.generation.tokens as i64 == n_predict {
                break;
            }
            if self.n_past >= self.context.params().n_ctx && !self.make_room()? {
                return Ok(End::ContextFull);
            }
            self.decode(&[token])?;
            text.push(token);
        }
        Ok(End::Done)
    }

    /// Drops the older half of the tokens that are not kept and moves the rest in their place; false
    /// if that is not wanted, or there is none to drop.
    fn make_room(&mut self) -> Outcome<bool> {
        let Some(n_keep) = self.shift else { return Ok(false) };
        let n_discard = (self.n_past - n_keep) / 2;
        if n_discard == 0 {
            return Ok(false);
        }
        // A context has fewer cells than there are positions.
        let (keep, end, moved) = (n_keep as Pos, (n_keep + n_discard) as Pos, n_discard as Pos);
        self.context.seq_rm(0, keep..end)?;
        self.context.seq_add(0, end..Pos::MAX, -moved)?;
        self.n_past -= n_discard;
        self.shifted = true;
        Ok(true)
    }

    /// Decodes `tokens` after those in the context; the logits of the last are kept.
    fn decode(&mut self, tokens: &[Token]) -> Outcome {
        self.batch.clear();
        for (i, &token) in tokens.iter().enumerate() {
            let pos =
                Pos::try_from(self.n_past + i).map_err(|_| Failure::Failed("the text is too long".into()))?;
            self.batch.add(token, pos, &[0], i + 1 == tokens.len())?;
        }
        self.context.decode(&self.batch)?;
        self.n_past += tokens.len();
        Ok(())
    }
}

/// The tokens of `prompt`, which is a user's message if `chat`.
fn prompt_tokens(model: &Model, prompt: &[u8], chat: bool) -> Outcome<Vec<Token>> {
    let vocab = model.vocab();
    let tokens = if chat {
        let rendered = rendered(model, prompt)?;
        // A template writes BOS out where the model wants one; the tokenizer must not add a second.
        let bos = vocab.bos().filter(|_| vocab.add_bos()).and_then(|t| vocab.text(t)).unwrap_or("");
        let text = rendered.strip_prefix(bos).unwrap_or(&rendered);
        vocab.tokenize(text.as_bytes(), true, true)?
    } else {
        vocab.tokenize(prompt, true, true)?
    };
    if tokens.is_empty() {
        return Err(Failure::Failed(
            "the prompt is empty, and the model has no token to begin a text with".into(),
        ));
    }
    Ok(tokens)
}

fn rendered(model: &Model, message: &[u8]) -> Outcome<String> {
    let vocab = model.vocab();
    let template = Template::from_gguf(model.file(), None)?;
    let template = template
        .ok_or_else(|| Failure::Failed("the model has no chat template (--chat needs one)".into()))?;
    let content = std::str::from_utf8(message)
        .map_err(|e| Failure::Failed(format!("the message is not UTF-8: {e}")))?;
    let spelled = |token: Option<Token>| token.and_then(|t| vocab.text(t)).unwrap_or("");
    let messages = [Message { role: "user", content }];
    Ok(template.render(&messages, true, spelled(vocab.bos()), spelled(vocab.eos()), None)?)
}

/// The parameters that these flags set; 0 threads are all processors.
pub fn context_params(args: &ComputeArgs) -> ContextParams {
    ContextParams {
        n_batch: args.batch_size,
        n_ubatch: args.ubatch_size,
        n_threads: args.threads,
        n_threads_batch: args.threads_batch.unwrap_or(args.threads),
        type_k: args.cache_type_k,
        type_v: args.cache_type_v,
        ..ContextParams::default()
    }
}
