//! Exclude top choices: p-e-w (2024, text-generation-webui#6335).

use super::rng::Seeded;
use super::{Candidates, Sampler, finite};
use crate::Result;

/// Now and then drops the most likely candidates, but for the least likely of those that are likely enough.
#[derive(Clone, Debug)]
pub struct Xtc {
    p: f32,
    threshold: f32,
    min_keep: usize,
    random: Seeded,
}

impl Xtc {
    /// With the probability `p`, of the candidates whose probability is at least `threshold` only the last stays, if
    /// `min_keep` do. A `p` of 0 or a threshold above 0.5 change nothing. An error unless both are finite.
    pub fn new(p: f32, threshold: f32, min_keep: usize, seed: u32) -> Result<Self> {
        finite("the probability of xtc", p)?;
        finite("the threshold of xtc", threshold)?;
        Ok(Xtc { p, threshold, min_keep, random: Seeded::new(seed) })
    }
}

impl Sampler for Xtc {
    fn name(&self) -> &'static str {
        "xtc"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.p <= 0.0 || self.threshold > 0.5 || candidates.len() < 2 {
            return;
        }
        if self.random.rng.next_f32() > self.p {
            return;
        }
        candidates.sort();
        candidates.softmax_32();
        let items = candidates.items();
        let likely = items.iter().take_while(|c| c.p >= self.threshold).count();
        let drop = likely.saturating_sub(1);
        if drop > 0 && items.len() - drop >= self.min_keep {
            items.drain(..drop);
        }
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
