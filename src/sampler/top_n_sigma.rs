//! Top-n-sigma: Tang et al., "Top-nσ: Not All Logits Are You Need" (2024).

use super::{Candidates, Sampler, finite};
use crate::Result;

/// Makes impossible whatever is more than `n` standard deviations of the logits below the largest.
#[derive(Clone, Debug)]
pub struct TopNSigma {
    n: f32,
}

impl TopNSigma {
    /// 0 and less change nothing. An error unless `n` is finite.
    pub fn new(n: f32) -> Result<Self> {
        Ok(TopNSigma { n: finite("top-n-sigma", n)? })
    }
}

impl Sampler for TopNSigma {
    fn name(&self) -> &'static str {
        "top-n-sigma"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.n <= 0.0 || candidates.len() <= 1 {
            return;
        }
        let Some(max) = candidates.possible_max() else { return };
        let items = candidates.items();
        let possible = || items.iter().map(|c| f64::from(c.logit)).filter(|x| *x != f64::NEG_INFINITY);
        let n = possible().count() as f64;
        let mean = possible().sum::<f64>() / n;
        let variance = possible().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let least = max - self.n * variance.sqrt() as f32;
        items.iter_mut().filter(|c| c.logit < least).for_each(|c| c.logit = f32::NEG_INFINITY);
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
