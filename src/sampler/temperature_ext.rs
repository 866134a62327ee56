//! Temperature by entropy: "dynamic temperature" of kalomaze (2023, llama.cpp#4972).

use super::{Candidates, Sampler, Temperature, finite};
use crate::Result;

/// A temperature between `temp - delta` and `temp + delta`: low where the distribution is sharp, high where it is flat.
///
/// With the entropy H of `n` candidates, `min + (max - min) * (H / ln n) ^ exponent`.
#[derive(Clone, Debug)]
pub struct TemperatureExt {
    temp: f32,
    delta: f32,
    exponent: f32,
}

impl TemperatureExt {
    /// A `delta` of 0 or less makes it a [`Temperature`]. An error unless all are finite.
    pub fn new(temp: f32, delta: f32, exponent: f32) -> Result<Self> {
        finite("the temperature", temp)?;
        finite("the range of the temperature", delta)?;
        finite("the exponent of the temperature", exponent)?;
        Ok(TemperatureExt { temp, delta, exponent })
    }
}

impl Sampler for TemperatureExt {
    fn name(&self) -> &'static str {
        "temp-ext"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.delta <= 0.0 {
            return Temperature { temp: self.temp }.apply(candidates);
        }
        let n = candidates.len();
        if n <= 1 {
            return;
        }
        candidates.sort();
        candidates.softmax_32();
        if candidates.failed() {
            return;
        }
        let probabilities = candidates.items().iter().map(|c| c.p).filter(|p| *p > 0.0);
        let entropy = -probabilities.map(|p| p * p.ln()).sum::<f32>();
        let share = entropy / -(1.0 / n as f32).ln();
        let (min, max) = ((self.temp - self.delta).max(0.0), self.temp + self.delta);
        let temp = min + (max - min) * share.powf(self.exponent);
        Temperature { temp }.apply(candidates);
        candidates.softmax();
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
