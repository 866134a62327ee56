//! From words to instructions. Whatever is not understood in full is refused.

use std::sync::LazyLock;

use super::Kind::{self, B16, B32, Mask};
use super::{
    Dpp, Encoding, Fault, File, Form, Inst, Mods, Op, Operand, Registers, Uses, dpp, ds, flag, flat, run,
    smem, sop1, sop2, sopc, sopk, sopp, vop1, vop2, vop3, vop3p, vopc, vopd,
};
use crate::wave::sgpr;

/// Every table.
static TABLES: &[&[Op]] = &[
    sop1::OPS,
    sop1::EXEC_OPS,
    sop1::JUMPS,
    sop2::OPS,
    sopk::OPS,
    sopk::COMPARES,
    sopk::WAITS,
    sopc::OPS,
    sopp::OPS,
    smem::OPS,
    vop1::OPS,
    vop1::MOVES,
    vop2::OPS,
    vop2::WHOLE,
    vop2::MASKED,
    vop3::OPS,
    vop3::WHOLE,
    vop3::OTHERS,
    vop3p::OPS,
    vop3p::WHOLE,
    vop3p::OTHERS,
    vopc::HALF,
    vopc::HALF_X,
    vopc::F32,
    vopc::F32_X,
    vopc::F64,
    vopc::F64_X,
    vopc::I16,
    vopc::I16_X,
    vopc::U16,
    vopc::U16_X,
    vopc::I32,
    vopc::I32_X,
    vopc::U32,
    vopc::U32_X,
    vopc::I64,
    vopc::I64_X,
    vopc::U64,
    vopc::U64_X,
    vopc::CLASS,
    vopc::CLASS_X,
    ds::OPS,
    flat::FLAT,
    flat::GLOBAL,
    flat::SCRATCH,
    flat::BUFFER,
];

/// Numbers in an encoding.
const N_CODES: usize = 1024;

/// By encoding and number.
static INDEX: LazyLock<Vec<Option<&'static Op>>> = LazyLock::new(|| {
    let mut index = vec![None; N_CODES * (Encoding::Mubuf as usize + 1)];
    for op in TABLES.iter().copied().flatten() {
        let place = &mut index[op.encoding as usize * N_CODES + op.code as usize];
        assert!(place.is_none(), "two instructions of number {} beside {}", op.code, op.name);
        *place = Some(op);
    }
    index
});

/// Every instruction that is known.
pub fn all() -> impl Iterator<Item = &'static Op> {
    TABLES.iter().copied().flatten()
}

fn lookup(encoding: Encoding, code: u32) -> Option<&'static Op> {
    INDEX.get(encoding as usize * N_CODES + code as usize).copied().flatten()
}

/// Bits `low` to `high` of a word.
fn bits(word: u32, high: u32, low: u32) -> u32 {
    word >> low & (u32::MAX >> (31 - (high - low)))
}

/// The words of an instruction, and how many are used.
struct Words<'a> {
    words: &'a [u32],
    used: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        self.used += 1;
        self.words.get(self.used - 1).copied()
    }

    /// The literal, if a source asks for one: the word after the instruction's own, the same for all.
    fn literal_if(&mut self, sources: &[u32]) -> Option<Option<u32>> {
        if sources.contains(&255) { Some(Some(self.next()?)) } else { Some(None) }
    }
}

