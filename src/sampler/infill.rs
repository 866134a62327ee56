//! Infill: ggerganov (2024, llama.cpp#9896).

use super::{Candidate, Candidates, Sampler};
use crate::Error;
use crate::tokenizer::Vocab;
use std::sync::Arc;

/// How probable a candidate has to be to stay.
const THRESHOLD: f32 = 0.2;

/// For text in the middle of another, behind top-k and top-p: ends it as soon as that is likely enough, and makes one of
/// candidates that begin alike.
///
/// 1. If the probability of ending, times three times the number of candidates, is more than that of text, only tokens
///    that end stay.
/// 2. Of two candidates of which one begins with the other, the more probable gets the probability of both.
/// 3. Of text what is less probable than 0.2 goes; without any left, only the token that ends a turn stays.
/// 4. Of what stays, anew, what is less probable than 1 / (1 + the number of texts) goes.
#[derive(Clone)]
pub struct Infill {
    vocab: Arc<Vocab>,
}

impl Infill {
    /// For candidates that are tokens of this vocabulary.
    pub fn new(vocab: Arc<Vocab>) -> Self {
        Infill { vocab }
    }

    fn ends(&self, c: &Candidate) -> bool {
        self.vocab.is_eog(c.id)
    }

    fn merge(&self, items: &mut [Candidate]) -> crate::Result<()> {
        for i in 0..items.len() {
            for j in (0..items.len()).filter(|&j| j != i) {
                if items[i].logit == f32::NEG_INFINITY {
                    break;
                }
                if items[j].logit == f32::NEG_INFINITY {
                    continue;
                }
                let (begin, whole) = (
                    self.vocab.token_to_piece(items[i].id, false)?,
                    self.vocab.token_to_piece(items[j].id, false)?,
                );
                if !begin.is_empty() && whole.starts_with(begin) {
                    let (to, from) = if items[j].p > items[i].p { (j, i) } else { (i, j) };
                    items[to].p += items[from].p;
                    (items[from].logit, items[from].p) = (f32::NEG_INFINITY, 0.0);
                }
            }
        }
        Ok(())
    }

    /// Drops texts that are less probable. How many are left.
    fn keep_likely(&self, items: &mut Vec<Candidate>, least: f32) -> usize {
        items.retain(|c| c.p >= least || self.ends(c));
        items.iter().filter(|c| !self.ends(c)).count()
    }
}

fn normalise(items: &mut [Candidate]) {
    let total: f32 = items.iter().map(|c| c.p).sum();
    items.iter_mut().for_each(|c| c.p /= total);
}

impl Sampler for Infill {
    fn name(&self) -> &'static str {
        "infill"
    }

    fn apply(&mut self, candidates: &mut Candidates<'_>) {
        candidates.sort();
        if candidates.softmax_32().is_none() {
            return;
        }
        let items = candidates.items();
        let share = |ends: bool| items.iter().filter(|c| self.ends(c) == ends).map(|c| c.p).sum::<f32>();
        if 3.0 * share(true) * items.len() as f32 > share(false) {
            items.retain(|c| self.ends(c));
            return normalise(items);
        }
        if let Err(e) = self.merge(items) {
            return candidates.fail(e);
        }
        candidates.set_sorted(false);
        let items = candidates.items();
        let n_texts = self.keep_likely(items, THRESHOLD);
        if n_texts == 0 {
            let Some(id) = self.vocab.eot().or(self.vocab.eos()) else {
                let text = "infill: the vocabulary has no token that ends a turn or a text";
                return candidates.fail(Error::InvalidArgument(text.into()));
            };
            let p = items.first().map_or(0.0, |c| c.p);
            items.clear();
            return items.push(Candidate { id, logit: 1.0, p });
        }
        normalise(items);
        self.keep_likely(items, 1.0 / (n_texts + 1) as f32);
        normalise(items);
    }

    fn clone_box(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
