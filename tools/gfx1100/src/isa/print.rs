//! Instructions in the words of `llvm-objdump` (LLVM 22, whose names of halves of registers say `.l` and `.h`).

use std::fmt::{Display, Formatter, Result, Write};

use super::operand::scalar_name;
use super::{Counter, Dpp, Encoding, Exec, File, Form, Inst, Kind, Mods, Operand, flag, vopd};
use crate::wave::sgpr;

impl Display for Inst {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.op.encoding {
            Encoding::Sop1 | Encoding::Sop2 | Encoding::Sopc => scalar(self, f),
            Encoding::Sopk => constant(self, f),
            Encoding::Sopp => program(self, f),
            Encoding::Smem => scalar_load(self, f),
            Encoding::Ds => local(self, f),
            Encoding::Flat | Encoding::Global | Encoding::Scratch => global(self, f),
            Encoding::Mubuf => f.write_str(self.op.name),
            _ if self.dual.is_some() => dual(self, f),
            _ => vector(self, f),
        }
    }
}

/// Registers `first` on, `count` of them, of a file with this letter.
fn registers(letter: char, first: u8, count: u8) -> String {
    match count {
        1 => format!("{letter}{first}"),
        _ => format!("{letter}[{first}:{}]", first as u16 + count as u16 - 1),
    }
}

fn scalar_registers(number: u8, count: u8) -> String {
    match (number, count) {
        (sgpr::NULL, _) | (_, 1) => scalar_name(number),
        (sgpr::VCC, 2) => "vcc".into(),
        (sgpr::EXEC, 2) => "exec".into(),
        (108..=123, _) => registers('t', number - 108, count).replace('t', "ttmp"),
        _ => registers('s', number, count),
    }
}

/// Without modifiers.
fn operand(o: &Operand) -> String {
    match o.file {
        File::None => String::new(),
        File::Vector => registers('v', o.number, o.registers()),
        File::Scalar => scalar_registers(o.number, o.registers()),
        File::Literal if o.kind == Kind::F64 => format!("{:#x}", o.value >> 32),
        File::Literal if o.kind == Kind::B16 => format!("{:#x}", o.value as u16),
        File::Literal => format!("{:#x}", o.value as u32),
        File::Inline => match o.number {
            128..=192 => (o.number - 128).to_string(),
            235 => "src_shared_base".into(),
            236 => "src_shared_limit".into(),
            237 => "src_private_base".into(),
            238 => "src_private_limit".into(),
            193..=208 => format!("-{}", o.number - 192),
            248 if o.registers() == 2 => "0.15915494309189532".into(),
            248 => "0.15915494".into(),
            _ => ["0.5", "-0.5", "1.0", "-1.0", "2.0", "-2.0", "4.0", "-4.0"][(o.number - 240) as usize & 7]
                .into(),
        },
    }
}

fn list(f: &mut Formatter<'_>, operands: &[String]) -> Result {
    for (n, o) in operands.iter().enumerate() {
        write!(f, "{}{o}", if n == 0 { " " } else { ", " })?;
    }
    Ok(())
}

fn scalar(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    f.write_str(inst.op.name)?;
    let all = [&inst.dst, &inst.src[0], &inst.src[1]];
    list(f, &all.into_iter().filter(|o| o.is_some()).map(operand).collect::<Vec<_>>())
}

fn constant(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    let register = if inst.dst.is_some() { &inst.dst } else { &inst.src[0] };
    write!(f, "{} {}, {:#x}", inst.op.name, operand(register), inst.imm as u16)
}

fn program(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    let imm = inst.imm as u16 as u32;
    f.write_str(inst.op.name)?;
    match inst.op.name {
        "s_nop" | "s_sleep" | "s_setprio" if imm <= 64 => write!(f, " {imm}"),
        "s_nop" | "s_sleep" | "s_setprio" => write!(f, " {imm:#x}"),
        "s_clause" | "s_set_inst_prefetch_distance" | "s_denorm_mode" => write!(f, " {imm:#x}"),
        "s_endpgm" if imm != 0 => write!(f, " {imm}"),
        "s_waitcnt" => waits(inst, f),
        "s_delay_alu" => delays(imm, f),
        "s_waitcnt_depctr" => dependencies(imm, f),
        "s_sendmsg" => match imm {
            1 => f.write_str(" sendmsg(MSG_INTERRUPT)"),
            3 => f.write_str(" sendmsg(MSG_DEALLOC_VGPRS)"),
            _ => write!(f, " {imm}"),
        },
        _ if matches!(inst.op.exec, Exec::Branch(_)) => write!(f, " {imm}"),
        _ => Ok(()),
    }
}

