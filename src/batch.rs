//! A batch: the tokens of one decode call.

use crate::kv::{Pos, SeqId};
use crate::tokenizer::Token;
use crate::{Error, Result};

/// Tokens to decode, each with its position, its sequences and whether its logits are wanted.
/// Made for a number of tokens and reused; adding to it never allocates.
#[derive(Clone, Debug)]
pub struct Batch {
    tokens: Vec<Token>,
    pos: Vec<Pos>,
    /// Sequences of all tokens, one after another.
    seqs: Vec<SeqId>,
    /// End of each token's sequences.
    seq_ends: Vec<usize>,
    logits: Vec<bool>,
    capacity: usize,
    n_seq_max: usize,
}

/// One token of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchToken<'a> {
    /// The token.
    pub token: Token,
    /// Its position.
    pub pos: Pos,
    /// The sequences it belongs to; it sees the tokens of the first.
    pub seqs: &'a [SeqId],
    /// Whether its logits are wanted.
    pub logits: bool,
}

impl Batch {
    /// A batch for `capacity` tokens that belong to at most `n_seq_max` sequences each.
    pub fn new(capacity: usize, n_seq_max: usize) -> Result<Batch> {
        if capacity == 0 || capacity > i32::MAX as usize || n_seq_max == 0 || n_seq_max > crate::kv::MAX_SEQ {
            return Err(Error::InvalidArgument(format!(
                "a batch for {capacity} tokens of {n_seq_max} sequences: expected at least 1 token, and 1 to {} \
                 sequences per token",
                crate::kv::MAX_SEQ
            )));
        }
        fn reserve<T>(n: usize) -> Result<Vec<T>> {
            let mut v = Vec::new();
            v.try_reserve_exact(n)
                .map_err(|_| Error::OutOfMemory(format!("no memory for a batch of {n}")))?;
            Ok(v)
        }
        let n_seqs = capacity.saturating_mul(n_seq_max);
        Ok(Batch {
            tokens: reserve(capacity)?,
            pos: reserve(capacity)?,
            seqs: reserve(n_seqs)?,
            seq_ends: reserve(capacity)?,
            logits: reserve(capacity)?,
            capacity,
            n_seq_max,
        })
    }

    /// Adds a token. [`Error::BatchFull`] if the batch holds its capacity.
    pub fn add(&mut self, token: Token, pos: Pos, seqs: &[SeqId], logits: bool) -> Result<()> {
        if self.tokens.len() == self.capacity {
            return Err(Error::BatchFull(format!(
                "the batch is full: it was made for {} tokens",
                self.capacity
            )));
        }
        if seqs.is_empty() || seqs.len() > self.n_seq_max {
            return Err(Error::InvalidArgument(format!(
                "a token of {} sequences: expected 1 to {}",
                seqs.len(),
                self.n_seq_max
            )));
        }
        self.tokens.push(token);
        self.pos.push(pos);
        self.seqs.extend_from_slice(seqs);
        self.seq_ends.push(self.seqs.len());
        self.logits.push(logits);
        Ok(())
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.pos.clear();
        self.seqs.clear();
        self.seq_ends.clear();
        self.logits.clear();
    }

    /// Tokens in the batch.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether the batch holds no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Tokens the batch was made for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Token `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn get(&self, i: usize) -> BatchToken<'_> {
        let start = if i == 0 { 0 } else { self.seq_ends[i - 1] };
        let seqs = &self.seqs[start..self.seq_ends[i]];
        BatchToken { token: self.tokens[i], pos: self.pos[i], seqs, logits: self.logits[i] }
    }

    /// Asks for the logits of token `i`, or not.
    pub fn set_logits(&mut self, i: usize, wanted: bool) -> Result<()> {
        let n = self.len();
        *self
            .logits
            .get_mut(i)
            .ok_or_else(|| Error::InvalidArgument(format!("token {i} of a batch of {n}")))? = wanted;
        Ok(())
    }
}