/// The instruction that begins with the first word, which stands `at` bytes from the program's start.
pub(super) fn decode(words: &[u32], at: u32) -> Result<Inst, Fault> {
    let word = words[0];
    let mut stream = Words { words, used: 1 };
    let decoded = match word >> 23 {
        0b1_0111_1101 => sop(Encoding::Sop1, bits(word, 15, 8), word, &mut stream),
        0b1_0111_1110 => sop(Encoding::Sopc, bits(word, 22, 16), word, &mut stream),
        0b1_0111_1111 => sop(Encoding::Sopp, bits(word, 22, 16), word, &mut stream),
        _ => match word >> 26 {
            _ if word >> 28 == 0b1011 => sop(Encoding::Sopk, bits(word, 27, 23), word, &mut stream),
            _ if word >> 30 == 0b10 => sop(Encoding::Sop2, bits(word, 29, 23), word, &mut stream),
            _ if word >> 25 == 0b011_1111 => short(Encoding::Vop1, bits(word, 16, 9), word, &mut stream),
            _ if word >> 25 == 0b011_1110 => short(Encoding::Vopc, bits(word, 24, 17), word, &mut stream),
            _ if word >> 31 == 0 => short(Encoding::Vop2, bits(word, 30, 25), word, &mut stream),
            0b11_0010 => dual(word, &mut stream),
            0b11_0011 if bits(word, 25, 24) == 0 => packed(word, &mut stream),
            0b11_0101 => long(word, &mut stream),
            0b11_0110 => local(word, &mut stream),
            0b11_0111 => global(word, &mut stream),
            0b11_1000 => buffer(word, &mut stream),
            0b11_1101 => scalar_load(word, &mut stream),
            _ => None,
        },
    };
    let mut inst = decoded.filter(|_| stream.used <= words.len()).ok_or(Fault::Unknown { at, word })?;
    inst.at = at;
    inst.n_words = stream.used as u8;
    inst.words[..stream.used].copy_from_slice(&words[..stream.used]);
    refuse(&inst)?;
    inst.uses = Uses::of(&inst);
    inst.touched = inst.uses.all();
    inst.crossing = inst.dpp.as_ref().map(|dpp| Box::new(dpp::Crossing::of(dpp)));
    if let Some(second) = &mut inst.dual {
        second.uses = Uses::of(second);
        inst.touched = inst.touched.or(&second.uses.all());
    }
    Ok(inst)
}

fn new(op: &'static Op) -> Inst {
    Inst {
        op,
        form: Form::Short,
        at: 0,
        words: [0; 3],
        n_words: 0,
        dst: Operand::NONE,
        dst2: Operand::NONE,
        src: [Operand::NONE; 4],
        mods: Mods::default(),
        dpp: None,
        imm: 0,
        target: usize::MAX,
        glc: false,
        slc: false,
        dlc: false,
        dual: None,
        overlaps: false,
        uses: Uses::default(),
        touched: Registers::default(),
        run: run::chosen(op),
        crossing: None,
    }
}

/// Modifiers that the executor of an instruction would pass over.
fn refuse(inst: &Inst) -> Result<(), Fault> {
    let (op, mods) = (inst.op, &inst.mods);
    let sixteen = op.dst == B16 || op.src.contains(&B16) || op.encoding == Encoding::Vop3p;
    let permutes = op.is(flag::CROSSES_LANES);
    match () {
        () if (mods.clamp || mods.omod != 0) && !op.is(flag::CLAMPS) => {
            Err(Fault::Unsupported("clamping this result"))
        }
        () if mods.neg | mods.abs != 0 && !op.is(flag::SIGNS) => {
            Err(Fault::Unsupported("changing the sign of these operands"))
        }
        () if mods.op_sel != 0 && !sixteen && !permutes => {
            Err(Fault::Unsupported("choosing halves of whole registers"))
        }
        () if inst.dpp.is_some()
            && (op.src[0].registers() != 1 || inst.src[0].file != File::Vector || permutes) =>
        {
            Err(Fault::Unsupported("taking this operand from other lanes"))
        }
        () => Ok(()),
    }
}

/// A scalar destination.
fn scalar_dst(number: u32, kind: Kind) -> Option<Operand> {
    match kind {
        Kind::None => Some(Operand::NONE),
        _ if number > 127 => None,
        _ => Operand::scalar(number as u8, kind).checked(),
    }
}

fn sop(encoding: Encoding, code: u32, word: u32, stream: &mut Words) -> Option<Inst> {
    let op = lookup(encoding, code)?;
    let mut inst = new(op);
    let sources = [bits(word, 7, 0), bits(word, 15, 8)];
    match encoding {
        Encoding::Sopp | Encoding::Sopk => {
            inst.imm = word as i16 as i32;
            if encoding == Encoding::Sopk {
                let register = bits(word, 22, 16);
                inst.dst = scalar_dst(register, op.dst)?;
                if op.src[0] != Kind::None {
                    inst.src[0] = Operand::source(register, op.src[0], None)?;
                }
            }
        }
        _ => {
            let n = op.src.iter().filter(|&&k| k != Kind::None).count();
            let literal = stream.literal_if(&sources[..n])?;
            for s in 0..n {
                inst.src[s] = Operand::source(sources[s], op.src[s], literal)?;
            }
            inst.dst = scalar_dst(bits(word, 22, 16), op.dst)?;
        }
    }
    Some(inst)
}

