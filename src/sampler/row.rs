//! A row of logits with sparse changes, read in place.

use super::Token;
use super::scan::{self, BLOCK};

/// Candidates that are still the caller's row of logits: candidate `i` is token `i`.
pub(super) struct Row<'a> {
    /// `[n_vocab]`
    pub(super) logits: &'a [f32],
    /// Every logit, edits included, is divided by this.
    pub(super) divisor: f32,
    pub(super) scratch: &'a mut Scratch,
    /// How many edits those who have edited may ever make.
    pub(super) room: usize,
    /// Whether `scratch.maxima` describes the row as it is now.
    pub(super) scanned: bool,
}

/// Buffers that outlive a token.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    /// Tokens whose logit differs from the row's, by ascending id, before the division.
    pub(super) edits: Vec<(Token, f32)>,
    /// The largest logit of each block, before the division.
    pub(super) maxima: Vec<f32>,
    /// The candidates of a selection: complemented key of the logit, then id.
    pub(super) top: Vec<u64>,
    /// The sum of the softmax weights of each block.
    pub(super) sums: Vec<f64>,
}

impl Row<'_> {
    /// Writes the maxima of all blocks; false if a logit is NaN.
    pub(super) fn find_maxima(&mut self) -> bool {
        let mut maxima = std::mem::take(&mut self.scratch.maxima);
        maxima.resize(self.logits.len().div_ceil(BLOCK), 0.0);
        let mut nan = scan::block_maxima(self.logits, &mut maxima);
        for same_block in self.scratch.edits.chunk_by(|a, b| a.0 as usize / BLOCK == b.0 as usize / BLOCK) {
            let b = same_block[0].0 as usize / BLOCK;
            let mut buf = [0.0; BLOCK];
            let block = self.edited(b, &mut buf);
            nan |= scan::block_maxima(block, &mut maxima[b..=b]);
        }
        self.scratch.maxima = maxima;
        self.scanned = true;
        !nan
    }

    /// The logits of block `b` with edits, before the division.
    fn edited<'b>(&self, b: usize, buf: &'b mut [f32; BLOCK]) -> &'b mut [f32] {
        let start = b * BLOCK;
        let logits = &self.logits[start..self.logits.len().min(start + BLOCK)];
        let block = &mut buf[..logits.len()];
        block.copy_from_slice(logits);
        let edits = &self.scratch.edits;
        let from = edits.partition_point(|e| (e.0 as usize) < start);
        for &(id, logit) in edits[from..].iter().take_while(|e| (e.0 as usize) < start + BLOCK) {
            block[id as usize - start] = logit;
        }
        block
    }

    /// The logits of block `b` as the samplers have left them.
    pub(super) fn block<'b>(&self, b: usize, buf: &'b mut [f32; BLOCK]) -> &'b mut [f32] {
        let block = self.edited(b, buf);
        if self.divisor != 1.0 {
            block.iter_mut().for_each(|x| *x /= self.divisor);
        }
        block
    }

    /// Calls `found` with each candidate of at least `min_logit`, by ascending id. The row must have been
    /// scanned.
    #[inline]
    pub(super) fn survivors(&self, min_logit: f32, mut found: impl FnMut(Token, f32)) {
        let (mut scaled, mut buf) = ([0.0; BLOCK], [0.0; BLOCK]);
        let as_it_is = self.divisor == 1.0;
        for (c, chunk) in self.scratch.maxima.chunks(BLOCK).enumerate() {
            let maxima = if as_it_is {
                chunk
            } else {
                let scaled = &mut scaled[..chunk.len()];
                scaled.iter_mut().zip(chunk).for_each(|(x, &max)| *x = max / self.divisor);
                scaled
            };
            for b in ones(scan::at_least(maxima, min_logit)).map(|i| c * BLOCK + i) {
                let start = b * BLOCK;
                let block = if as_it_is && self.scratch.edits.is_empty() {
                    &self.logits[start..self.logits.len().min(start + BLOCK)]
                } else {
                    self.block(b, &mut buf)
                };
                for i in ones(scan::at_least(block, min_logit)) {
                    found((start + i) as Token, block[i]);
                }
            }
        }
    }
}

/// The positions of the ones in `bits`, ascending.
fn ones(mut bits: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then_some(bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        at
    })
}
