//! Rotary positions: how far each pair of a head turns per position.
//!
//! Pair `i` of `n_rot / 2` turns by `pos / f_i * freq_base^(-2 i / n_rot)`, `f_i` its frequency
//! factor (1 without any), times `freq_scale` as far as the position is interpolated. YaRN
//! (arXiv:2309.00071, as llama.cpp parametrises it) blends from extrapolation at high frequencies
//! to interpolation at low ones and scales the magnitude by `1 + 0.1 ln(1 / freq_scale)`.

use super::RopeParams;

impl RopeParams {
    fn is_yarn(&self) -> bool {
        self.ext_factor != 0.0
    }

    /// Factor on cosines and sines.
    pub fn magnitude(&self) -> f64 {
        let yarn = if self.is_yarn() { 1.0 - 0.1 * f64::from(self.freq_scale).ln() } else { 1.0 };
        f64::from(self.attn_factor) * yarn
    }

    /// The angle per position of each pair, in radians. `factors`, where given, holds at least
    /// `n_rot / 2` divisors.
    pub fn frequencies<'a>(&'a self, factors: Option<&'a [f32]>) -> impl Iterator<Item = f64> + 'a {
        let scale = f64::from(self.freq_scale);
        let (low, high) = if self.is_yarn() { self.yarn_bounds() } else { (0.0, 0.0) };
        let ratio = f64::from(self.freq_base).powf(-2.0 / self.n_rot as f64);
        let frequencies = std::iter::successors(Some(1.0), move |f| Some(f * ratio));
        frequencies.take(self.n_rot / 2).enumerate().map(move |(i, frequency)| {
            let mut factor = scale;
            if self.is_yarn() {
                let ramp = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                let mix = ramp * f64::from(self.ext_factor);
                factor = scale * (1.0 - mix) + mix;
            }
            frequency / factors.map_or(1.0, |f| f64::from(f[i])) * factor
        })
    }

    /// The pairs between which YaRN blends: those that turn `beta_fast` and `beta_slow` times over
    /// the original context. In f32, as models are run elsewhere: the bounds are rounded to whole
    /// pairs, and another precision could round to another pair.
    fn yarn_bounds(&self) -> (f64, f64) {
        let n_rot = self.n_rot as f32;
        let pair = |rotations: f32| {
            n_rot * (self.n_ctx_orig as f32 / (rotations * 2.0 * std::f32::consts::PI)).ln()
                / (2.0 * self.freq_base.ln())
        };
        let low = pair(self.beta_fast).floor().max(0.0);
        let high = pair(self.beta_slow).ceil().min(n_rot - 1.0);
        (f64::from(low), f64::from(high))
    }
}