/// A vector register, of whose number the top bit means the high half where 16 bits are meant.
fn vector(number: u32, kind: Kind) -> Option<Operand> {
    match kind {
        B16 => Some(Operand { high: number >> 7 & 1 != 0, ..Operand::vector((number & 0x7f) as u8, kind) }),
        _ => Operand::vector(number as u8, kind).checked(),
    }
}

/// A source of a short form.
fn short_source(code: u32, kind: Kind, literal: Option<u32>) -> Option<Operand> {
    if code >= 256 { vector(code - 256, kind) } else { Operand::source(code, kind, literal) }
}

/// The result of a vector instruction; masks are scalar registers.
fn vector_dst(number: u32, op: &Op, short: bool) -> Option<Operand> {
    match op.dst {
        Kind::None => Some(Operand::NONE),
        Mask => scalar_dst(number, Mask),
        B16 if short => vector(number, B16),
        kind => Operand::vector(number as u8, kind).checked(),
    }
}

/// Operand 0 from other lanes, as the word after the instruction says. Gives the register.
fn dpp_word(source: u32, word: u32, mods: &mut Mods) -> Option<(u32, Dpp)> {
    if source == 250 {
        let control = bits(word, 16, 8) as u16;
        let bit = |n: u32| word >> n & 1 != 0;
        mods.neg |= bit(20) as u8 | (bit(22) as u8) << 1;
        mods.abs |= bit(21) as u8 | (bit(23) as u8) << 1;
        let row = Dpp::Row {
            control,
            bank_mask: bits(word, 27, 24) as u8,
            row_mask: bits(word, 31, 28) as u8,
            bound_ctrl: bit(19),
            fetch_inactive: bit(18),
        };
        (dpp::is_known(control) && word >> 17 & 1 == 0).then_some((word & 0xff, row))
    } else {
        Some((word & 0xff, Dpp::Eight { lanes: word >> 8, fetch_inactive: source == 234 }))
    }
}

/// VOP1, VOP2 and VOPC in 32 bits.
fn short(encoding: Encoding, code: u32, word: u32, stream: &mut Words) -> Option<Inst> {
    let op = lookup(encoding, code)?;
    let mut inst = new(op);
    let (mut source, second) = (bits(word, 8, 0), bits(word, 16, 9));
    // v_fmamk and v_fmaak have a literal of their own, which comes as a word anyway.
    let constant = match (op.encoding, op.code) {
        (Encoding::Vop2, 44 | 55) => Some(1),
        (Encoding::Vop2, 45 | 56) => Some(2),
        _ => None,
    };
    let literal = if constant.is_some() { Some(stream.next()?) } else { stream.literal_if(&[source])? };
    if matches!(source, 233 | 234 | 250) {
        let (register, dpp) = dpp_word(source, stream.next()?, &mut inst.mods)?;
        source = 256 + register;
        inst.dpp = Some(dpp);
    }
    inst.dst = match encoding {
        Encoding::Vopc => scalar_dst(sgpr::VCC as u32, op.dst)?,
        _ => vector_dst(bits(word, 24, 17), op, true)?,
    };
    if op.dst2 != Kind::None {
        inst.dst2 = Operand::scalar(sgpr::VCC, Mask);
    }
    if op.src[0] != Kind::None {
        inst.src[0] = short_source(source, op.src[0], literal)?;
    }
    let mut rest = 1;
    if constant == Some(1) {
        inst.src[1] = Operand::source(255, op.src[1], literal)?;
        rest = 2;
    }
    if op.src[rest] != Kind::None {
        inst.src[rest] = vector(second, op.src[rest])?;
    }
    match op.src[2] {
        _ if constant == Some(2) => inst.src[2] = Operand::source(255, op.src[2], literal)?,
        Mask => inst.src[2] = Operand::scalar(sgpr::VCC, Mask),
        Kind::None => {}
        kind if op.is(flag::READS_DST) => inst.src[2] = Operand { kind, ..inst.dst },
        _ => {}
    }
    if op.encoding == Encoding::Vop1 && op.is(flag::READS_DST) {
        inst.src[1] = inst.dst;
    }
    Some(inst)
}

