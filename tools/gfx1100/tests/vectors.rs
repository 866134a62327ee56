//! Single instructions beside the pseudocode of the ISA document: see `tools/vectors/make_gfx1100.py`, which works
//! out what `vectors.txt` holds.

use rocmforge_gfx1100::isa::Program;
use rocmforge_gfx1100::{LANES, Mode, Wave, sgpr};

/// Instructions of the unit for transcendental functions: within a unit in the last place, and blind to
/// denormals.
const LOOSE: [&str; 14] = [
    "v_exp_f32",
    "v_log_f32",
    "v_rcp_f32",
    "v_rcp_iflag_f32",
    "v_rsq_f32",
    "v_sqrt_f32",
    "v_rcp_f64",
    "v_rsq_f64",
    "v_sqrt_f64",
    "v_exp_f16",
    "v_log_f16",
    "v_rcp_f16",
    "v_rsq_f16",
    "v_sqrt_f16",
];

/// Sums of rounded products, which the document rounds after each step.
const SUMS: [&str; 2] = ["v_dot2_f32_f16", "v_dot2acc_f32_f16"];

fn hex(word: &str) -> u64 {
    u64::from_str_radix(word, 16).unwrap_or_else(|e| panic!("{word}: {e}"))
}

/// How far two values of a kind of result may be apart.
struct Same {
    kind: &'static str,
    steps: u64,
    flushes: bool,
}

impl Same {
    fn of(name: &str, kind: &str) -> Same {
        let kind = ["f16", "f32", "f64", "p16"].into_iter().find(|k| *k == kind).unwrap_or("bits");
        let loose = LOOSE.contains(&name);
        Same {
            kind,
            steps: if SUMS.contains(&name) { 4 } else { loose as u64 },
            flushes: loose && kind == "f32",
        }
    }

    fn holds(&self, a: u64, b: u64) -> bool {
        match self.kind {
            "p16" => (0..2).all(|n| self.floats(a >> (16 * n) & 0xffff, b >> (16 * n) & 0xffff, 16, 10)),
            // The other half of the register is kept to the bit.
            "f16" => a >> 16 == b >> 16 && self.floats(a & 0xffff, b & 0xffff, 16, 10),
            "f32" => self.floats(a, b, 32, 23),
            "f64" => self.floats(a, b, 64, 52),
            _ => a == b,
        }
    }

    fn floats(&self, a: u64, b: u64, width: u32, mantissa: u32) -> bool {
        let magnitude = |x: u64| x & !(1 << (width - 1));
        let infinity = ((1 << (width - 1 - mantissa)) - 1) << mantissa;
        let is_nan = |x: u64| magnitude(x) > infinity;
        if is_nan(a) || is_nan(b) {
            return is_nan(a) && is_nan(b);
        }
        let tiny = |x: u64| magnitude(x) < 1 << mantissa;
        if self.flushes && tiny(a) && tiny(b) {
            return true;
        }
        a >> (width - 1) == b >> (width - 1) && magnitude(a).abs_diff(magnitude(b)) <= self.steps
    }
}

/// Denormals among the operands, for instructions that do not see them.
fn has_denormal(values: &[u64]) -> bool {
    values.iter().any(|&v| v & 0x7f80_0000 == 0 && v & 0x7f_ffff != 0)
}

struct Block<'a> {
    name: &'a str,
    result: &'a str,
    words: Vec<u32>,
    rows: Vec<&'a str>,
}

fn blocks(text: &str) -> (Vec<Block<'_>>, Vec<Block<'_>>) {
    let (mut vector, mut scalar) = (Vec::new(), Vec::new());
    for block in text.split("\n\n").skip(1) {
        let mut lines = block.lines();
        let head: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let n_words = if head[0] == "vector" { 2 } else { 1 };
        let block = Block {
            name: head[1],
            result: head[2],
            words: head[3..3 + n_words].iter().map(|w| hex(w) as u32).collect(),
            rows: lines.collect(),
        };
        if head[0] == "vector" { &mut vector } else { &mut scalar }.push(block);
    }
    (vector, scalar)
}

fn program(words: &[u32]) -> Program {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    Program::decode(&bytes, 0).unwrap_or_else(|e| panic!("{words:x?}: {e}"))
}

/// Operands, what was before, what comes after.
fn parts(row: &str) -> [Vec<u64>; 3] {
    let parts: Vec<Vec<u64>> = row.split('|').map(|p| p.split_whitespace().map(hex).collect()).collect();
    parts.try_into().unwrap_or_else(|_| panic!("{row}"))
}

