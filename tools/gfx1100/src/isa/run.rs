//! Programs, and a step of one.

use super::{Exec, Fault, File, Inst, Op, Operand, Register, decode, dpp, flag, lanes};
use crate::wave::{Wave, sgpr};

/// Instructions in a row, decoded.
#[derive(Clone, Debug)]
pub struct Program {
    /// Them.
    pub insts: Vec<Inst>,
    /// The address of the first, as `s_getpc_b64` sees it.
    pub address: u64,
    /// By word: the instruction that begins there, or `u32::MAX`.
    index: Vec<u32>,
}

impl Program {
    /// Decodes code that lies at `address`.
    ///
    /// # Errors
    ///
    /// For words that are no known instruction, or one that uses what is not supported.
    pub fn decode(code: &[u8], address: u64) -> Result<Program, Fault> {
        let words: Vec<u32> =
            code.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let mut insts = Vec::new();
        let mut index = vec![u32::MAX; words.len()];
        let mut at = 0;
        while at < words.len() {
            let inst = decode::decode(&words[at..], 4 * at as u32)?;
            index[at] = insts.len() as u32;
            at += inst.n_words as usize;
            insts.push(inst);
        }
        let mut program = Program { insts, address, index };
        for n in 0..program.insts.len() {
            let inst = &program.insts[n];
            if matches!(inst.op.exec, Exec::Branch(_)) {
                let to = inst.at as i64 + 4 + 4 * inst.imm as i64;
                program.insts[n].target = program.index_of(to).unwrap_or(usize::MAX);
            }
        }
        Ok(program)
    }

    /// The instruction that begins this many bytes from the start.
    pub fn index_of(&self, offset: i64) -> Option<usize> {
        let word = usize::try_from(offset).ok().filter(|o| o % 4 == 0)? / 4;
        self.index.get(word).filter(|&&i| i != u32::MAX).map(|&i| i as usize)
    }

    /// How many vector registers the instructions from `start` up to `end` (indices) use.
    pub fn n_vgprs(&self, start: usize, end: usize) -> usize {
        let halves = |i: &Inst| [Some(i.uses), i.dual.as_ref().map(|d| d.uses)];
        let spans = self.insts[start..end].iter().flat_map(halves).flatten();
        let ends = spans.map(|uses| {
            let all = uses.v_read().iter().chain(uses.v_write()).chain(uses.v_carry());
            all.map(|s| s.registers().end).max().unwrap_or(0)
        });
        ends.max().unwrap_or(0)
    }

    /// Runs a wave's next instruction if it needs nothing but the wave's registers, and goes on to the
    /// following one. Otherwise gives it back undone, checked ([`Wave::check`]) and with `pc` where it was:
    /// the caller does it, notes what it wrote ([`Wave::written`]) and steps `pc` on.
    ///
    /// The wave must have as many vector registers as [`Program::n_vgprs`] says.
    ///
    /// # Errors
    ///
    /// If it cannot be run; `pc` is where it was.
    #[inline]
    pub fn step(&self, wave: &mut Wave) -> Result<Option<&Inst>, Fault> {
        let inst = self.insts.get(wave.pc).ok_or(Fault::Target)?;
        if inst.touched.meets(&wave.suspects) {
            return self.step_closely(wave, inst);
        }
        match inst.op.exec {
            Exec::Compute(_) | Exec::Lanes { .. } | Exec::Checked(_) => run(wave, inst, false)?,
            _ => return self.step_on(wave, inst),
        }
        wave.pc += 1;
        Ok(None)
    }

    /// A step that touches registers that may not be in order.
    #[inline(never)]
    fn step_closely<'a>(&self, wave: &mut Wave, inst: &'a Inst) -> Result<Option<&'a Inst>, Fault> {
        wave.check(inst)?;
        if let Some(second) = &inst.dual {
            wave.check(second)?;
        }
        match inst.op.exec {
            Exec::Compute(_) | Exec::Lanes { .. } | Exec::Checked(_) => run(wave, inst, true)?,
            _ => {
                wave.settle(&inst.touched);
                return self.step_on(wave, inst);
            }
        }
        wave.settle(&inst.touched);
        wave.pc += 1;
        Ok(None)
    }

    /// A step that does not compute.
    #[inline]
    fn step_on<'a>(&self, wave: &mut Wave, inst: &'a Inst) -> Result<Option<&'a Inst>, Fault> {
        match inst.op.exec {
            Exec::Nothing => {}
            Exec::Branch(taken) => {
                if taken(wave) {
                    if inst.target == usize::MAX {
                        return Err(Fault::Target);
                    }
                    wave.pc = inst.target;
                    return Ok(None);
                }
            }
            Exec::Address => {
                self.put_next(wave, inst);
            }
            Exec::Jump => {
                let at = inst.src[0].number as usize;
                let to = wave.s[at] as u64 | (wave.s[at + 1] as u64) << 32;
                let target = self.index_of(to.wrapping_sub(self.address) as i64).ok_or(Fault::Target)?;
                if inst.dst.is_some() {
                    self.put_next(wave, inst);
                }
                wave.pc = target;
                return Ok(None);
            }
            Exec::Padding => return Err(Fault::Unsupported("the padding after a kernel")),
            _ => return Ok(Some(inst)),
        }
        wave.pc += 1;
        Ok(None)
    }

    /// The address of the next instruction as the result.
    fn put_next(&self, wave: &mut Wave, inst: &Inst) {
        let next = self.address + inst.at as u64 + 4 * inst.n_words as u64;
        wave.set_sgpr(inst.dst.number, next as u32);
        wave.set_sgpr(inst.dst.number + 1, (next >> 32) as u32);
    }
}

