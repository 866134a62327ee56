//! The decoder and the printer agree with llvm-objdump on every instruction of every kernel, as each compiler
//! makes them. Objects that tests of the library have compiled are taken as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use rocmforge_gfx1100::isa::Program;
use rocmforge_kernels::{Compiler, Wanted, build, sources, units};

/// A disassembler of LLVM, and its version.
struct Objdump {
    name: String,
    version: u32,
}

impl Objdump {
    /// The first version that writes which half of a register an instruction means.
    const KNOWS_HALVES: u32 = 22;

    /// The newest on the path.
    fn find() -> Result<Objdump, String> {
        let names = (19..=24).rev().map(|v| format!("llvm-objdump-{v}")).chain(["llvm-objdump".into()]);
        for name in names {
            let Ok(output) = Command::new(&name).arg("--version").output() else { continue };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let version = text.split("version ").nth(1).and_then(|v| v.split('.').next()?.parse().ok());
            if let Some(version) = version.filter(|v| *v >= 19) {
                return Ok(Objdump { name, version });
            }
        }
        Err("no llvm-objdump of LLVM 19 or newer on the path (Debian: llvm-19)".into())
    }

    /// What it says of an object, in the order of the file: each instruction's address, text and words.
    fn lines(&self, object: &Path) -> Vec<(u64, String, Vec<u8>)> {
        let output = Command::new(&self.name).args(["-d", "--mcpu=gfx1100"]).arg(object).output();
        let output = output.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert!(output.status.success(), "{} {}", self.name, object.display());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(line).collect()
    }
}

/// `\tv_mov_b32_e32 v0, 0   // 000000003200: 7E000280 <symbol>`
fn line(line: &str) -> Option<(u64, String, Vec<u8>)> {
    let (text, rest) = line.rsplit_once("// ")?;
    let (address, words) = rest.split_once(": ")?;
    let words = words.split_whitespace().take_while(|w| !w.starts_with('<'));
    let words = words.map(|w| u32::from_str_radix(w, 16).ok());
    let bytes: Option<Vec<u8>> =
        words.collect::<Option<Vec<u32>>>().map(|w| w.iter().flat_map(|w| w.to_le_bytes()).collect());
    Some((u64::from_str_radix(address.trim(), 16).ok()?, text.trim().into(), bytes?))
}

/// Without the halves of registers: what older versions print, where they can read it at all.
fn without_halves(text: &str) -> String {
    let words = text.split_inclusive([' ', ',', '|']).map(|word| {
        let end = word.trim_end_matches([' ', ',', '|']);
        let bare = end.strip_suffix(".l").or(end.strip_suffix(".h")).unwrap_or(end);
        format!("{bare}{}", &word[end.len()..])
    });
    words.collect()
}

/// A line without the mark that newer ones put around a literal which a short operand could say as well.
fn without_mark(text: &str) -> String {
    match text.split_once("lit(").and_then(|(before, rest)| Some((before, rest.split_once(')')?))) {
        Some((before, (number, after))) => format!("{before}{number}{after}"),
        None => text.into(),
    }
}

/// How many instructions an object has, for how many of them the disassembler is too old, and what differs.
fn compare(objdump: &Objdump, object: &Path) -> (usize, usize, Vec<String>) {
    let lines = objdump.lines(object);
    let (Some(first), bytes) = (lines.first(), lines.iter().flat_map(|l| &l.2).copied().collect::<Vec<u8>>())
    else {
        return (0, 0, vec![format!("{}: no instructions", object.display())]);
    };
    let name = object.display();
    let program = match Program::decode(&bytes, first.0) {
        Ok(program) => program,
        Err(e) => return (0, 0, vec![format!("{name}: {e}")]),
    };
    let theirs: BTreeMap<u64, String> = lines.iter().map(|(at, text, _)| (*at, without_mark(text))).collect();
    let (mut unknown, mut wrong) = (0, Vec::new());
    for inst in &program.insts {
        let at = first.0 + inst.at as u64;
        let ours = inst.to_string();
        let Some(their) = theirs.get(&at) else {
            wrong.push(format!("{name}: {at:#x}: ours \"{ours}\", theirs begins elsewhere"));
            continue;
        };
        let halves = objdump.version >= Objdump::KNOWS_HALVES;
        // An older one writes these without the half, or takes them for something else.
        if !halves && ours.contains(".h") {
            unknown += 1;
            continue;
        }
        let same = if halves { *their == ours } else { without_halves(their) == without_halves(&ours) };
        if !same {
            wrong.push(format!("{name}: {at:#x}: ours \"{ours}\", theirs \"{their}\""));
        }
    }
    (program.insts.len(), unknown, wrong)
}

/// Every kernel as a compiler makes it.
fn agrees(compiler: &Compiler, name: &str) {
    let objdump = Objdump::find().unwrap_or_else(|e| panic!("{e}"));
    let all = units(&sources()).unwrap_or_else(|e| panic!("{e}"));
    // Where the tests that execute kernels have their compiler's results, so that nothing is compiled twice.
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testkit").join(format!("kernels-{name}"));
    let wanted = Wanted {
        sources: &sources(),
        units: &all,
        targets: &["gfx1100"],
        cache: Some(&folder.join("cache")),
        out: &folder.join("objdump"),
        n_jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    let built = build(compiler, &wanted).unwrap_or_else(|e| panic!("{e}"));
    let (mut n, mut n_unknown, mut all_wrong) = (0, 0, Vec::new());
    for object in &built {
        let (compared, unknown, wrong) = compare(&objdump, &object.path);
        n += compared;
        n_unknown += unknown;
        all_wrong.extend(wrong);
    }
    println!(
        "{name}: {n} instructions of {} objects beside LLVM {}'s, which is too old for {n_unknown} of them",
        built.len(),
        objdump.version
    );
    let shown = all_wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(all_wrong.is_empty(), "{} differ:\n{shown}", all_wrong.len());
    assert!(n > 100_000, "{n} instructions only");
}

fn main() -> ExitCode {
    let mut tests = Vec::new();
    for (name, compiler) in [("clang", Compiler::find_clang()), ("zig", Compiler::find_zig())] {
        let needs = compiler.as_ref().map(drop).map_err(String::clone).and(Objdump::find().map(drop));
        let required = std::env::var("ROCMFORGE_REQUIRE_CLANG").is_ok_and(|v| v == "1");
        if let Err(why) = &needs {
            assert!(!required, "ROCMFORGE_REQUIRE_CLANG=1: {why}");
            println!("objdump::{name}: ignored: {why}");
        }
        let ignored = needs.is_err();
        let test = move || {
            if let Ok(compiler) = compiler {
                agrees(&compiler, name);
            }
            Ok(())
        };
        tests.push(Trial::test(format!("objdump::{name}"), test).with_ignored_flag(ignored));
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
