//! Penalties for what has been said lately.

use super::{Candidates, Sampler, Token, finite};
use crate::{Error, Result};
use std::collections::VecDeque;

/// Makes the tokens among the last `last_n` accepted less likely.
///
/// Repetition (Keskar et al., "CTRL", 2019): a positive logit is divided by `repeat`, another multiplied,
/// so that either falls. Frequency and presence, as in OpenAI's API: `count * freq + present` is taken off.
#[derive(Clone, Debug)]
pub struct Penalties {
    last_n: usize,
    repeat: f32,
    freq: f32,
    present: f32,
    /// The last tokens, oldest first.
    recent: VecDeque<Token>,
    /// How often each of them occurs, by ascending token.
    counts: Vec<(Token, u32)>,
}

impl Penalties {
    /// The longest history: memory for it is taken at once.
    pub const MAX_LAST_N: usize = 1 << 20;

    /// `last_n` 0, or `repeat` 1 with `freq` and `present` 0, change nothing. An error unless `repeat` is
    /// positive, all are finite, and `last_n` is at most [`Penalties::MAX_LAST_N`].
    pub fn new(last_n: usize, repeat: f32, freq: f32, present: f32) -> Result<Self> {
        finite("the repetition penalty", repeat)?;
        finite("the frequency penalty", freq)?;
        finite("the presence penalty", present)?;
        if repeat <= 0.0 {
            return Err(Error::InvalidArgument(format!(
                "the repetition penalty must be greater than 0, not {repeat}; 1 is none"
            )));
        }
        if last_n > Self::MAX_LAST_N {
            return Err(Error::InvalidArgument(format!(
                "penalties over the last {last_n} tokens: at most {} are remembered",
                Self::MAX_LAST_N
            )));
        }
        let last_n = if repeat == 1.0 && freq == 0.0 && present == 0.0 { 0 } else { last_n };
        Ok(Self::with_history(last_n, repeat, freq, present))
    }

    fn with_history(last_n: usize, repeat: f32, freq: f32, present: f32) -> Self {
        let (recent, counts) = (VecDeque::with_capacity(last_n), Vec::with_capacity(last_n));
        Penalties { last_n, repeat, freq, present, recent, counts }
    }
}

impl Sampler for Penalties {
    fn name(&self) -> &'static str {
        "penalties"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        if self.last_n == 0 {
            return;
        }
        candidates.edit(
            &self.counts,
            self.last_n,
            |c| c.0,
            |&(_, count), logit| {
                let scaled = if logit <= 0.0 { logit * self.repeat } else { logit / self.repeat };
                scaled - (count as f32 * self.freq + self.present)
            },
        );
    }

    fn accept(&mut self, token: Token) {
        if self.last_n == 0 {
            return;
        }
        if self.recent.len() == self.last_n
            && let Some(oldest) = self.recent.pop_front()
            && let Ok(i) = self.counts.binary_search_by_key(&oldest, |c| c.0)
        {
            self.counts[i].1 -= 1;
            if self.counts[i].1 == 0 {
                self.counts.remove(i);
            }
        }
        self.recent.push_back(token);
        match self.counts.binary_search_by_key(&token, |c| c.0) {
            Ok(i) => self.counts[i].1 += 1,
            Err(i) => self.counts.insert(i, (token, 1)),
        }
    }

    fn reset(&mut self) {
        self.recent.clear();
        self.counts.clear();
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        // A derived clone would have room for no more than the history has now.
        let mut copy = Self::with_history(self.last_n, self.repeat, self.freq, self.present);
        copy.recent.extend(&self.recent);
        copy.counts.extend(&self.counts);
        Box::new(copy)
    }
}
