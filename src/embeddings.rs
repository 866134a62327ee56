//! Embeddings: the last hidden state of a token after the final norm, or one vector for a whole
//! sequence, pooled from those of its tokens.

use crate::kv::SeqId;
use crate::model::Pooling;
use crate::{Error, Result};

/// The embeddings of one decode.
pub(crate) struct Embeddings {
    n_embd: usize,
    pooling: Pooling,
    /// Without pooling: `[n_outputs][n_embd]`.
    rows: Vec<f32>,
    n_rows: usize,
    /// With pooling: `[n_seq_max][n_embd]`.
    pooled: Vec<f32>,
    /// Tokens that went into each row of `pooled`.
    counts: Vec<u32>,
}

impl Embeddings {
    pub fn new(n_embd: usize, n_seq_max: usize, pooling: Pooling) -> Embeddings {
        let n_pooled = if pooling == Pooling::None { 0 } else { n_seq_max };
        Embeddings {
            n_embd,
            pooling,
            rows: Vec::new(),
            n_rows: 0,
            pooled: vec![0.0; n_pooled * n_embd],
            counts: vec![0; n_pooled],
        }
    }

    /// Forgets the last decode and makes room for `n` tokens of the next.
    pub fn begin(&mut self, n: usize) -> Result<()> {
        self.clear();
        let len = if self.pooling == Pooling::None { n * self.n_embd } else { 0 };
        if len > self.rows.len() {
            self.rows
                .try_reserve_exact(len - self.rows.len())
                .map_err(|_| Error::OutOfMemory(format!("no memory for {n} embeddings")))?;
            self.rows.resize(len, 0.0);
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.n_rows = 0;
        self.counts.fill(0);
    }

    /// Takes the embedding of the batch's next token, which belongs to `seqs`.
    pub fn push(&mut self, row: &[f32], seqs: &[SeqId]) {
        if self.pooling == Pooling::None {
            self.rows[self.n_rows * self.n_embd..][..self.n_embd].copy_from_slice(row);
            self.n_rows += 1;
            return;
        }
        for &seq in seqs {
            let count = &mut self.counts[seq as usize];
            let pooled = &mut self.pooled[seq as usize * self.n_embd..][..self.n_embd];
            match self.pooling {
                Pooling::Mean if *count > 0 => pooled.iter_mut().zip(row).for_each(|(p, x)| *p += x),
                Pooling::Cls if *count > 0 => {}
                _ => pooled.copy_from_slice(row),
            }
            *count += 1;
        }
    }

    /// Completes the pooled rows when all tokens are in.
    pub fn finish(&mut self) {
        if self.pooling == Pooling::Mean {
            for (pooled, &count) in self.pooled.chunks_exact_mut(self.n_embd).zip(&self.counts) {
                pooled.iter_mut().for_each(|p| *p /= count.max(1) as f32);
            }
        }
    }

    /// `[n_outputs][n_embd]`; nothing with pooling.
    pub fn rows(&self) -> &[f32] {
        &self.rows[..self.n_rows * self.n_embd]
    }

    /// Row `i` of [`Embeddings::rows`].
    pub fn row(&self, i: usize) -> Option<&[f32]> {
        self.rows().chunks_exact(self.n_embd).nth(i)
    }

    /// The pooled embedding of `seq`.
    pub fn pooled(&self, seq: SeqId) -> Result<&[f32]> {
        if self.pooling == Pooling::None {
            let m = "this context pools no embeddings; make one with a pooling type";
            return Err(Error::InvalidArgument(m.into()));
        }
        let i = usize::try_from(seq).ok().filter(|&i| self.counts.get(i).is_some_and(|&n| n > 0));
        i.and_then(|i| self.pooled.chunks_exact(self.n_embd).nth(i))
            .ok_or_else(|| Error::InvalidArgument(format!("the last decode had no tokens of sequence {seq}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(pooling: Pooling, rows: &[([f32; 2], &[SeqId])]) -> Embeddings {
        let mut e = Embeddings::new(2, 3, pooling);
        e.begin(rows.len()).unwrap();
        rows.iter().for_each(|(row, seqs)| e.push(row, seqs));
        e.finish();
        e
    }

    const ROWS: [([f32; 2], &[SeqId]); 4] =
        [([1.0, 2.0], &[0]), ([5.0, 7.0], &[2]), ([3.0, 10.0], &[0, 2]), ([5.0, 0.0], &[0])];

    #[test]
    fn each_way_of_pooling() {
        assert_eq!(pool(Pooling::Mean, &ROWS).pooled(0).unwrap(), [3.0, 4.0]);
        assert_eq!(pool(Pooling::Mean, &ROWS).pooled(2).unwrap(), [4.0, 8.5]);
        assert_eq!(pool(Pooling::Cls, &ROWS).pooled(0).unwrap(), [1.0, 2.0]);
        assert_eq!(pool(Pooling::Last, &ROWS).pooled(0).unwrap(), [5.0, 0.0]);
        assert_eq!(pool(Pooling::Last, &ROWS).pooled(2).unwrap(), [3.0, 10.0]);
        assert_eq!(pool(Pooling::None, &ROWS).rows(), [1.0, 2.0, 5.0, 7.0, 3.0, 10.0, 5.0, 0.0]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let e = pool(Pooling::Mean, &ROWS);
        for seq in [1, 3, -1] {
            assert!(e.pooled(seq).unwrap_err().to_string().contains(&format!("sequence {seq}")));
        }
        assert!(e.rows().is_empty() && e.row(0).is_none());
        assert!(pool(Pooling::None, &ROWS).pooled(0).is_err());
    }

    #[test]
    fn a_new_decode_begins_anew() {
        let mut e = pool(Pooling::Mean, &ROWS);
        e.begin(1).unwrap();
        e.push(&[8.0, 8.0], &[0]);
        e.finish();
        assert_eq!(e.pooled(0).unwrap(), [8.0, 8.0]);
        assert!(e.pooled(2).is_err());
    }
}
