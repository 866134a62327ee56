//! Operand 0 taken from other lanes (DPP): all of it is read before anything is written.

use super::{Dpp, Fault, Inst, Register};
use crate::wave::{LANES, Wave};

/// The lane that `lane` reads: within its row of 16. `None` past the row's end.
fn source(dpp: &Dpp, lane: usize) -> Option<usize> {
    let (row, at) = (lane & !15, lane & 15);
    let Dpp::Row { control, .. } = *dpp else {
        let Dpp::Eight { lanes, .. } = *dpp else { return None };
        return Some(lane & !7 | (lanes >> (3 * (lane & 7)) & 7) as usize);
    };
    let by = (control & 15) as usize;
    let from = match control {
        0..=0xff => lane & !3 & 15 | (control >> (2 * (lane & 3)) & 3) as usize,
        0x101..=0x10f => at + by,
        0x111..=0x11f => at.checked_sub(by)?,
        0x121..=0x12f => (at + 16 - by) & 15,
        0x140 => 15 - at,
        0x141 => at ^ 7,
        0x150..=0x15f => by,
        0x160..=0x16f => at ^ by,
        _ => return None,
    };
    (from < 16).then_some(row | from)
}

/// That a control means something.
pub(super) fn is_known(control: u16) -> bool {
    matches!(control, 0..=0xff | 0x101..=0x10f | 0x111..=0x11f | 0x121..=0x12f | 0x140 | 0x141 | 0x150..=0x16f)
}

/// Where each lane takes the operand from: worked out once for an instruction.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    /// The lane read.
    from: [u8; LANES],
    /// Lanes that read one.
    reads: u32,
    /// Lanes that get a zero.
    zeroes: u32,
    /// Lanes that are not active may be read.
    inactive: bool,
}

impl Crossing {
    pub(super) fn of(dpp: &Dpp) -> Crossing {
        let (banks, rows, zero, inactive) = match *dpp {
            Dpp::Row { bank_mask, row_mask, bound_ctrl, fetch_inactive, .. } => {
                (bank_mask, row_mask, bound_ctrl, fetch_inactive)
            }
            Dpp::Eight { fetch_inactive, .. } => (15, 15, false, fetch_inactive),
        };
        let mut crossing = Crossing { from: [0; LANES], reads: 0, zeroes: 0, inactive };
        for lane in 0..LANES {
            if rows >> (lane / 16) & 1 == 0 || banks >> (lane % 16 / 4) & 1 == 0 {
                continue;
            }
            match source(dpp, lane) {
                Some(at) => {
                    crossing.from[lane] = at as u8;
                    crossing.reads |= 1 << lane;
                }
                None if zero => crossing.zeroes |= 1 << lane,
                None => {}
            }
        }
        crossing
    }

    /// Fetches the operand into `Wave::moved`. Gives the lanes that the instruction writes.
    pub(super) fn fetch(&self, wave: &mut Wave, inst: &Inst) -> Result<u32, Fault> {
        let number = inst.src[0].number as usize;
        let exec = wave.exec();
        let (from, defined) = (&wave.v[number], wave.v_defined[number]);
        for lane in 0..LANES {
            wave.moved[lane] = from[self.from[lane] as usize % LANES];
        }
        let (reads, zeroes) = (self.reads & exec, self.zeroes & exec);
        let across = |mask: u32| {
            let bit = |lane: usize| (mask >> self.from[lane] & 1) << lane;
            (0..LANES).fold(0, |bits, lane| bits | bit(lane))
        };
        if exec != !0 && !self.inactive {
            let asleep = reads & !across(exec);
            if asleep != 0 {
                let lane = asleep.trailing_zeros() as u8;
                let register = Register::Vector(number as u8);
                return Err(Fault::InactiveLane { lane, from: self.from[lane as usize], register });
            }
        }
        wave.moved_defined = if defined == !0 { !0 } else { across(defined) | zeroes };
        for lane in (0..LANES).filter(|l| zeroes >> l & 1 != 0) {
            wave.moved[lane] = 0;
        }
        Ok(reads | zeroes)
    }
}
