//! The KV cache's bookkeeping: which cell holds which position of which sequences.
//!
//! The keys and values themselves live in fixed buffers of the backend's session; operations on
//! sequences change only what is recorded here, and the mask of the next run follows from it.
//! Only moving positions ([`Cells::seq_add`]) needs work on the keys, which is left for the next
//! decode ([`Cells::take_shifts`]).

pub mod state;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::{Error, Result};

/// A sequence of a context: 0 to [`MAX_SEQ`] - 1.
pub type SeqId = i32;
/// A position in a sequence.
pub type Pos = i32;

/// Cells that attention takes or skips together: those of a word of the mask.
const BLOCK: usize = 64;

/// Sequences a context can hold.
pub const MAX_SEQ: usize = 256;

/// A set of sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SeqSet([u64; MAX_SEQ / 64]);

impl SeqSet {
    fn has(&self, seq: SeqId) -> bool {
        self.0[seq as usize / 64] >> (seq % 64) & 1 == 1
    }
    fn insert(&mut self, seq: SeqId) {
        self.0[seq as usize / 64] |= 1 << (seq % 64);
    }
    fn remove(&mut self, seq: SeqId) {
        self.0[seq as usize / 64] &= !(1 << (seq % 64));
    }
    fn is_empty(&self) -> bool {
        self.0 == [0; MAX_SEQ / 64]
    }
}

/// The cells of a context. Allocated once; no operation allocates.
pub struct Cells {
    pos: Vec<Pos>,
    seqs: Vec<SeqSet>,
    /// Positions by which the keys of each cell are still to be moved.
    shift: Vec<Pos>,
    has_shift: bool,
    n_used: usize,
    n_seq: usize,
    /// Cells in use in each block.
    used: Vec<u8>,
    /// The highest position of each sequence and its cell; `None` where they have to be looked up.
    last: Vec<Option<(Pos, usize)>>,
    /// No cell before this one is free.
    head: usize,
    /// No cell from this one on is in use.
    end: usize,
}

impl Cells {
    /// `n_cells` empty cells for the sequences 0 to `n_seq` - 1.
    pub fn new(n_cells: usize, n_seq: usize) -> Cells {
        Cells {
            pos: vec![0; n_cells],
            seqs: vec![SeqSet::default(); n_cells],
            shift: vec![0; n_cells],
            has_shift: false,
            n_used: 0,
            n_seq,
            used: vec![0; n_cells.div_ceil(BLOCK)],
            last: vec![None; n_seq],
            head: 0,
            end: 0,
        }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.pos.len()
    }

    /// Whether no cell is in use.
    pub fn is_empty(&self) -> bool {
        self.n_used == 0
    }

    /// Cells in use.
    pub fn n_used(&self) -> usize {
        self.n_used
    }

    /// Cells up to the last one in use.
    pub fn n_kv(&self) -> usize {
        self.end
    }

    /// An error unless `seq` is a sequence of this context.
    pub fn check_seq(&self, seq: SeqId) -> Result<()> {
        if seq < 0 || seq as usize >= self.n_seq {
            return Err(Error::InvalidArgument(format!(
                "sequence {seq} is out of range: the context was made for {} (n_seq_max)",
                self.n_seq
            )));
        }
        Ok(())
    }

    /// Empties every cell.
    pub fn clear(&mut self) {
        self.seqs.fill(SeqSet::default());
        self.shift.fill(0);
        self.used.fill(0);
        self.last.fill(None);
        (self.has_shift, self.n_used, self.head, self.end) = (false, 0, 0, 0);
    }

    fn in_range(&self, i: usize, seq: SeqId, range: &Range<Pos>) -> bool {
        self.seqs[i].has(seq) && range.contains(&self.pos[i])
    }

    fn drop_seq(&mut self, i: usize, seq: SeqId) {
        self.last[seq as usize] = None;
        self.seqs[i].remove(seq);
        if self.seqs[i].is_empty() {
            self.freed(i);
        }
    }