#[test]
fn vector_instructions() {
    let text = include_str!("vectors.txt");
    let (blocks, _) = blocks(text);
    let mut wrong = Vec::new();
    for block in &blocks {
        let program = program(&block.words);
        let same = Same::of(block.name, block.result);
        for rows in block.rows.chunks(LANES) {
            let mut wave = Wave::new(16, Mode::default());
            let rows: Vec<_> = rows.iter().map(|row| parts(row)).collect();
            assert_eq!(rows.len(), LANES, "{}", block.name);
            for n in 0..3 {
                let value = |l: usize| rows[l][0].get(n).copied().unwrap_or(0);
                wave.set_vgpr(2 * n as u8, std::array::from_fn(|l| value(l) as u32));
                wave.set_vgpr(2 * n as u8 + 1, std::array::from_fn(|l| (value(l) >> 32) as u32));
            }
            wave.set_vgpr(8, std::array::from_fn(|l| rows[l][1][0] as u32));
            let mask = (0..LANES).fold(0, |m, l| m | (rows[l][1][1] as u32) << l);
            wave.set_sgpr(10, mask);
            wave.set_sgpr(sgpr::VCC, mask);
            let done = program.step(&mut wave);
            assert!(matches!(done, Ok(None)), "{}: {done:?}", program.insts[0]);
            let masked = wave.s[if block.name.starts_with("v_cmpx") { sgpr::EXEC } else { 12 } as usize];
            for (l, [operands, before, after]) in rows.iter().enumerate() {
                let wide = program.insts[0].dst.registers() == 2;
                let got = match block.result {
                    "mask" => 0,
                    _ => wave.v[8][l] as u64 | if wide { (wave.v[9][l] as u64) << 32 } else { 0 },
                };
                let bit = (masked >> l & 1) as u64;
                let has_mask = block.result == "mask" || program.insts[0].dst2.is_some();
                let skipped = same.flushes && has_denormal(operands);
                if !skipped && (!same.holds(got, after[0]) || has_mask && bit != after[1]) {
                    let (text, kind) = (&program.insts[0], block.result);
                    wrong.push(format!(
                        "{text}: {operands:x?} (before {before:x?}): {got:x} {bit}, not {after:x?} ({kind})"
                    ));
                }
            }
        }
    }
    let names: std::collections::BTreeSet<&str> = wrong.iter().filter_map(|w| w.split(' ').next()).collect();
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {names:?} are wrong:\n{shown}", wrong.len());
    assert!(blocks.len() > 300, "{} instructions only", blocks.len());
}

#[test]
fn scalar_instructions() {
    let text = include_str!("vectors.txt");
    let (_, blocks) = blocks(text);
    let mut wrong = Vec::new();
    for block in &blocks {
        let program = program(&block.words);
        for row in &block.rows {
            let [operands, before, after] = parts(row);
            let mut wave = Wave::new(1, Mode::default());
            for (n, value) in operands.iter().enumerate() {
                wave.set_sgpr(2 * n as u8, *value as u32);
                wave.set_sgpr(2 * n as u8 + 1, (*value >> 32) as u32);
            }
            wave.set_sgpr(8, before[0] as u32);
            wave.set_sgpr(9, (before[0] >> 32) as u32);
            wave.scc = before[1] != 0;
            wave.s_defined |= 1 << sgpr::SCC;
            wave.set_sgpr(sgpr::EXEC, before[2] as u32);
            let done = program.step(&mut wave);
            assert!(matches!(done, Ok(None)), "{}: {done:?}", program.insts[0]);
            let high = if block.result.ends_with("64") { (wave.s[9] as u64) << 32 } else { 0 };
            let got = wave.s[8] as u64 | high;
            let expected = if block.result == "none" { got } else { after[0] };
            if got != expected || wave.scc != (after[1] != 0) || wave.exec() != after[2] as u32 {
                let (text, scc, exec) = (&program.insts[0], wave.scc as u8, wave.exec());
                wrong.push(format!(
                    "{text}: {operands:x?} (before {before:x?}): {got:x} {scc} {exec:x}, not {after:x?}"
                ));
            }
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} are wrong:\n{shown}", wrong.len());
    assert!(blocks.len() > 60, "{} instructions only", blocks.len());
}
