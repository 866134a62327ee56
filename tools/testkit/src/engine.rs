//! What a test needs of an engine, so that ours and the peer run through the same code.

use rocmforge::model::Pooling;
use rocmforge::quant::GgmlType;

/// A token id.
pub type Token = i32;

/// What an engine is made with.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// KV cells, shared by all sequences.
    pub n_ctx: usize,
    /// Tokens in one call of decode at most.
    pub n_batch: usize,
    /// Tokens computed at once at most.
    pub n_ubatch: usize,
    /// Sequences at most.
    pub n_seq_max: usize,
    /// Threads, for prompts and for generation.
    pub n_threads: usize,
    /// Whether the peer's sequences share all cells, as ours do, in place of an equal part for each.
    pub kv_unified: bool,
    /// Type of keys and values.
    pub kv: GgmlType,
    /// Whether embeddings are wanted, and how they are pooled.
    pub embeddings: Option<Pooling>,
}

impl Params {
    /// One sequence of at most `n_ctx` tokens, decoded in one call if need be.
    pub fn sequence(n_ctx: usize) -> Params {
        let (n_ubatch, n_threads) = (n_ctx.min(512), 2);
        Params {
            n_ctx,
            n_batch: n_ctx,
            n_ubatch,
            n_seq_max: 1,
            n_threads,
            kv_unified: true,
            kv: GgmlType::F16,
            embeddings: None,
        }
    }
}

/// One token of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// The token.
    pub token: Token,
    /// Its place in its sequence.
    pub pos: i32,
    /// Its sequence.
    pub seq: i32,
    /// Whether its logits are wanted.
    pub logits: bool,
}

/// Something that turns tokens into logits.
pub trait Engine {
    /// Entries in a row of logits.
    fn n_vocab(&self) -> usize;
    /// Decode one batch and wait for it; the logits asked for, `[n_outputs][n_vocab]`, in the order of the batch.
    fn decode(&mut self, batch: &[Item]) -> Result<Vec<f32>, String>;
    /// Decode one batch and wait for it; the logits stay with the engine.
    fn run(&mut self, batch: &[Item]) -> Result<(), String> {
        self.decode(batch).map(drop)
    }
    /// Remove the positions `from .. to` of sequence 0 and move those behind them in their place.
    fn shift(&mut self, from: usize, to: usize) -> Result<(), String>;
    /// Decode one batch; its embeddings, `[n_outputs][n_embd]`, or if they are pooled
    /// `[n_seq_max][n_embd]`.
    fn embeddings(&mut self, batch: &[Item]) -> Result<Vec<f32>, String>;
    /// Forget every sequence.
    fn clear(&mut self);
}

/// The batch that holds `tokens` as sequence 0 from position `pos0`, every row of logits wanted.
pub fn sequence(tokens: &[Token], pos0: usize) -> Vec<Item> {
    let item = |(i, &token)| Item { token, pos: (pos0 + i) as i32, seq: 0, logits: true };
    tokens.iter().enumerate().map(item).collect()
}

/// The place of the largest value; the first of equals.
pub fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, v)| if *v > row[best] { i } else { best })
}

/// A prompt, what followed it, and the logits at every position.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The prompt, then each generated token but the last.
    pub tokens: Vec<Token>,
    /// Tokens in the prompt.
    pub n_prompt: usize,
    /// `[tokens.len()][n_vocab]`.
    pub logits: Vec<f32>,
}

/// Decode `prompt` in one batch, then choose `n` tokens greedily, one at a time.
pub fn greedy(engine: &mut dyn Engine, prompt: &[Token], n: usize) -> Result<Trace, String> {
    let n_vocab = engine.n_vocab();
    engine.clear();
    let mut logits = engine.decode(&sequence(prompt, 0))?;
    let mut tokens = prompt.to_vec();
    for _ in 1..n {
        let next = argmax(&logits[logits.len() - n_vocab..]) as Token;
        logits.extend(engine.decode(&sequence(&[next], tokens.len()))?);
        tokens.push(next);
    }
    Ok(Trace { tokens, n_prompt: prompt.len(), logits })
}

/// The logits of `engine` along the tokens of `trace`, batched as they were there.
pub fn replay(engine: &mut dyn Engine, trace: &Trace) -> Result<Vec<f32>, String> {
    engine.clear();
    let mut logits = engine.decode(&sequence(&trace.tokens[..trace.n_prompt], 0))?;
    for i in trace.n_prompt..trace.tokens.len() {
        logits.extend(engine.decode(&sequence(&trace.tokens[i..=i], i))?);
    }
    Ok(logits)
}

