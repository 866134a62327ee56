//! The instruction set of gfx1100: what instructions there are, how they are encoded and written, and what
//! those do that compute.
//!
//! It owns the tables (a file an encoding, a line an instruction), the decoder, the printer and the
//! executor of everything that works on registers alone. It knows nothing of memory, of other waves, of
//! kernels: loads, stores, waits and barriers are decoded and described here ([`Exec`]) and done by
//! whoever steps a wave.

#![allow(clippy::precedence, reason = "a line of a table reads as the ISA document's formula")]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over lanes are written so that they become vector code"
)]

mod decode;
mod dpp;
mod ds;
mod flat;
mod float;
mod lanes;
mod operand;
mod print;
mod run;
mod scalar;
mod smem;
mod sop1;
mod sop2;
mod sopc;
mod sopk;
mod sopp;
mod uses;
mod vop1;
mod vop2;
mod vop3;
mod vop3p;
mod vopc;
mod vopd;
mod wmma;

pub use decode::all;
pub use operand::{File, Kind, Operand, PRIVATE_BASE, SHARED_BASE};
pub use run::Program;
pub use uses::{Registers, Span, Uses};

use crate::wave::{Wave, sgpr};

/// Which encoding an instruction is of; what it is printed as follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Encoding {
    Sop1,
    Sop2,
    Sopk,
    Sopc,
    Sopp,
    Smem,
    Vop1,
    Vop2,
    Vop3,
    Vop3p,
    Vopc,
    Vopd,
    Ds,
    Flat,
    Global,
    Scratch,
    Mubuf,
}

/// How a vector instruction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The encoding's own, of 32 bits in VOP1, VOP2 and VOPC.
    Short,
    /// A VOP1, VOP2 or VOPC instruction in the 64 bits of VOP3.
    Long,
}

/// Classes of instructions, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Scalar arithmetic and moves.
    Scalar,
    /// Vector arithmetic and moves; a dual instruction counts once.
    Vector,
    /// Exponentials, logarithms, roots, reciprocals, sines: a quarter of the rate.
    Transcendental,
    /// Dot products.
    Dot,
    /// Matrix multiply-accumulate.
    Wmma,
    /// f64 and 64-bit integer arithmetic: a fraction of the rate.
    Double,
    /// Scalar loads.
    ScalarLoad,
    /// Loads from global, flat or private memory.
    Load,
    /// Stores to those.
    Store,
    /// Atomics on those.
    Atomic,
    /// LDS, lane permutations through it included.
    Lds,
    /// Branches.
    Branch,
    /// Waits for memory.
    Wait,
    /// Barriers.
    Barrier,
    /// Hints, cache invalidations, the end of the program.
    Other,
}

/// What an atomic does with what is in memory and its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Atomic {
    Swap,
    /// Of two operands the first is the new value, the second what is compared.
    CompareSwap,
    Add,
    Sub,
    /// Stores the operand less what is there. LDS only.
    ReverseSub,
    MinI,
    MinU,
    MaxI,
    MaxU,
    And,
    Or,
    Xor,
    /// One more, or 0 from the operand on.
    Inc,
    /// One less, or the operand from 0 or above the operand.
    Dec,
    AddF32,
    MinF32,
    MaxF32,
    CompareSwapF32,
}

/// Where in a register a load of 8 or 16 bits puts its value, or a store takes it from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole register: extended to 32 bits, or the low bits.
    Whole,
    /// The low half; the high half stays.
    Low,
    /// The high half; the low half stays.
    High,
}

