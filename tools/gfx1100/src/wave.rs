//! The registers of one wave of 32 lanes, and what is known of each: whether it was ever written, and
//! whether a load is still to write it.

use crate::isa::{Exec, Fault, File, Inst, Register, Registers};

/// Lanes of a wave.
pub const LANES: usize = 32;

/// One vector register: a value a lane.
pub type Lanes = [u32; LANES];

/// Numbers of scalar registers, as operands encode them.
pub mod sgpr {
    /// The first of the 106 general ones.
    pub const S0: u8 = 0;
    /// The carry and comparison mask.
    pub const VCC: u8 = 106;
    /// The first of the trap temporaries, where gfx11 has none of a kernel's inputs.
    pub const TTMP0: u8 = 108;
    /// Reads as zero, swallows writes. It has no state, so its bit in masks of registers stands for SCC.
    pub const NULL: u8 = 124;
    /// The bit of masks of registers that stands for SCC.
    pub const SCC: u8 = NULL;
    /// M0.
    pub const M0: u8 = 125;
    /// The mask of active lanes.
    pub const EXEC: u8 = 126;
}

/// The floating-point half of the mode register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Denormal f32 operands are read, and results written, as they are; else as zero.
    pub denormals_32_in: bool,
    /// See `denormals_32_in`.
    pub denormals_32_out: bool,
    /// The same for f16 and f64 operands.
    pub denormals_16_64_in: bool,
    /// The same for f16 and f64 results.
    pub denormals_16_64_out: bool,
    /// Clamping turns a NaN to 0.
    pub dx10_clamp: bool,
    /// Minimum and maximum quiet a signalling NaN.
    pub ieee: bool,
}

impl Mode {
    /// From FLOAT_ROUND_MODE_32, _16_64 and FLOAT_DENORM_MODE_32, _16_64 as COMPUTE_PGM_RSRC1 holds them in
    /// its bits 12 to 19, and DX10_CLAMP and IEEE_MODE, its bits 21 and 23.
    ///
    /// # Errors
    ///
    /// For rounding that is not to nearest even.
    pub fn from_rsrc1(rsrc1: u32) -> Result<Mode, Fault> {
        if rsrc1 >> 12 & 0xf != 0 {
            return Err(Fault::Unsupported("rounding that is not to nearest even"));
        }
        let mut mode =
            Mode { dx10_clamp: rsrc1 >> 21 & 1 != 0, ieee: rsrc1 >> 23 & 1 != 0, ..Mode::default() };
        mode.set_denormals(rsrc1 >> 16);
        Ok(mode)
    }

    /// From the four bits that `s_denorm_mode` takes: f32 in and out, then f16 and f64.
    pub fn set_denormals(&mut self, bits: u32) {
        self.denormals_32_in = bits & 1 != 0;
        self.denormals_32_out = bits & 2 != 0;
        self.denormals_16_64_in = bits & 4 != 0;
        self.denormals_16_64_out = bits & 8 != 0;
    }
}

impl Default for Mode {
    fn default() -> Mode {
        Mode {
            denormals_32_in: true,
            denormals_32_out: true,
            denormals_16_64_in: true,
            denormals_16_64_out: true,
            dx10_clamp: true,
            ieee: true,
        }
    }
}

/// A wave's registers.
#[derive(Clone, Debug)]
pub struct Wave {
    /// Vector registers, as many as the kernel's descriptor asks for.
    pub v: Box<[Lanes]>,
    /// Lanes of each vector register that were written.
    pub v_defined: Box<[u32]>,
    /// Vector registers that a load or an atomic has still to write: reading or writing one before the wait is
    /// a fault. Not 0 while it is so; the meaning of the number is its owner's.
    pub v_pending: Box<[u8]>,
    /// Registers that may not be in order: not written in every lane, or with a load under way. All others are, so
    /// instructions that touch no such register need no closer look. Whoever makes one so adds it; only
    /// [`Wave::settle`] takes one out.
    pub suspects: Registers,
    /// Scalar registers by the number of their operand: general, VCC, ..., M0, EXEC. See [`sgpr`].
    pub s: [u32; 128],
    /// A bit each: it was written. The bit of [`sgpr::SCC`] is SCC's.
    pub s_defined: u128,
    /// A bit each: a scalar load has still to write it.
    pub s_pending: u128,
    /// The scalar condition.
    pub scc: bool,
    /// Rounding and denormals.
    pub mode: Mode,
    /// The instruction to run next: an index into [`crate::isa::Program::insts`].
    pub pc: usize,
    /// Operand 0 of an instruction that takes it from other lanes, while that runs.
    pub(crate) moved: Lanes,
    /// The lanes of it that were written.
    pub(crate) moved_defined: u32,
}

impl Wave {
    /// A wave before its first instruction: no register written but EXEC, all lanes active.
    pub fn new(n_vgprs: usize, mode: Mode) -> Wave {
        let mut wave = Wave {
            v: vec![[0; LANES]; n_vgprs].into(),
            v_defined: vec![0; n_vgprs].into(),
            v_pending: vec![0; n_vgprs].into(),
            suspects: Registers::ALL,
            s: [0; 128],
            s_defined: 0,
            s_pending: 0,
            scc: false,
            mode,
            pc: 0,
            moved: [0; LANES],
            moved_defined: 0,
        };
        wave.forget(mode);
        wave
    }