    /// Notes that cell `i` has come to be in no sequence.
    fn freed(&mut self, i: usize) {
        self.n_used -= 1;
        self.used[i / BLOCK] -= 1;
        self.shift[i] = 0;
        self.head = self.head.min(i);
        while self.end > 0 && self.seqs[self.end - 1].is_empty() {
            self.end -= 1;
        }
    }

    /// Removes the tokens of `seq` at the positions of `range`.
    pub fn seq_rm(&mut self, seq: SeqId, range: Range<Pos>) -> Result<()> {
        self.check_seq(seq)?;
        for i in 0..self.end {
            if self.in_range(i, seq, &range) {
                self.drop_seq(i, seq);
            }
        }
        Ok(())
    }

    /// Makes the tokens of `src` at the positions of `range` tokens of `dst` too. No data moves.
    pub fn seq_cp(&mut self, src: SeqId, dst: SeqId, range: Range<Pos>) -> Result<()> {
        self.check_seq(src)?;
        self.check_seq(dst)?;
        self.last[dst as usize] = None;
        for i in 0..self.end {
            if self.in_range(i, src, &range) {
                self.seqs[i].insert(dst);
            }
        }
        Ok(())
    }

    /// Removes every sequence but `seq`.
    pub fn seq_keep(&mut self, seq: SeqId) -> Result<()> {
        self.check_seq(seq)?;
        self.last.fill(None);
        for i in 0..self.end {
            let (was_free, keep) = (self.seqs[i].is_empty(), self.seqs[i].has(seq));
            self.seqs[i] = SeqSet::default();
            if keep {
                self.seqs[i].insert(seq);
            } else if !was_free {
                self.freed(i);
            }
        }
        Ok(())
    }

    /// Moves the tokens of `seq` at the positions of `range` by `delta`. Tokens that would come to
    /// lie before position 0 are removed. Tokens that another sequence shares cannot move.
    pub fn seq_add(&mut self, seq: SeqId, range: Range<Pos>, delta: Pos) -> Result<()> {
        self.seq_move(seq, range, |pos| {
            pos.checked_add(delta)
                .ok_or_else(|| Error::InvalidArgument(format!("position {pos} + {delta} overflows")))
        })
    }

    /// Divides the positions of the tokens of `seq` in `range` by `divisor`, rounding down: several
    /// tokens then share one. Tokens that another sequence shares cannot move.
    pub fn seq_div(&mut self, seq: SeqId, range: Range<Pos>, divisor: Pos) -> Result<()> {
        if divisor <= 0 {
            return Err(Error::InvalidArgument(format!(
                "positions divided by {divisor}; expected 1 or more"
            )));
        }
        self.seq_move(seq, range, |pos| Ok(pos / divisor))
    }

    fn seq_move(&mut self, seq: SeqId, range: Range<Pos>, to: impl Fn(Pos) -> Result<Pos>) -> Result<()> {
        self.check_seq(seq)?;
        let mut alone = SeqSet::default();
        alone.insert(seq);
        for i in 0..self.end {
            if !self.in_range(i, seq, &range) {
                continue;
            }
            if self.seqs[i] != alone {
                return Err(Error::InvalidArgument(format!(
                    "position {} of sequence {seq} is shared with another sequence and cannot be moved; \
                     remove it from the other one first",
                    self.pos[i]
                )));
            }
            to(self.pos[i])?;
        }
        self.last[seq as usize] = None;
        for i in 0..self.end {
            if self.in_range(i, seq, &range) {
                let pos = to(self.pos[i])?;
                if pos < 0 {
                    self.drop_seq(i, seq);
                } else if pos != self.pos[i] {
                    self.shift[i] += pos - self.pos[i];
                    self.pos[i] = pos;
                    self.has_shift = true;
                }
            }
        }
        Ok(())
    }

    /// The lowest and highest position of `seq`; `None` if it has no tokens.
    pub fn seq_range(&self, seq: SeqId) -> Result<Option<(Pos, Pos)>> {
        self.check_seq(seq)?;
        let mut range = None;
        for i in (0..self.end).filter(|&i| self.seqs[i].has(seq)) {
            let (lo, hi) = range.unwrap_or((self.pos[i], self.pos[i]));
            range = Some((lo.min(self.pos[i]), hi.max(self.pos[i])));
        }
        Ok(range)
    }

