//! Which registers an instruction reads and writes, worked out once for each.

use super::{File, Inst, Kind, Op, Operand, flag};
use crate::wave::sgpr;

/// Consecutive vector registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u8,
    /// How many.
    pub count: u8,
}

impl Span {
    /// Their numbers.
    #[inline]
    pub fn registers(&self) -> std::ops::Range<usize> {
        let first = self.first as usize;
        first..first + self.count as usize
    }
}

/// What registers an instruction reads and writes, worked out once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uses {
    /// Scalar registers read, a bit each; [`sgpr::SCC`]'s is SCC.
    pub s_read: u128,
    /// Scalar registers written.
    pub s_write: u128,
    /// Scalar registers that are only moved elsewhere.
    pub s_carry: u128,
    spans: [Span; 6],
    n_read: u8,
    n_write: u8,
    n_carry: u8,
}

impl Uses {
    /// Vector registers read.
    #[inline]
    pub fn v_read(&self) -> &[Span] {
        &self.spans[..self.n_read as usize]
    }

    /// Vector registers written.
    #[inline]
    pub fn v_write(&self) -> &[Span] {
        let at = self.n_read as usize;
        &self.spans[at..at + self.n_write as usize]
    }

    /// Vector registers that are only moved elsewhere, so that reading one that was never written is no
    /// error yet.
    #[inline]
    pub fn v_carry(&self) -> &[Span] {
        let at = (self.n_read + self.n_write) as usize;
        &self.spans[at..at + self.n_carry as usize]
    }
}

/// Registers, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Scalar ones.
    pub s: u128,
    /// Vector registers, from the lowest.
    pub v: [u64; 4],
}

impl Registers {
    /// All that there are.
    pub const ALL: Registers = Registers { s: !0, v: [!0; 4] };

    /// Whether any is in both.
    #[inline(always)]
    pub fn meets(&self, other: &Registers) -> bool {
        let v = (0..4).fold(0, |any, n| any | self.v[n] & other.v[n]);
        let s = self.s & other.s;
        v | s as u64 | (s >> 64) as u64 != 0
    }

    /// Those in either.
    pub fn or(&self, other: &Registers) -> Registers {
        Registers { s: self.s | other.s, v: std::array::from_fn(|n| self.v[n] | other.v[n]) }
    }

    /// Adds a vector register.
    #[inline]
    pub fn add(&mut self, r: usize) {
        self.v[r / 64] |= 1 << (r % 64);
    }
}

impl Uses {
    /// All registers that are read or written.
    pub(super) fn all(&self) -> Registers {
        let mut all = Registers { s: self.s_read | self.s_write | self.s_carry, v: [0; 4] };
        let spans = &self.spans[..(self.n_read + self.n_write + self.n_carry) as usize];
        spans.iter().flat_map(|span| span.registers()).for_each(|r| all.add(r));
        all
    }

    /// Of an instruction whose operands are known.
    pub(super) fn of(inst: &Inst) -> Uses {
        let op = inst.op;
        let mut uses = Uses::default();
        let carried = |n: usize| op.is(flag::MOVES) || op.is(flag::CROSSES_LANES) && n == 0;
        let in_lanes = |n: usize| inst.src[n].file == File::Vector;
        for n in 0..4 {
            let o = inst.src[n];
            if o.file == File::Scalar && op.is(flag::MOVES) && o.kind != Kind::Mask {
                uses.s_carry |= scalars(&o);
            } else if o.file == File::Scalar {
                uses.s_read |= scalars(&o);
            } else if in_lanes(n) && !carried(n) {
                uses.push(&o);
                uses.n_read += 1;
            }
        }
        for o in [inst.dst, inst.dst2] {
            if o.file == File::Scalar {
                uses.s_write |= scalars(&o);
                if op.is(flag::READS_DST) {
                    uses.s_read |= scalars(&o);
                }
            } else if o.file == File::Vector {
                uses.push(&o);
                uses.n_write += 1;
            }
        }
        for n in (0..4).filter(|&n| in_lanes(n) && carried(n)) {
            uses.push(&inst.src[n]);
            uses.n_carry += 1;
        }
        let (read, write) = fixed(op);
        uses.s_read |= read;
        uses.s_write |= write;
        uses
    }

    fn push(&mut self, o: &Operand) {
        let at = (self.n_read + self.n_write + self.n_carry) as usize;
        self.spans[at] = Span { first: o.number, count: o.registers() };
    }
}

/// The bits of scalar registers.
fn scalars(o: &Operand) -> u128 {
    match o.number {
        sgpr::NULL => 0,
        number => ((1 << o.registers()) - 1) << number,
    }
}

/// What no operand names.
fn fixed(op: &Op) -> (u128, u128) {
    let bit = |wanted: u16, register: u8| if op.is(wanted) { 1u128 << register } else { 0 };
    let read =
        bit(flag::READS_SCC, sgpr::SCC) | bit(flag::READS_VCC, sgpr::VCC) | bit(flag::READS_M0, sgpr::M0);
    let write = bit(flag::WRITES_SCC, sgpr::SCC) | bit(flag::WRITES_VCC, sgpr::VCC);
    debug_assert!(op.dst2 != Kind::None || op.dst2.registers() == 0);
    (read, write | bit(flag::WRITES_EXEC, sgpr::EXEC))
}
