//! Top-p, or nucleus sampling: Holtzman et al., "The curious case of neural text degeneration" (2019).

use super::{Candidates, Sampler, finite};
use crate::Result;

/// Keeps the fewest most likely candidates whose probabilities sum to at least `p`.
#[derive(Clone, Debug)]
pub struct TopP {
    p: f32,
    min_keep: usize,
}

impl TopP {
    /// `p` of 1 or more keeps everything; never fewer than `min_keep` (or 1) are kept. An error unless `p`
    /// is finite.
    pub fn new(p: f32, min_keep: usize) -> Result<Self> {
        Ok(TopP { p: finite("top-p", p)?, min_keep })
    }
}

impl Sampler for TopP {
    fn name(&self) -> &'static str {
        "top-p"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.p < 1.0 {
            candidates.keep_mass(self.p, self.min_keep);
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
