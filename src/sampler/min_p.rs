//! Min-p: Nguyen et al., "Turning up the heat: min-p sampling for creative and coherent LLM outputs"
//! (2024).

use super::{Candidates, Sampler, finite};
use crate::Result;

/// Keeps the candidates at least `p` times as likely as the most likely one.
///
/// `p_i >= p * p_max` is `logit_i >= logit_max + ln p`, so no softmax is taken.
#[derive(Clone, Debug)]
pub struct MinP {
    p: f32,
    ln_p: f32,
    min_keep: usize,
}

impl MinP {
    /// `p` of 0 or less keeps everything; never fewer than `min_keep` (or 1) are kept. An error unless `p`
    /// is finite.
    pub fn new(p: f32, min_keep: usize) -> Result<Self> {
        let p = finite("min-p", p)?;
        Ok(MinP { p, ln_p: f64::from(p).ln() as f32, min_keep })
    }
}

impl Sampler for MinP {
    fn name(&self) -> &'static str {
        "min-p"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.p > 0.0
            && let Some(max) = candidates.max()
        {
            candidates.keep_from(max + self.ln_p, self.min_keep.max(1));
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