    /// As new.
    pub fn forget(&mut self, mode: Mode) {
        self.v_defined.fill(0);
        self.v_pending.fill(0);
        self.suspects = Registers::ALL;
        self.s = [0; 128];
        self.s[sgpr::EXEC as usize] = !0;
        (self.s_defined, self.s_pending) = (3 << sgpr::EXEC, 0);
        (self.scc, self.mode, self.pc) = (false, mode, 0);
    }

    /// The mask of active lanes.
    #[inline]
    pub fn exec(&self) -> u32 {
        self.s[sgpr::EXEC as usize]
    }

    /// Gives a scalar register a value.
    pub fn set_sgpr(&mut self, number: u8, value: u32) {
        self.s[number as usize] = value;
        self.s_defined |= 1 << number;
    }

    /// Gives the lanes of a vector register values, active or not.
    pub fn set_vgpr(&mut self, number: u8, values: Lanes) {
        self.v[number as usize] = values;
        self.v_defined[number as usize] = !0;
    }

    /// The lanes in which register `offset` of operand `n` was written.
    pub(crate) fn defined(&self, inst: &Inst, n: usize, offset: usize) -> u32 {
        match inst.src[n].file {
            _ if n == 0 && inst.dpp.is_some() => self.moved_defined,
            File::Vector => self.v_defined[inst.src[n].number as usize + offset],
            File::Scalar => self.s_defined_of(inst.src[n].number, offset) as u32 * !0,
            _ => !0,
        }
    }

    /// A scalar register was written.
    pub(crate) fn s_defined_of(&self, number: u8, offset: usize) -> bool {
        number == sgpr::NULL || self.s_defined >> (number as usize + offset) & 1 != 0
    }

    /// Notes in which of the active lanes register `offset` of the result is defined.
    pub(crate) fn set_defined(&mut self, inst: &Inst, offset: usize, defined: u32) {
        let exec = self.exec();
        let of = &mut self.v_defined[inst.dst.number as usize + offset];
        *of = *of & !exec | defined & exec;
        if *of != !0 {
            self.suspects.add(inst.dst.number as usize + offset);
        }
    }

    /// What must hold before an instruction runs: what it reads was written, in every active lane, and
    /// nothing that it reads or writes waits for memory. Holds for all that touch no suspect.
    #[inline(never)]
    pub fn check(&self, inst: &Inst) -> Result<(), Fault> {
        let uses = &inst.uses;
        let exec = self.exec();
        let all = uses.s_read | uses.s_write | uses.s_carry;
        let mut wrong = uses.s_read & !self.s_defined != 0 || all & self.s_pending != 0;
        for r in uses.v_read().iter().flat_map(|span| span.registers()) {
            wrong |= exec & !self.v_defined[r] != 0 || self.v_pending[r] != 0;
        }
        for r in uses.v_write().iter().chain(uses.v_carry()).flat_map(|span| span.registers()) {
            wrong |= self.v_pending[r] != 0;
        }
        if wrong { self.what_is_wrong(inst) } else { Ok(()) }
    }

    /// Of these registers those that are in order are no suspects any more.
    pub fn settle(&mut self, touched: &Registers) {
        self.suspects.s = !self.s_defined | self.s_pending;
        for (n, touched) in touched.v.iter().enumerate() {
            let mut left = touched & self.suspects.v[n];
            while left != 0 {
                let bit = left.trailing_zeros();
                let r = 64 * n + bit as usize;
                if self.v_defined[r] == !0 && self.v_pending[r] == 0 {
                    self.suspects.v[n] &= !(1 << bit);
                }
                left &= left - 1;
            }
        }
    }

    /// Which register [`Wave::check`] found. A load may write what an earlier one has still to write if both return in
    /// order, which who does it knows.
    #[cold]
    fn what_is_wrong(&self, inst: &Inst) -> Result<(), Fault> {
        let uses = &inst.uses;
        let bit = |mask: u128| Register::Scalar(mask.trailing_zeros() as u8);
        let pending = (uses.s_read | uses.s_write | uses.s_carry) & self.s_pending;
        if pending != 0 {
            return Err(Fault::NotWaited(bit(pending)));
        }
        let loads = matches!(inst.op.exec, Exec::Load { .. } | Exec::LoadTwo { .. });
        let written = if loads { &[] } else { uses.v_write() };
        for span in uses.v_read().iter().chain(written).chain(uses.v_carry()) {
            if let Some(r) = span.registers().find(|&r| self.v_pending[r] != 0) {
                return Err(Fault::NotWaited(Register::Vector(r as u8)));
            }
        }
        let undefined = uses.s_read & !self.s_defined;
        if undefined != 0 {
            return Err(Fault::Undefined { register: bit(undefined), lanes: 0 });
        }
        for r in uses.v_read().iter().flat_map(|span| span.registers()) {
            let lanes = self.exec() & !self.v_defined[r];
            if lanes != 0 {
                return Err(Fault::Undefined { register: Register::Vector(r as u8), lanes });
            }
        }
        if loads { Ok(()) } else { Err(Fault::Unsupported("an instruction that was refused for no reason")) }
    }

    /// Notes that what an instruction writes is defined now. For vector registers in the lanes that were
    /// active, which for a comparison that writes EXEC are those before it.
    #[inline]
    pub fn written(&mut self, inst: &Inst, exec: u32) {
        self.s_defined |= inst.uses.s_write;
        for span in inst.uses.v_write() {
            for r in span.registers() {
                self.v_defined[r] |= exec;
            }
        }
    }
}
