//! What parity with the peer means.
//!
//! Three engines see the same tokens: ours and the peer on the quantised model, and the *exact*
//! one, the peer on the same weights dequantised to f32, with an f32 KV cache and flash attention
//! off. The error of a run is its normalised mean squared error against the exact logits,
//! `sum (x - exact)^2 / sum exact^2`, over all positions and the whole vocabulary.
//!
//! 1. `nmse(ours) <= 1.25 nmse(peer) + 1e-6`.
//! 2. At every position where the peer is sure, ours chooses the peer's token. Sure means that
//!    the margin between the peer's two largest logits exceeds what errors of the size that 1
//!    allows can turn: `4 (e + p)`, where `p` is the peer's root mean square error, `e` the one
//!    that 1 allows to ours, both in units of logits. The difference of two logits then has
//!    errors of at most `sqrt 2 (e + p)` between the two engines (one standard deviation).
//!
//! Position by position along the peer's own greedy text, 2 says that our greedy text is the
//! peer's up to the first place where the peer was not sure.

use crate::engine::argmax;

/// The outcome of one comparison.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// Error of ours against the exact logits.
    pub nmse_ours: f64,
    /// Error of the peer against the exact logits.
    pub nmse_peer: f64,
    /// Positions compared.
    pub positions: usize,
    /// Positions at which the peer is sure.
    pub sure: usize,
    /// The first of these at which ours chooses another token.
    pub first_difference: Option<usize>,
}

/// Normalised mean squared error of `x` against `exact`; infinite if any value is not finite.
pub fn nmse(x: &[f32], exact: &[f32]) -> f64 {
    assert_eq!(x.len(), exact.len(), "logits of different shapes");
    let error: f64 = x.iter().zip(exact).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let power: f64 = exact.iter().map(|b| f64::from(*b).powi(2)).sum();
    let nmse = error / power;
    if nmse.is_finite() { nmse } else { f64::INFINITY }
}

/// Compare three runs over the same tokens, each `[positions][n_vocab]`.
pub fn parity(ours: &[f32], peer: &[f32], exact: &[f32], n_vocab: usize) -> Parity {
    let (nmse_ours, nmse_peer) = (nmse(ours, exact), nmse(peer, exact));
    let sure = sure(peer, exact, n_vocab);
    let differs = |&i: &usize| {
        let row = i * n_vocab..(i + 1) * n_vocab;
        argmax(&ours[row.clone()]) != argmax(&peer[row])
    };
    Parity {
        nmse_ours,
        nmse_peer,
        positions: sure.len(),
        sure: sure.iter().filter(|s| **s).count(),
        first_difference: (0..sure.len()).filter(|&i| sure[i]).find(differs),
    }
}

/// At which positions the peer is sure of its greedy token.
pub fn sure(peer: &[f32], exact: &[f32], n_vocab: usize) -> Vec<bool> {
    let nmse_peer = nmse(peer, exact);
    let power = exact.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>() / exact.len() as f64;
    let tolerance = 4.0 * power.sqrt() * (allowed(nmse_peer).sqrt() + nmse_peer.sqrt());
    let margin = |row: &[f32]| {
        let best = argmax(row);
        let rest = row.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, v)| *v);
        f64::from(row[best]) - f64::from(rest.fold(f32::NEG_INFINITY, f32::max))
    };
    peer.chunks_exact(n_vocab).map(|row| margin(row) > tolerance).collect()
}

/// The error allowed to ours when the peer has `nmse_peer`.
pub fn allowed(nmse_peer: f64) -> f64 {
    1.25 * nmse_peer + 1e-6
}

impl Parity {
    /// Whether ours is at parity; if not, what is wrong.
    pub fn check(&self) -> Result<(), String> {
        // The reference itself must make sense before anything is compared with it.
        if self.nmse_peer.is_nan() || self.nmse_peer > 0.05 {
            return Err(format!("the peer's own NMSE is {:.3e}: not a reference. {self}", self.nmse_peer));
        }
        if self.nmse_ours > allowed(self.nmse_peer) {
            return Err(format!("NMSE above the {:.3e} allowed: {self}", allowed(self.nmse_peer)));
        }
        match self.first_difference {
            Some(i) => Err(format!("another greedy token at position {i}, where the peer is sure: {self}")),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Parity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Parity { nmse_ours, nmse_peer, positions, sure, .. } = self;
        write!(f, "ours {nmse_ours:.2e}, peer {nmse_peer:.2e}, sure at {sure} of {positions}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Exact logits and two noisy copies, `[64][100]`.
    fn runs(ours: f32, peer: f32) -> [Vec<f32>; 3] {
        let mut rng = Rng::new(7);
        let exact: Vec<f32> = (0..6400).map(|_| rng.normal()).collect();
        let mut noisy = |s: f32| exact.iter().map(|v| v + s * rng.normal()).collect::<Vec<f32>>();
        let (o, p) = (noisy(ours), noisy(peer));
        [o, p, exact]
    }

    #[test]
    fn equal_noise_passes_and_more_noise_fails() {
        for (ours, peer, good) in
            [(0.01, 0.01, true), (0.012, 0.01, false), (0.0009, 0.0, true), (0.0011, 0.0, false)]
        {
            let [o, p, e] = runs(ours, peer);
            let verdict = parity(&o, &p, &e, 100).check();
            assert_eq!(verdict.is_ok(), good, "{ours} {peer}: {verdict:?}");
        }
    }

    #[test]
    fn another_token_where_the_peer_is_sure_fails() {
        let [mut o, p, e] = runs(0.001, 0.001);
        let before = parity(&o, &p, &e, 100);
        assert!(before.sure > 32, "{before}");
        assert!(before.check().is_ok());
        let margins: Vec<(usize, usize)> = (0..64)
            .map(|i| {
                let row = &p[i * 100..][..100];
                let best = argmax(row);
                let mut rest = row.to_vec();
                rest[best] = f32::NEG_INFINITY;
                (best, argmax(&rest))
            })
            .collect();
        let sure = (0..64).find(|&i| p[i * 100 + margins[i].0] - p[i * 100 + margins[i].1] > 0.1).unwrap();
        o.swap(sure * 100 + margins[sure].0, sure * 100 + margins[sure].1);
        let after = parity(&o, &p, &e, 100);
        assert_eq!(after.first_difference, Some(sure));
        assert!(after.check().is_err());
    }

    #[test]
    fn nothing_that_is_not_a_number_passes() {
        let [mut o, p, e] = runs(0.001, 0.001);
        o[17] = f32::NAN;
        assert!(parity(&o, &p, &e, 100).check().is_err());
    }
}