/// How an instruction is run.
#[derive(Clone, Copy)]
pub enum Exec {
    /// Computes on registers: this is all of it.
    Compute(fn(&mut Wave, &Inst)),
    /// The same in all lanes at a time, compiled for any processor and for those with AVX2 and FMA.
    Lanes {
        /// For any.
        plain: fn(&mut Wave, &Inst),
        /// For those.
        wide: unsafe fn(&mut Wave, &Inst),
    },
    /// The same, where it can be wrong: lanes that are not active are read, or a mode is not supported.
    Checked(fn(&mut Wave, &Inst) -> Result<(), Fault>),
    /// Does nothing that matters here: hints, delays, `s_nop`.
    Nothing,
    /// Goes to `Inst::target` if this holds.
    Branch(fn(&Wave) -> bool),
    /// Goes on at the address in a scalar pair: `s_setpc_b64`; `s_swappc_b64` keeps where it came from.
    Jump,
    /// `s_getpc_b64`: the address of the next instruction.
    Address,
    /// `s_code_end`: what stands between kernels, and is never run.
    Padding,
    /// `s_endpgm`.
    End,
    /// `s_barrier`.
    Barrier,
    /// `s_waitcnt`; `imm` has its fields, see [`Inst::waits`].
    WaitCount,
    /// `s_waitcnt_vscnt` and its kin: `imm` of this counter.
    WaitOne(Counter),
    /// `s_sleep`, `s_wakeup`: gives way to other waves.
    Yield,
    /// `s_sendmsg`; `imm` is the message. 3 gives the vector registers back.
    Message,
    /// Makes caches forget: orders loads after it, in memory as it is here a hint.
    Invalidate,
    /// Loads: `bytes` a lane (SMEM: in all), sign-extended or not, into a part of the register.
    Load {
        /// 1, 2, 4, 8, 12, 16; SMEM 4 to 64.
        bytes: u8,
        /// Bytes and halves are extended by their sign.
        signed: bool,
        /// Where bytes and halves go.
        part: Part,
    },
    /// Stores `bytes` a lane.
    Store {
        /// 1, 2, 4, 8, 12, 16.
        bytes: u8,
        /// Where bytes and halves are taken from.
        part: Part,
    },
    /// Reads, changes and writes `bytes` (4 or 8) a lane; returns what was there if `glc` (LDS: `returns`).
    Atomic {
        /// What is stored.
        op: Atomic,
        /// 4 or 8.
        bytes: u8,
        /// LDS: gives back what was there. For global memory it is the bit `glc` of the instruction.
        returns: bool,
    },
    /// LDS: loads two values of `bytes` at `offset0` and `offset1` units of `stride` bytes.
    LoadTwo {
        /// 4 or 8.
        bytes: u8,
        /// Bytes from one offset to the next.
        stride: u16,
    },
    /// LDS: stores two values so.
    StoreTwo {
        /// 4 or 8.
        bytes: u8,
        /// Bytes from one offset to the next.
        stride: u16,
    },
    /// `ds_swizzle_b32`; the pattern is `offset`.
    Swizzle,
    /// `ds_permute_b32`: pushes to the lane in `addr` / 4.
    Permute,
    /// `ds_bpermute_b32`: pulls from the lane in `addr` / 4.
    BackwardPermute,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Exec::Compute(_) | Exec::Lanes { .. } | Exec::Checked(_) => "Compute",
            Exec::Load { .. } | Exec::LoadTwo { .. } => "Load",
            Exec::Store { .. } | Exec::StoreTwo { .. } => "Store",
            Exec::Atomic { .. } => "Atomic",
            Exec::Branch(_) | Exec::Jump => "Branch",
            _ => "Other",
        })
    }
}

/// The counters that waits wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Vector loads (and atomics that return) outstanding.
    Vm,
    /// LDS and scalar loads outstanding.
    Lgkm,
    /// Vector stores outstanding.
    Vs,
    /// Exports.
    Exp,
}

/// A line of a table: one instruction.
#[derive(Debug)]
pub struct Op {
    /// Its number in its encoding.
    pub code: u16,
    /// Its name, without the suffix of its form.
    pub name: &'static str,
    /// Which table it is of.
    pub encoding: Encoding,
    /// What its result is; [`Kind::None`] if it has none.
    pub dst: Kind,
    /// What its second result is: a carry, a flag a lane.
    pub dst2: Kind,
    /// What its operands are.
    pub src: [Kind; 4],
    /// What it counts as.
    pub class: Class,
    /// Properties that are not the rule: see [`flag`].
    pub flags: u16,
    /// What it does.
    pub exec: Exec,
}

impl Op {
    /// A line without properties.
    const fn new(
        encoding: Encoding,
        code: u16,
        name: &'static str,
        dst: Kind,
        src: &[Kind],
        class: Class,
    ) -> Op {
        let exec = Exec::Nothing;
        Op { code, name, encoding, dst, dst2: Kind::None, src: kinds(src), class, flags: 0, exec }
    }

    /// It has this property.
    #[inline(always)]
    pub fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// As many operands as are given, and none after them.
const fn kinds(given: &[Kind]) -> [Kind; 4] {
    let mut all = [Kind::None; 4];
    let mut n = 0;
    while n < given.len() {
        all[n] = given[n];
        n += 1;
    }
    all
}

/// Bits of [`Op::flags`].
pub mod flag {
    /// Reads its destination.
    pub const READS_DST: u16 = 1 << 0;
    /// Reads or writes SCC.
    pub const READS_SCC: u16 = 1 << 1;
    /// Writes SCC.
    pub const WRITES_SCC: u16 = 1 << 2;
    /// Writes EXEC.
    pub const WRITES_EXEC: u16 = 1 << 3;
    /// Reading what was not written is no error, as where it is only moved; the executor keeps account of what
    /// of the result is defined.
    pub const MOVES: u16 = 1 << 4;
    /// Reads VCC though no operand says so.
    pub const READS_VCC: u16 = 1 << 5;
    /// Writes VCC though no operand says so.
    pub const WRITES_VCC: u16 = 1 << 6;
    /// Reads lanes that need not be active.
    pub const CROSSES_LANES: u16 = 1 << 7;
    /// Reads M0.
    pub const READS_M0: u16 = 1 << 8;
    /// Has only the 32-bit form.
    pub const SHORT_ONLY: u16 = 1 << 9;
    /// Its result can be clamped.
    pub const CLAMPS: u16 = 1 << 10;
    /// Its operands can have their signs changed.
    pub const SIGNS: u16 = 1 << 11;
}

/// Modifiers of the operands of a vector instruction: bit `n` is operand `n`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mods {
    /// Negates. VOP3P: of the low half.
    pub neg: u8,
    /// Takes the absolute value. VOP3P: negates the high half.
    pub abs: u8,
    /// Takes the high half of 16 bits; bit 3 is the destination's. VOP3P: for the low result.
    pub op_sel: u8,
    /// VOP3P: which half is taken for the high result.
    pub op_sel_hi: u8,
    /// Clamps the result.
    pub clamp: bool,
    /// Multiplies the result: 0 not, by 2, by 4, halves.
    pub omod: u8,
}

