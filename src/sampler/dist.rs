//! A token drawn from the distribution.

use super::rng::Seeded;
use super::{Candidates, Sampler};

/// Draws a candidate with the probability that the softmax of the logits gives it.
///
/// The same seed on the same logits gives the same tokens on every platform, and those of llama.cpp.
#[derive(Clone, Debug)]
pub struct Dist {
    random: Seeded,
}

impl Dist {
    /// A sampler with the given seed; [`RANDOM_SEED`](super::RANDOM_SEED) takes one from the operating system.
    pub fn new(seed: u32) -> Self {
        Dist { random: Seeded::new(seed) }
    }
}

impl Sampler for Dist {
    fn name(&self) -> &'static str {
        "dist"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.select(None);
        let Some((max, total)) = candidates.weigh() else { return };
        let target = self.random.rng.next_f64() * total;
        let at = candidates.position_of_mass(max, target);
        candidates.select(at);
        candidates.normalise(total);
    }

    fn reset(&mut self) {
        self.random.restart();
    }

    fn seed(&self) -> Option<u32> {
        Some(self.random.current)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