/// The three sources of a long form; masks are scalar registers.
fn long_sources(inst: &mut Inst, second: u32, stream: &mut Words) -> Option<()> {
    let op = inst.op;
    let mut sources = [bits(second, 8, 0), bits(second, 17, 9), bits(second, 26, 18)];
    let n = op.src.iter().filter(|&&k| k != Kind::None).count();
    let n = if op.is(flag::READS_DST) { n - 1 } else { n };
    let literal = stream.literal_if(&sources[..n])?;
    if n > 0 && matches!(sources[0], 233 | 234 | 250) {
        let (register, dpp) = dpp_word(sources[0], stream.next()?, &mut inst.mods)?;
        sources[0] = 256 + register;
        inst.dpp = Some(dpp);
    }
    for s in 0..n {
        inst.src[s] = Operand::source(sources[s], op.src[s], literal)?;
        if op.src[s] == Mask && !inst.src[s].is_scalar() {
            return None;
        }
    }
    if op.is(flag::READS_DST) {
        inst.src[n] = Operand { kind: op.src[n], ..inst.dst };
    }
    Some(())
}

/// VOP3, which has VOP1, VOP2 and VOPC in it.
fn long(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let code = bits(word, 25, 16);
    let (op, is_long) = match code {
        0..256 => (lookup(Encoding::Vopc, code)?, true),
        256..384 => (lookup(Encoding::Vop2, code - 256)?, true),
        384..512 => (lookup(Encoding::Vop1, code - 384)?, true),
        _ => (lookup(Encoding::Vop3, code)?, false),
    };
    if is_long && op.is(flag::SHORT_ONLY) {
        return None;
    }
    let mut inst = new(op);
    inst.form = if is_long { Form::Long } else { Form::Short };
    inst.mods = Mods {
        neg: bits(second, 31, 29) as u8,
        clamp: word >> 15 & 1 != 0,
        omod: bits(second, 28, 27) as u8,
        ..Mods::default()
    };
    inst.dst = vector_dst(bits(word, 7, 0), op, false)?;
    if op.dst2 != Kind::None {
        inst.dst2 = scalar_dst(bits(word, 14, 8), op.dst2)?;
    } else {
        inst.mods.abs = bits(word, 10, 8) as u8;
        inst.mods.op_sel = bits(word, 14, 11) as u8;
    }
    long_sources(&mut inst, second, stream)?;
    Some(inst)
}

fn packed(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let op = lookup(Encoding::Vop3p, bits(word, 22, 16))?;
    if word >> 23 & 1 != 0 {
        return None;
    }
    let mut inst = new(op);
    inst.mods = Mods {
        neg: bits(second, 31, 29) as u8,
        abs: bits(word, 10, 8) as u8,
        op_sel: bits(word, 13, 11) as u8,
        op_sel_hi: (bits(second, 28, 27) | (word >> 14 & 1) << 2) as u8,
        clamp: word >> 15 & 1 != 0,
        omod: 0,
    };
    inst.dst = vector_dst(bits(word, 7, 0), op, false)?;
    long_sources(&mut inst, second, stream)?;
    Some(inst)
}

/// A half of a dual instruction.
fn half(code: u32, dst: u32, source: u32, second: u32, literal: Option<u32>) -> Option<Inst> {
    let half = vopd::HALVES.iter().find(|h| h.code as u32 == code)?;
    let op = lookup(half.encoding, half.of as u32)?;
    let mut inst = new(op);
    inst.dst = Operand::vector(dst as u8, op.dst);
    inst.src[0] = Operand::source(source, op.src[0], literal)?;
    let second = Operand::vector(second as u8, B32);
    match half.name {
        "mov_b32" => {}
        "fmamk_f32" => {
            inst.src[1] = Operand::source(255, B32, literal)?;
            inst.src[2] = second;
        }
        "fmaak_f32" => {
            inst.src[1] = second;
            inst.src[2] = Operand::source(255, B32, literal)?;
        }
        _ => {
            inst.src[1] = Operand { kind: op.src[1], ..second };
            match op.src[2] {
                Mask => inst.src[2] = Operand::scalar(sgpr::VCC, Mask),
                kind if op.is(flag::READS_DST) => inst.src[2] = Operand { kind, ..inst.dst },
                _ => {}
            }
        }
    }
    // Packed operands are taken as they stand.
    inst.mods.op_sel_hi = 7;
    Some(inst)
}

