//! Mirostat: Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity" (ICLR 2021).

use super::rng::Seeded;
use super::{Candidates, Sampler, finite};
use crate::{Error, Result};

/// Selects a token so that its surprise stays near `tau` bits: by a top-k whose `k` follows from an estimate of the
/// distribution's Zipf exponent.
#[derive(Clone, Debug)]
pub struct Mirostat {
    n_vocab: usize,
    m: usize,
    control: Control,
}

/// The same by cutting off whatever surprises more than the running bound.
#[derive(Clone, Debug)]
pub struct MirostatV2 {
    control: Control,
}

/// What both have: the bound on surprise, which learns from what was drawn.
#[derive(Clone, Debug)]
struct Control {
    tau: f32,
    eta: f32,
    mu: f32,
    random: Seeded,
}

impl Control {
    fn new(seed: u32, tau: f32, eta: f32) -> Result<Control> {
        finite("mirostat's tau", tau)?;
        finite("mirostat's eta", eta)?;
        Ok(Control { tau, eta, mu: 2.0 * tau, random: Seeded::new(seed) })
    }

    /// Draws one of the candidates that are left, and learns.
    fn draw(&mut self, candidates: &mut Candidates<'_>) {
        candidates.softmax_32();
        let Some(at) = candidates.draw(&mut self.random.rng) else { return };
        candidates.select(Some(at));
        let surprise = -candidates.items()[at].p.log2();
        self.mu -= self.eta * (surprise - self.tau);
    }

    fn reset(&mut self) {
        self.mu = 2.0 * self.tau;
        self.random.restart();
    }
}

impl Mirostat {
    /// Aims at a surprise of `tau` bits, of which it makes up for the share `eta` at each token; estimates by the `m` most
    /// likely of a vocabulary of `n_vocab`. An error unless `tau` and `eta` are finite, `m` is 2 or more, and there is a
    /// vocabulary.
    pub fn new(n_vocab: usize, seed: u32, tau: f32, eta: f32, m: usize) -> Result<Self> {
        if m < 2 || n_vocab == 0 {
            let text =
                format!("mirostat estimates by two tokens or more of a vocabulary, not {m} of {n_vocab}");
            return Err(Error::InvalidArgument(text));
        }
        Ok(Mirostat { n_vocab, m, control: Control::new(seed, tau, eta)? })
    }

    /// How many candidates to keep: by the exponent `s` of a Zipf distribution, fitted to the ratios of neighbours.
    fn keep(&self, candidates: &mut Candidates<'_>) -> usize {
        let (mut products, mut squares) = (0.0, 0.0);
        let items = candidates.items();
        for (i, pair) in items.windows(2).take(self.m - 1).enumerate() {
            let t = ((i + 2) as f32 / (i + 1) as f32).ln();
            products += t * (pair[0].p / pair[1].p).ln();
            squares += t * t;
        }
        let s: f32 = products / squares;
        let epsilon = s - 1.0;
        let k = (epsilon * 2f32.powf(self.control.mu)) / (1.0 - (self.n_vocab as f32).powf(-epsilon));
        // Not a number where there is nothing to fit: one is kept.
        (k.powf(1.0 / s) as usize).max(1)
    }
}

impl MirostatV2 {
    /// Aims at a surprise of `tau` bits, of which it makes up for the share `eta` at each token. An error unless both are
    /// finite.
    pub fn new(seed: u32, tau: f32, eta: f32) -> Result<Self> {
        Ok(MirostatV2 { control: Control::new(seed, tau, eta)? })
    }
}

impl Sampler for Mirostat {
    fn name(&self) -> &'static str {
        "mirostat"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.sort();
        candidates.softmax_32();
        if candidates.failed() {
            return;
        }
        let k = self.keep(candidates);
        candidates.keep_top(k);
        self.control.draw(candidates);
    }

    fn reset(&mut self) {
        self.control.reset();
    }

    fn seed(&self) -> Option<u32> {
        Some(self.control.random.current)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

impl Sampler for MirostatV2 {
    fn name(&self) -> &'static str {
        "mirostat-v2"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.sort();
        candidates.softmax_32();
        if candidates.failed() {
            return;
        }
        let mu = self.control.mu;
        let k = candidates.items().iter().take_while(|c| -c.p.log2() <= mu).count();
        candidates.keep_top(k.max(1));
        self.control.draw(candidates);
    }

    fn reset(&mut self) {
        self.control.reset();
    }

    fn seed(&self) -> Option<u32> {
        Some(self.control.random.current)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
