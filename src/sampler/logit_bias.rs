//! Logit bias.

use super::{Candidates, Sampler, Token};
use crate::{Error, Result};

/// Adds a number to the logits of chosen tokens; `-inf` forbids a token.
#[derive(Clone, Debug)]
pub struct LogitBias {
    /// By ascending token, each once.
    biases: Vec<(Token, f32)>,
}

impl LogitBias {
    /// Biases of the same token add up; tokens outside the vocabulary have no effect. An error if a bias
    /// is NaN.
    pub fn new(biases: &[(Token, f32)]) -> Result<Self> {
        let mut sorted = biases.to_vec();
        sorted.sort_by_key(|b| b.0);
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        if let Some((token, _)) = sorted.iter().find(|b| b.1.is_nan()) {
            return Err(Error::InvalidArgument(format!("the logit bias of token {token} is NaN")));
        }
        Ok(LogitBias { biases: sorted })
    }
}

impl Sampler for LogitBias {
    fn name(&self) -> &'static str {
        "logit-bias"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.edit(&self.biases, self.biases.len(), |b| b.0, |b, logit| logit + b.1);
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
