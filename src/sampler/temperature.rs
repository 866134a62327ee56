//! Temperature.

use super::{Candidates, Sampler, finite};
use crate::Result;

/// Divides every logit by the temperature; one of 0 or less leaves only the largest possible.
#[derive(Clone, Debug)]
pub struct Temperature {
    pub(super) temp: f32,
}

impl Temperature {
    /// An error unless `temp` is finite. 1 changes nothing, 0 and less make the chain greedy.
    pub fn new(temp: f32) -> Result<Self> {
        Ok(Temperature { temp: finite("the temperature", temp)? })
    }
}

impl Sampler for Temperature {
    fn name(&self) -> &'static str {
        "temp"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.temp > 0.0 {
            if self.temp != 1.0 {
                candidates.divide(self.temp);
            }
        } else if let Some(best) = candidates.argmax() {
            for (i, c) in candidates.items().iter_mut().enumerate() {
                if i != best {
                    c.logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
