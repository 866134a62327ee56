//! What the peer says about a model: its own logits and greedy text, and the exact logits along
//! them.

use std::path::Path;

use rocmforge::quant::GgmlType;

use crate::engine::{Params, Token, Trace, Window, greedy, replay, through_window};
use crate::parity::{Parity, parity, sure};
use crate::peer::Peer;
use crate::rng::Rng;

/// The peer's run of a prompt and its continuation, and the exact run of the same tokens.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Entries in a row of logits.
    pub n_vocab: usize,
    /// The peer's tokens and logits.
    pub peer: Trace,
    /// `[peer.tokens.len()][n_vocab]`: the exact logits.
    pub exact: Vec<f32>,
}

impl Reference {
    /// Let the peer decode `prompt` in micro-batches of `n_ubatch` and choose `n` tokens after it,
    /// with a KV cache of type `kv`; then decode the same with `dequantized`, the copy of `model`
    /// that [`write_dequantized`](crate::synth::write_dequantized) makes.
    pub fn make(
        peer: Peer,
        model: &Path,
        dequantized: &Path,
        prompt: &[Token],
        n: usize,
        n_ubatch: usize,
        kv: GgmlType,
    ) -> Result<Reference, String> {
        // One thread: two of the peer wait for each other by spinning, which crawls on a shared machine.
        let params = Params { n_ubatch, kv, n_threads: 1, ..Params::sequence(prompt.len() + n) };
        let model = peer.load_model(model)?;
        let trace = greedy(&mut model.context(&params, flash_attn(kv))?, prompt, n)?;
        let params = Params { kv: GgmlType::F32, ..params };
        let exact = peer.load_model(dequantized)?;
        let exact = replay(&mut exact.context(&params, Some(false))?, &trace)?;
        Ok(Reference { n_vocab: model.n_vocab(), peer: trace, exact })
    }

    /// As [`Reference::make`], through a window that is shifted when it is full.
    pub fn through_window(
        peer: Peer,
        model: &Path,
        dequantized: &Path,
        prompt: &[Token],
        n: usize,
        window: Window,
        kv: GgmlType,
    ) -> Result<Reference, String> {
        let params = Params { kv, n_threads: 1, ..Params::sequence(window.n_window) };
        let model = peer.load_model(model)?;
        let mut context = model.context(&params, flash_attn(kv))?;
        let trace = through_window(&mut context, prompt, None, n, window)?;
        let params = Params { kv: GgmlType::F32, ..params };
        let exact = peer.load_model(dequantized)?;
        let mut exact = exact.context(&params, Some(false))?;
        let exact = through_window(&mut exact, prompt, Some(&trace), n, window)?.logits;
        Ok(Reference { n_vocab: model.n_vocab(), peer: trace, exact })
    }

    /// Compare the logits `ours` along the same tokens, `[peer.tokens.len()][n_vocab]`.
    pub fn compare(&self, ours: &[f32]) -> Parity {
        parity(ours, &self.peer.logits, &self.exact, self.n_vocab)
    }

    /// How many of the peer's greedy tokens come before the first of which it is not sure.
    pub fn sure_length(&self) -> usize {
        let sure = sure(&self.peer.logits, &self.exact, self.n_vocab);
        sure[self.peer.n_prompt - 1..].iter().take_while(|s| **s).count()
    }
}

/// Whether the peer's flash attention is to run over a cache of type `kv`. It rounds f32 keys and
/// values to f16, which is not what such a cache is for; values in blocks are only possible with it.
fn flash_attn(kv: GgmlType) -> Option<bool> {
    match kv {
        GgmlType::F32 => Some(false),
        GgmlType::F16 => None,
        _ => Some(true),
    }
}

/// A prompt of `n` random tokens below `n_vocab`.
pub fn random_prompt(n: usize, n_vocab: usize, seed: u64) -> Vec<Token> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.below(n_vocab) as Token).collect()
}
