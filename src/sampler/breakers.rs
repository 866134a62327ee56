//! Where a repetition ends: texts, as the tokens that they may be spelt with.

use super::Token;
use crate::Result;
use crate::tokenizer::Vocab;

/// Sequences of tokens across which [`Dry`](super::Dry) sees no repetition: a head, and what has to follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breakers(Vec<(Token, Vec<Token>)>);

impl Breakers {
    /// The longest text, in bytes; of a longer one so many are taken.
    pub const MAX_TEXT: usize = 40;
    /// The most tokens after a head.
    pub const MAX_TAIL: usize = 20;

    /// Sequences as they are; empty ones are left out.
    pub fn new(sequences: impl IntoIterator<Item = Vec<Token>>) -> Breakers {
        let mut all: Vec<(Token, Vec<Token>)> = sequences
            .into_iter()
            .filter_map(|mut tokens| (!tokens.is_empty()).then(|| (tokens.remove(0), tokens)))
            .collect();
        all.sort_unstable();
        all.dedup();
        Breakers(all)
    }

    /// Every way in which tokens of a vocabulary can hold one of the texts or begin it: tokens in which it is, and
    /// tokens that end in its beginning, followed by the rest. Empty texts are left out. An error if the vocabulary
    /// cannot spell one.
    pub fn of_texts(vocab: &Vocab, texts: &[&[u8]]) -> Result<Breakers> {
        let mut found = Vec::new();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let text = &text[..text.len().min(Self::MAX_TEXT)];
            let rest = (0..=text.len()).map(|i| {
                let mut tail = vocab.tokenize(&text[i..], false, false)?;
                tail.truncate(Self::MAX_TAIL);
                Ok(tail)
            });
            let rest = rest.collect::<Result<Vec<_>>>()?;
            for token in 0..vocab.n_tokens() as Token {
                let word = vocab.detokenize(&[token], false, true)?;
                if word.windows(text.len()).any(|part| part == text) {
                    found.push((token, Vec::new()));
                    continue;
                }
                let begins = (1..text.len().min(word.len() + 1)).filter(|&i| word.ends_with(&text[..i]));
                found.extend(begins.map(|i| (token, rest[i].clone())));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(Breakers(found))
    }

    /// What may have to follow a head.
    fn tails(&self, head: Token) -> &[(Token, Vec<Token>)] {
        let from = self.0.partition_point(|(token, _)| *token < head);
        let n = self.0[from..].partition_point(|(token, _)| *token == head);
        &self.0[from..from + n]
    }

    /// A token that is one by itself.
    pub(super) fn alone(&self, token: Token) -> bool {
        self.tails(token).iter().any(|(_, tail)| tail.is_empty())
    }

    /// How many of the last tokens lie behind the last sequence among them; `last(i)` is the token `i` from the end, of
    /// `n`. The longest sequence counts of those with one head.
    pub(super) fn behind(&self, n: usize, last: impl Fn(usize) -> Token) -> usize {
        for i in 0..n {
            let fits = |tail: &&Vec<Token>| {
                tail.len() <= i && tail.iter().enumerate().all(|(at, &token)| last(i - at - 1) == token)
            };
            let tails = self.tails(last(i)).iter().map(|(_, tail)| tail);
            if let Some(longest) = tails.filter(fits).map(Vec::len).max() {
                return i - longest;
            }
        }
        n
    }
}