    /// Whether keys wait to be moved.
    pub fn has_shifts(&self) -> bool {
        self.has_shift
    }

    /// The shifts still to be made, one per cell, which are then taken as made.
    pub fn take_shifts(&mut self, out: &mut [Pos]) {
        out.copy_from_slice(&self.shift);
        self.shift.fill(0);
        self.has_shift = false;
    }

    /// Free cells.
    pub fn n_free(&self) -> usize {
        self.len() - self.n_used
    }

    /// Puts a token at a free cell and gives its index; `None` if there is none, or no sequence.
    ///
    /// Where a context has several sequences, each fills blocks of its own as long as there are free
    /// ones, so that attention to one skips the cells of the others, and nothing need be moved together
    /// later.
    pub fn place(&mut self, pos: Pos, seqs: &[SeqId]) -> Option<usize> {
        let first = *seqs.first()?;
        let own = if self.n_seq > 1 { self.own_block(first) } else { None };
        let i = own.or_else(|| self.lowest_free())?;
        self.pos[i] = pos;
        for &seq in seqs {
            self.seqs[i].insert(seq);
            let last = &mut self.last[seq as usize];
            if last.is_some_and(|(highest, _)| highest <= pos) {
                *last = Some((pos, i));
            }
        }
        self.took(i);
        Some(i)
    }

    /// The lowest free cell, whence the next search begins.
    fn lowest_free(&mut self) -> Option<usize> {
        self.head = (self.head..self.len()).find(|&i| self.seqs[i].is_empty())?;
        Some(self.head)
    }

    /// The next free cell of the last block that `seq` fills, or the first of an empty block.
    fn own_block(&mut self, seq: SeqId) -> Option<usize> {
        let last = self.last(seq);
        self.after(last).or_else(|| self.used.iter().position(|&n| n == 0).map(|b| b * BLOCK))
    }

    /// Notes that cell `i`, which was free, is in use.
    fn took(&mut self, i: usize) {
        self.n_used += 1;
        self.used[i / BLOCK] += 1;
        self.end = self.end.max(i + 1);
        if self.head == i {
            self.head = i + 1;
        }
    }

    /// The highest position of `seq` and the (last) cell that has it.
    fn last(&mut self, seq: SeqId) -> Option<(Pos, usize)> {
        if self.last[seq as usize].is_none() {
            let cells = (0..self.end).filter(|&i| self.seqs[i].has(seq));
            self.last[seq as usize] = cells.map(|i| (self.pos[i], i)).max();
        }
        self.last[seq as usize]
    }

    /// The cell after the last one of a sequence, if it is free and begins no block of others.
    fn after(&self, last: Option<(Pos, usize)>) -> Option<usize> {
        let i = last?.1 + 1;
        let free = self.seqs.get(i)?.is_empty();
        (free && (!i.is_multiple_of(BLOCK) || self.used[i / BLOCK] == 0)).then_some(i)
    }

    /// Frees a cell that [`Cells::place`] gave.
    pub fn unplace(&mut self, i: usize) {
        self.last.fill(None);
        self.seqs[i] = SeqSet::default();
        self.freed(i);
    }

    /// Sets one bit for each of the first `n_kv` cells that a token at `pos` of `seq` sees: those
    /// of its sequence at or before its position. Clears the rest of the words that hold them.
    pub fn mask_row(&self, seq: SeqId, pos: Pos, n_kv: usize, out: &mut [u64]) {
        let (word, bit) = (seq as usize / 64, seq % 64);
        for (w, out) in out[..n_kv.div_ceil(64)].iter_mut().enumerate() {
            let cells = w * 64..n_kv.min(w * 64 + 64);
            let mut bits = 0;
            for (b, (p, s)) in self.pos[cells.clone()].iter().zip(&self.seqs[cells]).enumerate() {
                bits |= ((s.0[word] >> bit) & u64::from(*p <= pos)) << b;
            }
            *out = bits;
        }
    }
}
