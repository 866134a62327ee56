//! A token drawn from the distribution.

use super::rng::Rng;
use super::{Candidates, Sampler};
use std::hash::{BuildHasher, RandomState};

/// The seed that asks for a random one, as libllama's `LLAMA_DEFAULT_SEED`.
pub const RANDOM_SEED: u32 = 0xFFFF_FFFF;

/// Draws a candidate with the probability that the softmax of the logits gives it.
///
/// One SplitMix64 number a token; the same seed gives the same tokens on every platform (not those of
/// llama.cpp, whose generator is the C++ library's).
#[derive(Clone, Debug)]
pub struct Dist {
    /// The seed asked for.
    seed: u32,
    /// The seed in use.
    current: u32,
    rng: Rng,
}

impl Dist {
    /// A sampler with the given seed; [`RANDOM_SEED`] takes one from the operating system.
    pub fn new(seed: u32) -> Self {
        let current = if seed == RANDOM_SEED { random_seed() } else { seed };
        Dist { seed, current, rng: Rng::new(current) }
    }
}

/// A number nobody can foresee: the standard library's hash keys come from the operating system.
fn random_seed() -> u32 {
    (RandomState::new().hash_one(std::time::Instant::now()) % u64::from(RANDOM_SEED)) as u32
}

impl Sampler for Dist {
    fn name(&self) -> &'static str {
        "dist"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.select(None);
        let Some((max, total)) = candidates.weigh() else { return };
        let target = self.rng.next_unit() * total;
        let at = candidates.position_of_mass(max, target);
        candidates.select(at);
        candidates.normalise(total);
    }

    /// Starts the random numbers again; with [`RANDOM_SEED`], from a new seed.
    fn reset(&mut self) {
        *self = Dist::new(self.seed);
    }

    fn seed(&self) -> Option<u32> {
        Some(self.current)
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
