//! "Don't repeat yourself": p-e-w (2024, text-generation-webui#5677), as KoboldCpp and llama.cpp do it.

use super::breakers::Breakers;
use super::{Candidates, Penalties, Sampler, Token, finite};
use crate::{Error, Result};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Makes tokens less likely that would go on with a repetition: `multiplier * base ^ (n - allowed_length)` is taken off the
/// logit of what followed the last `n` tokens, where they were said before.
#[derive(Debug)]
pub struct Dry {
    multiplier: f32,
    base: f32,
    allowed_length: usize,
    last_n: usize,
    breakers: Breakers,
    /// The last tokens, oldest first.
    recent: VecDeque<Token>,
    /// How far back from each of them the text is as at its end, the last one first.
    repeats: Vec<usize>,
    /// Tokens that went on with what is repeated, and how much that was.
    penalties: Vec<(Token, usize)>,
}

impl Dry {
    /// Of the last `last_n` tokens; repetitions of fewer than `allowed_length` are free. A `multiplier` of 0, a `base`
    /// below 1 or a `last_n` of 0 change nothing. An error unless both numbers are finite and `last_n` is at most
    /// [`Penalties::MAX_LAST_N`].
    pub fn new(
        multiplier: f32,
        base: f32,
        allowed_length: usize,
        last_n: usize,
        breakers: Breakers,
    ) -> Result<Self> {
        finite("the multiplier of dry", multiplier)?;
        finite("the base of dry", base)?;
        if last_n > Penalties::MAX_LAST_N {
            return Err(Error::InvalidArgument(format!(
                "dry over the last {last_n} tokens: at most {} are remembered",
                Penalties::MAX_LAST_N
            )));
        }
        let last_n = if multiplier == 0.0 || base < 1.0 { 0 } else { last_n };
        Ok(Self::with_history(multiplier, base, allowed_length, last_n, breakers))
    }

    fn with_history(
        multiplier: f32,
        base: f32,
        allowed_length: usize,
        last_n: usize,
        breakers: Breakers,
    ) -> Self {
        let (recent, repeats) = (VecDeque::with_capacity(last_n), Vec::with_capacity(last_n));
        let penalties = Vec::with_capacity(last_n);
        Dry { multiplier, base, allowed_length, last_n, breakers, recent, repeats, penalties }
    }

    /// Fills in `penalties`.
    fn find_penalties(&mut self) {
        self.penalties.clear();
        let n = self.recent.len();
        let most = self.breakers.behind(n, |i| self.recent[n - 1 - i]);
        if n <= self.allowed_length || most < self.allowed_length {
            return;
        }
        self.find_repeats();
        for (k, &len) in self.repeats.iter().enumerate().skip(1) {
            let (len, next) = (len.min(most), self.recent[n - k]);
            if len >= self.allowed_length && !self.breakers.alone(next) {
                self.penalties.push((next, len));
            }
        }
        self.penalties.sort_unstable_by_key(|&(token, len)| (token, Reverse(len)));
        self.penalties.dedup_by_key(|p| p.0);
    }

    /// Fills in `repeats`, by the Z algorithm on the tokens from the last one back (Gusfield, "Algorithms on Strings,
    /// Trees and Sequences", 1997, 1.4).
    fn find_repeats(&mut self) {
        let n = self.recent.len();
        let last = |i: usize| self.recent[n - 1 - i];
        self.repeats.clear();
        self.repeats.push(0);
        // Tokens `left..right` are known to be as those from the last one on.
        let (mut left, mut right) = (0, 0);
        for k in 1..n {
            let known = if k < right { self.repeats[k - left].min(right - k) } else { 0 };
            let mut len = known;
            while k + len < n && last(len) == last(k + len) {
                len += 1;
            }
            if k + len > right {
                (left, right) = (k, k + len);
            }
            self.repeats.push(len);
        }
    }
}

impl Sampler for Dry {
    fn name(&self) -> &'static str {
        "dry"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.last_n == 0 {
            return;
        }
        self.find_penalties();
        // What is larger than an f32 is not taken off.
        let largest = match self.base > 1.000_001 {
            true => (f32::MAX.ln() / self.base.ln()) as usize,
            false => usize::MAX,
        };
        let (multiplier, base, allowed) = (self.multiplier, f64::from(self.base), self.allowed_length);
        candidates.edit(
            &self.penalties,
            self.last_n,
            |p| p.0,
            |&(_, len), logit| {
                let exponent = (len - allowed).min(largest).min(i32::MAX as usize);
                logit - (f64::from(multiplier) * base.powi(exponent as i32)) as f32
            },
        );
    }

    fn accept(&mut self, token: Token) {
        if self.last_n == 0 {
            return;
        }
        if self.recent.len() == self.last_n {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    fn reset(&mut self) {
        self.recent.clear();
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        // A derived clone would have room for no more than the history has now.
        let breakers = self.breakers.clone();
        let mut copy =
            Self::with_history(self.multiplier, self.base, self.allowed_length, self.last_n, breakers);
        copy.recent.extend(&self.recent);
        Box::new(copy)
    }
}
