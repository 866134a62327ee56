//! The most likely token.

use super::{Candidates, Sampler};

/// Selects the candidate of the largest logit, of equal ones the lowest id.
#[derive(Clone, Debug, Default)]
pub struct Greedy;

impl Sampler for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        match candidates.possible_max() {
            Some(_) => {
                let best = candidates.argmax();
                candidates.select(best);
            }
            None => candidates.select(None),
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
