//! Adaptive-p: MrJackSpade and ddh0 (2025, llama.cpp#17927).

use super::rng::Seeded;
use super::{Candidates, Sampler, Token, finite};
use crate::Result;

/// How far from the target a probability has to be for its logit to fall linearly.
const WIDTH: f32 = 0.3;
/// The logit of the target.
const PEAK: f32 = 5.0;
/// How steep logits fall.
const SHARPNESS: f32 = 10.0;

/// Selects tokens whose probability is near a target, which moves against the mean of what was selected lately.
///
/// A logit becomes `5 - 10 d^2 / (1 + d)`, with d the distance of its probability from the target, in units of 0.3.
#[derive(Clone, Debug)]
pub struct AdaptiveP {
    target: f32,
    decay: f32,
    /// Sums over the tokens selected, each weighted by `decay` to the power of its age: of probabilities, of weights.
    sum: f32,
    weight: f32,
    /// What was selected, until it is accepted, and its probability before.
    pending: Option<(Token, f32)>,
    /// Room for the probabilities before.
    before: Vec<f32>,
    random: Seeded,
}

impl AdaptiveP {
    /// Below 0, the `target` only selects by the probabilities as they are; `decay`, held between 0 and 0.99, remembers
    /// about `1 / (1 - decay)` tokens. An error unless both are finite.
    pub fn new(target: f32, decay: f32, seed: u32) -> Result<Self> {
        finite("the target of adaptive-p", target)?;
        let decay = finite("the decay of adaptive-p", decay)?.clamp(0.0, 0.99);
        let (random, before) = (Seeded::new(seed), Vec::new());
        let mut new = AdaptiveP { target, decay, sum: 0.0, weight: 0.0, pending: None, before, random };
        new.forget();
        Ok(new)
    }

    fn forget(&mut self) {
        self.weight = 1.0 / (1.0 - self.decay);
        self.sum = self.target / (1.0 - self.decay);
        self.pending = None;
    }
}

impl Sampler for AdaptiveP {
    fn name(&self) -> &'static str {
        "adaptive-p"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.softmax_32();
        if candidates.failed() {
            return;
        }
        if self.target < 0.0 {
            let at = candidates.draw(&mut self.random.rng);
            return candidates.select(at);
        }
        let target = (2.0 * self.target.min(1.0) - self.sum / self.weight).clamp(0.0, 1.0);
        for c in candidates.items().iter_mut().filter(|c| c.logit != f32::NEG_INFINITY) {
            let d = ((c.p - target) * (1.0 / WIDTH)).abs();
            c.logit = PEAK - SHARPNESS * d * d / (1.0 + d);
        }
        candidates.set_sorted(false);
        self.before.clear();
        self.before.extend(candidates.items().iter().map(|c| c.p));
        candidates.softmax_32();
        let at = candidates.draw(&mut self.random.rng);
        candidates.select(at);
        self.pending = at.map(|at| (candidates.items()[at].id, self.before[at]));
    }

    fn accept(&mut self, token: Token) {
        if let Some((_, p)) = self.pending.take().filter(|(selected, _)| *selected == token) {
            self.sum = p + self.decay * self.sum;
            self.weight = 1.0 + self.decay * self.weight;
        }
    }

    fn reset(&mut self) {
        self.forget();
        self.random.restart();
    }

    fn seed(&self) -> Option<u32> {
        Some(self.random.current)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
