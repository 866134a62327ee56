//! Locally typical sampling: Meister et al., "Locally typical sampling" (2022).

use super::{Candidates, Sampler, finite};
use crate::Result;

/// Keeps the candidates whose information content is nearest to the distribution's entropy, the fewest
/// whose probabilities sum to more than `p`, nearest first.
#[derive(Clone, Debug)]
pub struct Typical {
    p: f32,
    min_keep: usize,
}

impl Typical {
    /// `p` of 1 or more keeps everything; never fewer than `min_keep` (or 1) are kept. An error unless `p`
    /// is finite.
    pub fn new(p: f32, min_keep: usize) -> Result<Self> {
        Ok(Typical { p: finite("typical-p", p)?, min_keep })
    }
}

impl Sampler for Typical {
    fn name(&self) -> &'static str {
        "typical"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.p < 1.0 {
            candidates.keep_typical(self.p, self.min_keep);
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