/// How operand 0 is taken from other lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dpp {
    /// A control of rows of 16 lanes.
    Row {
        /// Which lane, see the printer's list.
        control: u16,
        /// A bit each four lanes of rows that are written.
        bank_mask: u8,
        /// A bit each row that is written.
        row_mask: u8,
        /// Reads 0 where there is no lane; else such lanes are not written.
        bound_ctrl: bool,
        /// Reads lanes that are not active.
        fetch_inactive: bool,
    },
    /// Three bits for each of eight lanes.
    Eight {
        /// The first lane's lowest.
        lanes: u32,
        /// Reads lanes that are not active.
        fetch_inactive: bool,
    },
}

/// A decoded instruction.
///
/// Memory instructions keep their operands thus:
///
/// | | `dst` | `src[0]` | `src[1]` | `src[2]` |
/// |---|---|---|---|---|
/// | SMEM | the registers loaded | base, a pair | offset register, or none | |
/// | LDS | what is loaded | address | data | second data |
/// | global, flat, scratch | what is loaded | address: 64 bits; 32 if there is a base | data | base, a pair (scratch: one), or none |
///
/// and `imm` is the offset in bytes; of LDS instructions with two offsets the low byte is the first, the
/// next the second.
#[derive(Clone, Debug)]
pub struct Inst {
    /// Which it is.
    pub op: &'static Op,
    /// Short or long.
    pub form: Form,
    /// Bytes from the start of the program.
    pub at: u32,
    /// Its words; `n_words` of them count.
    pub words: [u32; 3],
    /// 1 to 3.
    pub n_words: u8,
    /// The result.
    pub dst: Operand,
    /// The second result.
    pub dst2: Operand,
    /// The operands.
    pub src: [Operand; 4],
    /// Modifiers.
    pub mods: Mods,
    /// Lanes of operand 0.
    pub dpp: Option<Dpp>,
    /// The immediate of scalar instructions, sign-extended; the offset of memory instructions.
    pub imm: i32,
    /// Where a branch goes: an index into [`Program::insts`]; `usize::MAX` if that is no instruction.
    pub target: usize,
    /// Memory: returns what was there (atomics), or coherent at the device.
    pub glc: bool,
    /// Memory: streams.
    pub slc: bool,
    /// Memory: coherent at the device.
    pub dlc: bool,
    /// The second half of a dual instruction.
    pub dual: Option<Box<Inst>>,
    /// That half reads what this one writes, and must read it first.
    pub overlaps: bool,
    /// What it reads and writes.
    pub uses: Uses,
    /// All registers that it reads or writes, its second half's among them.
    touched: Registers,
    /// What computes it on this processor.
    run: run::Run,
    /// Which lane each lane takes operand 0 from, if `dpp` says so.
    crossing: Option<Box<dpp::Crossing>>,
}

impl Inst {
    /// The counts that `s_waitcnt` waits for: vmcnt, expcnt, lgkmcnt. Vector stores are not among them.
    pub fn waits(&self) -> (u8, u8, u8) {
        let imm = self.imm as u32;
        ((imm >> 10 & 0x3f) as u8, (imm & 7) as u8, (imm >> 4 & 0x3f) as u8)
    }
}

/// A register, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// By its operand's number, see [`sgpr`].
    Scalar(u8),
    /// By its number.
    Vector(u8),
}

impl std::fmt::Display for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Register::Vector(n) => write!(f, "v{n}"),
            Register::Scalar(sgpr::SCC) => f.write_str("scc"),
            Register::Scalar(n) => f.write_str(&operand::scalar_name(*n)),
        }
    }
}

/// Why an instruction cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A register is read that nothing has written.
    #[error("reads {register}, which was never written (in the lanes {lanes:#010x})")]
    Undefined {
        /// Which.
        register: Register,
        /// The active lanes in which it was not written; 0 for scalar registers.
        lanes: u32,
    },
    /// A load has still to write a register, and nothing waited for it.
    #[error("uses {0}, whose load was not waited for")]
    NotWaited(Register),
    /// A value is taken from a lane that is not active.
    #[error("lane {lane} reads {register} of lane {from}, which is not active")]
    InactiveLane {
        /// The reader.
        lane: u8,
        /// The lane read.
        from: u8,
        /// Which register.
        register: Register,
    },
    /// Something that this interpreter does not do.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A branch to what is no instruction of the program.
    #[error("goes to where no instruction begins")]
    Target,
    /// Words that are no instruction that is known.
    #[error("at {at:#x}: {word:#010x} is no known instruction")]
    Unknown {
        /// Bytes from the start of the program.
        at: u32,
        /// Its first word.
        word: u32,
    },
}