fn dual(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let (x, y) = (bits(word, 25, 22), bits(word, 21, 17));
    let sources = [bits(word, 8, 0), bits(second, 8, 0)];
    let literal = match x == 1 || x == 2 || y == 1 || y == 2 {
        true => Some(stream.next()?),
        false => stream.literal_if(&sources)?,
    };
    if x >= 16 {
        return None;
    }
    let x_dst = bits(second, 31, 24);
    // The second destination is even where the first is odd, so its lowest bit is not stored.
    let y_dst = bits(second, 23, 17) << 1 | (!x_dst & 1);
    let mut first = half(x, x_dst, sources[0], bits(word, 16, 9), literal)?;
    let second = half(y, y_dst, sources[1], bits(second, 16, 9), literal)?;
    first.overlaps = run::reads(&second, &first.dst);
    first.dual = Some(Box::new(second));
    Some(first)
}

fn scalar_load(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let op = lookup(Encoding::Smem, bits(word, 25, 18))?;
    let mut inst = new(op);
    if op.dst != Kind::None {
        inst.dst = scalar_dst(bits(word, 12, 6), op.dst)?;
        inst.src[0] = Operand::scalar((bits(word, 5, 0) * 2) as u8, Kind::B64).checked()?;
        let offset = bits(second, 31, 25);
        if offset != sgpr::NULL as u32 {
            inst.src[1] = Operand::scalar(offset as u8, B32);
        }
        inst.imm = (second << 11) as i32 >> 11;
    }
    inst.dlc = word >> 13 & 1 != 0;
    inst.glc = word >> 14 & 1 != 0;
    Some(inst)
}

fn local(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let op = lookup(Encoding::Ds, bits(word, 25, 18))?;
    // Global data share: there is none here.
    if word >> 17 & 1 != 0 {
        return None;
    }
    let mut inst = new(op);
    inst.imm = (word & 0xffff) as i32;
    if op.dst != Kind::None {
        inst.dst = Operand::vector(bits(second, 31, 24) as u8, op.dst).checked()?;
    }
    for (n, number) in [bits(second, 7, 0), bits(second, 15, 8), bits(second, 23, 16)].into_iter().enumerate()
    {
        if op.src[n] != Kind::None {
            inst.src[n] = Operand::vector(number as u8, op.src[n]).checked()?;
        }
    }
    Some(inst)
}

fn global(word: u32, stream: &mut Words) -> Option<Inst> {
    let second = stream.next()?;
    let encoding = match bits(word, 17, 16) {
        0 => Encoding::Flat,
        1 => Encoding::Scratch,
        2 => Encoding::Global,
        _ => return None,
    };
    let op = lookup(encoding, bits(word, 24, 18))?;
    let mut inst = new(op);
    // Flat addresses have no negative offsets.
    inst.imm = match encoding {
        Encoding::Flat => (word & 0x1fff) as i32,
        _ => (word << 19) as i32 >> 19,
    };
    inst.dlc = word >> 13 & 1 != 0;
    inst.glc = word >> 14 & 1 != 0;
    inst.slc = word >> 15 & 1 != 0;
    let base = bits(second, 22, 16);
    let with_base = encoding != Encoding::Flat && base != sgpr::NULL as u32;
    let by_register = encoding != Encoding::Scratch || second >> 23 & 1 != 0;
    if by_register {
        let kind = if with_base || encoding == Encoding::Scratch { B32 } else { Kind::B64 };
        inst.src[0] = Operand::vector(bits(second, 7, 0) as u8, kind).checked()?;
    }
    if with_base {
        let kind = if encoding == Encoding::Scratch { B32 } else { Kind::B64 };
        inst.src[2] = Operand::scalar(base as u8, kind).checked()?;
    }
    if op.src[1] != Kind::None {
        inst.src[1] = Operand::vector(bits(second, 15, 8) as u8, op.src[1]).checked()?;
    }
    let atomic = matches!(op.exec, super::Exec::Atomic { .. });
    if op.dst != Kind::None && (!atomic || inst.glc) {
        inst.dst = Operand::vector(bits(second, 31, 24) as u8, op.dst).checked()?;
    }
    Some(inst)
}

fn buffer(word: u32, stream: &mut Words) -> Option<Inst> {
    stream.next()?;
    Some(new(lookup(Encoding::Mubuf, bits(word, 25, 18))?))
}
