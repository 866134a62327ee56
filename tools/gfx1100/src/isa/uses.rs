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
    /// The vector registers read, if they are one to four; some of them twice then.
    few: [u8; 4],
    is_few: bool,
    n_read: u8,
    n_write: u8,
    n_carry: u8,
}

impl Uses {
    /// Vector registers read, if they are so few that all are named here. May name one twice.
    #[inline(always)]
    pub fn few_read(&self) -> Option<[u8; 4]> {
        self.is_few.then_some(self.few)
    }

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

impl Uses {
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
        let read: Vec<u8> = uses.v_read().iter().flat_map(|s| s.registers()).map(|r| r as u8).collect();
        uses.is_few = (1..=4).contains(&read.len());
        if uses.is_few {
            uses.few = std::array::from_fn(|n| read[n % read.len()]);
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
