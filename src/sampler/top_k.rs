//! Top-k: Fan et al., "Hierarchical neural story generation" (2018).

use super::{Candidates, Sampler};

/// Keeps the `k` largest logits, in descending order.
#[derive(Clone, Debug)]
pub struct TopK {
    k: i32,
}

impl TopK {
    /// 0 and less keep everything.
    pub fn new(k: i32) -> Self {
        TopK { k }
    }
}

impl Sampler for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.k > 0 {
            candidates.keep_top(self.k as usize);
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