/// A context that stays within `n_window` positions: when they are full, the older half of what
/// follows the first `n_keep` is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Positions.
    pub n_window: usize,
    /// Positions at the beginning that are never dropped.
    pub n_keep: usize,
}

/// As [`greedy`], for any number of tokens through a window; or with the tokens in `given`, if there are any, instead of
/// choosing them.
pub fn through_window(
    engine: &mut dyn Engine,
    prompt: &[Token],
    given: Option<&Trace>,
    n: usize,
    window: Window,
) -> Result<Trace, String> {
    let n_vocab = engine.n_vocab();
    engine.clear();
    let mut logits = engine.decode(&sequence(prompt, 0))?;
    let mut tokens = prompt.to_vec();
    let mut n_past = tokens.len();
    for _ in 1..n {
        let next = match given {
            Some(trace) => trace.tokens[tokens.len()],
            None => argmax(&logits[logits.len() - n_vocab..]) as Token,
        };
        if n_past == window.n_window {
            let n_discard = (n_past - window.n_keep) / 2;
            engine.shift(window.n_keep, window.n_keep + n_discard)?;
            n_past -= n_discard;
        }
        logits.extend(engine.decode(&sequence(&[next], n_past))?);
        tokens.push(next);
        n_past += 1;
    }
    Ok(Trace { tokens, n_prompt: prompt.len(), logits })
}

/// Perplexity of `tokens`: cut into windows of `n_ctx`, each with `bos` (if any) before it, every
/// token but a window's first predicted from what stands before it in the window.
pub fn perplexity(
    engine: &mut dyn Engine,
    tokens: &[Token],
    bos: Option<Token>,
    n_ctx: usize,
) -> Result<f64, String> {
    let n_vocab = engine.n_vocab();
    let (mut loss, mut count) = (0.0, 0usize);
    for window in tokens.chunks(n_ctx - usize::from(bos.is_some())) {
        let window: Vec<Token> = bos.into_iter().chain(window.iter().copied()).collect();
        engine.clear();
        let logits = engine.decode(&sequence(&window, 0))?;
        for (row, &next) in logits.chunks_exact(n_vocab).zip(&window[1..]) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|v| f64::from(v - max).exp()).sum();
            let next = usize::try_from(next)
                .ok()
                .and_then(|i| row.get(i))
                .ok_or("a token outside the vocabulary")?;
            loss += sum.ln() - f64::from(next - max);
            count += 1;
        }
    }
    if count == 0 { Err("perplexity of no tokens".into()) } else { Ok((loss / count as f64).exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predicts token `t + 1` after `t` with odds of e^2 to 1 against each of the others.
    struct Counting;
    impl Engine for Counting {
        fn n_vocab(&self) -> usize {
            8
        }
        fn decode(&mut self, batch: &[Item]) -> Result<Vec<f32>, String> {
            let row = |token: Token| (0..8).map(move |t| if t == (token + 1) % 8 { 2.0 } else { 0.0 });
            Ok(batch.iter().flat_map(|i| row(i.token)).collect())
        }
        fn embeddings(&mut self, _: &[Item]) -> Result<Vec<f32>, String> {
            Ok(Vec::new())
        }
        fn shift(&mut self, _: usize, _: usize) -> Result<(), String> {
            Ok(())
        }
        fn clear(&mut self) {}
    }

    #[test]
    fn greedy_follows_the_largest_logit_and_replay_repeats_it() {
        let trace = greedy(&mut Counting, &[3, 4, 5], 5).unwrap();
        assert_eq!(trace.tokens, [3, 4, 5, 6, 7, 0, 1]);
        assert_eq!(trace.logits.len(), 7 * 8);
        assert_eq!(replay(&mut Counting, &trace).unwrap(), trace.logits);
    }

    #[test]
    fn perplexity_is_that_of_the_odds() {
        let odds = 2f64.exp();
        let right = perplexity(&mut Counting, &[1, 2, 3, 4, 1, 2, 3, 4], Some(0), 5).unwrap();
        assert!((right - (odds + 7.0) / odds).abs() < 1e-9, "{right}");
        let wrong = perplexity(&mut Counting, &[1, 1, 1, 1], None, 4).unwrap();
        assert!((wrong - (odds + 7.0)).abs() < 1e-6, "{wrong}");
    }
}