fn waits(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    let (vm, exp, lgkm) = inst.waits();
    let all = vm == 0x3f && exp == 7 && lgkm == 0x3f;
    for (name, value, most) in [("vmcnt", vm, 0x3f), ("expcnt", exp, 7), ("lgkmcnt", lgkm, 0x3f)] {
        if all || value != most {
            write!(f, " {name}({value})")?;
        }
    }
    Ok(())
}

fn delays(imm: u32, f: &mut Formatter<'_>) -> Result {
    const WHAT: [&str; 12] = [
        "NO_DEP",
        "VALU_DEP_1",
        "VALU_DEP_2",
        "VALU_DEP_3",
        "VALU_DEP_4",
        "TRANS32_DEP_1",
        "TRANS32_DEP_2",
        "TRANS32_DEP_3",
        "FMA_ACCUM_CYCLE_1",
        "SALU_CYCLE_1",
        "SALU_CYCLE_2",
        "SALU_CYCLE_3",
    ];
    const SKIP: [&str; 6] = ["SAME", "NEXT", "SKIP_1", "SKIP_2", "SKIP_3", "SKIP_4"];
    let mut parts = Vec::new();
    let name = |names: &[&'static str], at: u32| names.get(at as usize).copied().unwrap_or("?");
    for (part, value, names) in [
        ("instid0", imm & 15, &WHAT[..]),
        ("instskip", imm >> 4 & 7, &SKIP[..]),
        ("instid1", imm >> 7 & 15, &WHAT[..]),
    ] {
        if value != 0 {
            parts.push(format!("{part}({})", name(names, value)));
        }
    }
    let text = parts.join(" | ");
    write!(f, " {}", if text.is_empty() { "0" } else { &text })
}

fn dependencies(imm: u32, f: &mut Formatter<'_>) -> Result {
    const FIELDS: [(&str, u32, u32); 7] = [
        ("hold_cnt", 7, 1),
        ("sa_sdst", 0, 1),
        ("va_vdst", 12, 15),
        ("va_sdst", 9, 7),
        ("va_ssrc", 8, 1),
        ("va_vcc", 1, 1),
        ("vm_vsrc", 2, 7),
    ];
    // Bits that are no field's make it a number.
    if imm & 0x60 != 0 {
        return write!(f, " {imm:#x}");
    }
    let all = FIELDS.iter().all(|&(_, at, most)| imm >> at & most == most);
    for (name, at, most) in FIELDS {
        let value = imm >> at & most;
        if all || value != most {
            write!(f, " depctr_{name}({value})")?;
        }
    }
    Ok(())
}

fn scalar_load(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    f.write_str(inst.op.name)?;
    if !inst.dst.is_some() {
        return Ok(());
    }
    write!(f, " {}, {}, ", operand(&inst.dst), operand(&inst.src[0]))?;
    let sign = if inst.imm < 0 { "-" } else { "" };
    let offset = format!("{sign}{:#x}", inst.imm.unsigned_abs());
    match inst.src[1].is_some() {
        // The register that is none is what stands for no offset at all.
        false if inst.imm == 0 => f.write_str("null")?,
        false => f.write_str(&offset)?,
        true if inst.imm == 0 => f.write_str(&operand(&inst.src[1]))?,
        true => write!(f, "{} offset:{offset}", operand(&inst.src[1]))?,
    }
    caches(inst, f)
}

fn caches(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    for (set, name) in [(inst.glc, " glc"), (inst.slc, " slc"), (inst.dlc, " dlc")] {
        if set {
            f.write_str(name)?;
        }
    }
    Ok(())
}

fn local(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    f.write_str(inst.op.name)?;
    let all = [&inst.dst, &inst.src[0], &inst.src[1], &inst.src[2]];
    list(f, &all.into_iter().filter(|o| o.is_some()).map(operand).collect::<Vec<_>>())?;
    let imm = inst.imm as u32;
    match inst.op.exec {
        Exec::LoadTwo { .. } | Exec::StoreTwo { .. } => {
            for (name, offset) in [("offset0", imm & 0xff), ("offset1", imm >> 8)] {
                if offset != 0 {
                    write!(f, " {name}:{offset}")?;
                }
            }
            Ok(())
        }
        _ if imm == 0 => Ok(()),
        Exec::Swizzle => write!(f, " offset:{}", swizzle(imm)),
        _ => write!(f, " offset:{imm}"),
    }
}

fn swizzle(imm: u32) -> String {
    if imm & 0xff00 == 0x8000 {
        let lane = |n: u32| imm >> (2 * n) & 3;
        return format!("swizzle(QUAD_PERM,{},{},{},{})", lane(0), lane(1), lane(2), lane(3));
    }
    if imm & 0x8000 != 0 {
        return imm.to_string();
    }
    let (and, or, xor) = (imm & 31, imm >> 5 & 31, imm >> 10 & 31);
    let group = 32 - and;
    match () {
        () if and == 31 && or == 0 && xor.count_ones() == 1 => format!("swizzle(SWAP,{xor})"),
        () if and == 31 && or == 0 && xor > 0 && (xor + 1).is_power_of_two() => {
            format!("swizzle(REVERSE,{})", xor + 1)
        }
        () if group > 1 && group.is_power_of_two() && or < group && xor == 0 => {
            format!("swizzle(BROADCAST,{group},{or})")
        }
        () => {
            let probe = |x: u32| (x & and | or) ^ xor;
            let letters = (0..5).rev().map(|n| match (probe(0) >> n & 1, probe(31) >> n & 1) {
                (0, 0) => '0',
                (1, 1) => '1',
                (0, _) => 'p',
                _ => 'i',
            });
            format!("swizzle(BITMASK_PERM,\"{}\")", letters.collect::<String>())
        }
    }
}

fn global(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    f.write_str(inst.op.name)?;
    let mut operands: Vec<String> = Vec::new();
    if inst.dst.is_some() {
        operands.push(operand(&inst.dst));
    }
    operands.push(if inst.src[0].is_some() { operand(&inst.src[0]) } else { "off".into() });
    if inst.src[1].is_some() {
        operands.push(operand(&inst.src[1]));
    }
    if inst.op.encoding != Encoding::Flat {
        operands.push(if inst.src[2].is_some() { operand(&inst.src[2]) } else { "off".into() });
    }
    list(f, &operands)?;
    if inst.imm != 0 {
        write!(f, " offset:{}", inst.imm)?;
    }
    caches(inst, f)
}

/// With signs, and the half that is meant.
fn source(inst: &Inst, n: usize) -> String {
    let (o, mods) = (&inst.src[n], &inst.mods);
    let packed = inst.op.encoding == Encoding::Vop3p;
    let is_mix = o.kind == Kind::Mix;
    let mut text = operand(o);
    if o.file == File::Vector && o.kind == Kind::B16 && !packed {
        text += if mods.op_sel >> n & 1 != 0 || o.high { ".h" } else { ".l" };
    }
    if packed && !is_mix {
        return text;
    }
    if mods.abs >> n & 1 != 0 {
        text = format!("|{text}|");
    }
    match mods.neg >> n & 1 != 0 {
        true if matches!(o.file, File::Inline | File::Literal) && mods.abs >> n & 1 == 0 => {
            format!("neg({text})")
        }
        true => format!("-{text}"),
        false => text,
    }
}

/// How many sources are written out.
fn n_written(inst: &Inst) -> usize {
    let n = inst.op.src.iter().filter(|&&k| k != Kind::None).count();
    if inst.op.is(flag::READS_DST) && n > 1 { n - 1 } else { n }
}

fn vector(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    let op = inst.op;
    let two_forms =
        matches!(op.encoding, Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc) && !op.is(flag::SHORT_ONLY);
    let suffix = match (two_forms, inst.form, inst.dpp.is_some()) {
        (true, Form::Short, false) => "_e32",
        (true, Form::Long, false) => "_e64",
        (true, Form::Long, true) => "_e64_dpp",
        (false, Form::Short, true) if op.encoding != Encoding::Vop2 => "_e64_dpp",
        (_, _, true) if op.encoding != Encoding::Vopc => "_dpp",
        _ => "",
    };
    write!(f, "{}{suffix}", op.name)?;
    let mut operands = Vec::new();
    if inst.dst.is_some() {
        let half = match inst.dst.kind == Kind::B16 {
            true if inst.mods.op_sel & 8 != 0 || inst.dst.high => ".h",
            true => ".l",
            false => "",
        };
        operands.push(operand(&inst.dst) + half);
    }
    if inst.dst2.is_some() {
        operands.push(operand(&inst.dst2));
    }
    let n = n_written(inst);
    operands.extend((0..n).map(|n| source(inst, n)));
    list(f, &operands)?;
    modifiers(inst, n, f)?;
    match &inst.dpp {
        Some(dpp) => lanes(dpp, f),
        None => Ok(()),
    }
}

/// A modifier with a bit for each of `n`.
fn bit_list(f: &mut Formatter<'_>, name: &str, bits: u8, n: usize) -> Result {
    write!(f, " {name}:[")?;
    for at in 0..n {
        write!(f, "{}{}", if at == 0 { "" } else { "," }, bits >> at & 1)?;
    }
    f.write_char(']')
}

fn modifiers(inst: &Inst, n: usize, f: &mut Formatter<'_>) -> Result {
    let Mods { neg, abs, op_sel, op_sel_hi, clamp, omod } = inst.mods;
    let all = (1u8 << n) - 1;
    if inst.op.encoding == Encoding::Vop3p {
        let is_mix = inst.src[0].kind == Kind::Mix;
        let has_halves = is_mix || inst.op.src.contains(&Kind::Pk16);
        if op_sel & all != 0 {
            bit_list(f, "op_sel", op_sel, n)?;
        }
        let usual = if is_mix { 0 } else { all };
        if has_halves && op_sel_hi & all != usual {
            bit_list(f, "op_sel_hi", op_sel_hi, n)?;
        }
        for (name, bits) in [("neg_lo", neg), ("neg_hi", abs)] {
            if bits & all != 0 && !is_mix {
                bit_list(f, name, bits, n)?;
            }
        }
    } else if op_sel != 0 && inst.op.name != "v_cndmask_b16" {
        let with_dst = op_sel & all | (op_sel >> 3 & 1) << n;
        bit_list(f, "op_sel", with_dst, if inst.op.is(flag::CROSSES_LANES) { 2 } else { n + 1 })?;
    }
    if clamp {
        f.write_str(" clamp")?;
    }
    f.write_str(["", " mul:2", " mul:4", " div:2"][omod as usize & 3])
}

fn lanes(dpp: &Dpp, f: &mut Formatter<'_>) -> Result {
    let inactive = match *dpp {
        Dpp::Eight { lanes, fetch_inactive } => {
            let lane = |n: u32| lanes >> (3 * n) & 7;
            write!(f, " dpp8:[{}", lane(0))?;
            for n in 1..8 {
                write!(f, ",{}", lane(n))?;
            }
            f.write_char(']')?;
            fetch_inactive
        }
        Dpp::Row { control, bank_mask, row_mask, bound_ctrl, fetch_inactive } => {
            let by = control & 15;
            match control {
                0..=0xff => {
                    let lane = |n: u16| control >> (2 * n) & 3;
                    write!(f, " quad_perm:[{},{},{},{}]", lane(0), lane(1), lane(2), lane(3))?;
                }
                0x101..=0x10f => write!(f, " row_shl:{by}")?,
                0x111..=0x11f => write!(f, " row_shr:{by}")?,
                0x121..=0x12f => write!(f, " row_ror:{by}")?,
                0x140 => f.write_str(" row_mirror")?,
                0x141 => f.write_str(" row_half_mirror")?,
                0x150..=0x15f => write!(f, " row_share:{by}")?,
                _ => write!(f, " row_xmask:{by}")?,
            }
            write!(f, " row_mask:{row_mask:#x} bank_mask:{bank_mask:#x}")?;
            if bound_ctrl {
                f.write_str(" bound_ctrl:1")?;
            }
            fetch_inactive
        }
    };
    if inactive { f.write_str(" fi:1") } else { Ok(()) }
}

fn half(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    write!(f, "v_dual_{} {}", vopd::name(inst.op), operand(&inst.dst))?;
    let n = inst.op.src.iter().filter(|&&k| k != Kind::None && k != Kind::Mask).count();
    let n = if inst.op.is(flag::READS_DST) { n - 1 } else { n };
    (0..n).try_for_each(|n| write!(f, ", {}", operand(&inst.src[n])))
}

fn dual(inst: &Inst, f: &mut Formatter<'_>) -> Result {
    half(inst, f)?;
    f.write_str(" :: ")?;
    inst.dual.as_ref().map_or(Ok(()), |second| half(second, f))
}

impl Display for Counter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Counter::Vm => "vmcnt",
            Counter::Lgkm => "lgkmcnt",
            Counter::Vs => "vscnt",
            Counter::Exp => "expcnt",
        })
    }
}