/// What computes an instruction on this processor.
///
/// # Safety
///
/// The processor must have what it was compiled for: [`chosen`] asks.
pub(super) type Run = unsafe fn(&mut Wave, &Inst);

/// The executor of an instruction.
pub(super) fn chosen(op: &Op) -> Run {
    match op.exec {
        Exec::Compute(f) => f,
        Exec::Lanes { wide, .. } if lanes::has_wide() => wide,
        Exec::Lanes { plain, .. } => plain,
        _ => |_, _| {},
    }
}

/// Runs an instruction that computes, and if asked to, notes what it wrote.
#[inline(always)]
fn run(wave: &mut Wave, inst: &Inst, notes: bool) -> Result<(), Fault> {
    match &inst.dual {
        None => run_one(wave, inst, notes),
        Some(second) => {
            if !inst.overlaps {
                run_one(wave, inst, notes)?;
                return run_one(wave, second, notes);
            }
            // The second half reads the register as it was.
            let at = inst.dst.number as usize;
            let before = (wave.v[at], wave.v_defined[at]);
            run_one(wave, inst, notes)?;
            let after = (wave.v[at], wave.v_defined[at]);
            (wave.v[at], wave.v_defined[at]) = before;
            let done = run_one(wave, second, notes);
            (wave.v[at], wave.v_defined[at]) = after;
            done
        }
    }
}

#[inline(always)]
fn run_one(wave: &mut Wave, inst: &Inst, notes: bool) -> Result<(), Fault> {
    let exec = wave.exec();
    if let Some(crossing) = &inst.crossing {
        return run_crossing(wave, inst, crossing, exec);
    }
    compute(wave, inst)?;
    if notes {
        note(wave, inst, exec);
    }
    Ok(())
}

#[inline(always)]
fn compute(wave: &mut Wave, inst: &Inst) -> Result<(), Fault> {
    match inst.op.exec {
        Exec::Checked(f) => f(wave, inst)?,
        // SAFETY: `chosen` gave the executor, having asked the processor.
        _ => unsafe { (inst.run)(wave, inst) },
    }
    Ok(())
}

/// Notes what was written; moves have done so themselves.
#[inline(always)]
fn note(wave: &mut Wave, inst: &Inst, exec: u32) {
    if inst.op.is(flag::MOVES) {
        if inst.uses.s_carry & !wave.s_defined != 0 && inst.dst.is_scalar() {
            note_scalar_move(wave, inst);
        } else {
            wave.s_defined |= inst.uses.s_write;
        }
    } else {
        wave.written(inst, exec);
    }
}

/// A scalar move of what was not written.
#[cold]
fn note_scalar_move(wave: &mut Wave, inst: &Inst) {
    let defined: Vec<bool> =
        (0..inst.dst.registers()).map(|n| wave.s_defined_of(inst.src[0].number, n as usize)).collect();
    for (n, defined) in defined.into_iter().enumerate().filter(|_| inst.dst.number != sgpr::NULL) {
        let bit = 1 << (inst.dst.number as usize + n);
        wave.s_defined = if defined { wave.s_defined | bit } else { wave.s_defined & !bit };
    }
}

/// With operand 0 from other lanes, and in the lanes only that this writes.
fn run_crossing(wave: &mut Wave, inst: &Inst, crossing: &dpp::Crossing, exec: u32) -> Result<(), Fault> {
    let lanes = crossing.fetch(wave, inst)?;
    let undefined = lanes & !wave.moved_defined;
    if undefined != 0 && !inst.op.is(flag::MOVES) {
        return Err(Fault::Undefined { register: Register::Vector(inst.src[0].number), lanes: undefined });
    }
    wave.s[sgpr::EXEC as usize] = lanes;
    let done = compute(wave, inst);
    note(wave, inst, lanes);
    if !inst.op.is(flag::WRITES_EXEC) {
        wave.s[sgpr::EXEC as usize] = exec;
    }
    done
}

/// That a half of a dual instruction reads a register.
pub(super) fn reads(inst: &Inst, written: &Operand) -> bool {
    inst.src
        .iter()
        .any(|o| o.file == File::Vector && written.file == File::Vector && o.number == written.number)
}
