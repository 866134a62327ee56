//! The kernels compile for every target by every compiler, and their machine code is what was meant.
//!
//! A kernel file says what is meant in lines at its top:
//!
//! ```text
//! // budget: b128 dot4             every kernel of the file
//! // budget matvec q8_0: waves=16  kernels or types of these names only
//! ```
//!
//! `b128`, `dot4`, `dot2`, `wmma`: uses such instructions. `no_lds`, `no_inv`: uses none. `waves=N`: at least N waves
//! a SIMD. Whatever a file says: no spills, no private memory, no flat accesses, no `v_permlanex16`, which clang 19
//! moves past changes of the active lanes; and a kernel's arguments have the size of what it is launched with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rocmforge::backend::hip::argument_bytes;
use rocmforge_kernels::machine::{CLASSES, Kernel, Tools};
use rocmforge_kernels::{Compiler, TARGETS, Unit, Wanted, build, sources, units};
use rocmforge_testkit::gfx1100;
use rocmforge_testkit::harness::{self, Tests};

/// The target whose budget is checked.
const BUDGET: &str = "gfx1100";

/// Compiles units for a target.
fn compile(compiler: &Compiler, name: &str, units: &[Unit], target: &str) -> Vec<(Unit, PathBuf)> {
    let built = build(
        compiler,
        &Wanted {
            sources: &sources(),
            units,
            targets: &[target],
            cache: Some(&gfx1100::cache(name)),
            out: &Path::new(env!("CARGO_TARGET_TMPDIR")).join(name),
            n_jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
        },
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(built.len(), units.len());
    built.into_iter().map(|b| (b.unit, b.path)).collect()
}

fn all_units() -> Vec<Unit> {
    units(&sources()).unwrap_or_else(|e| panic!("{e}"))
}

/// Every source for every target, and of those that are compiled for many types another one each time: what
/// types have of their own is the same arithmetic everywhere. All of it with `ROCMFORGE_ALL_KERNELS=1`.
fn every_target(compiler: &Compiler, name: &str) {
    let all = std::env::var("ROCMFORGE_ALL_KERNELS").is_ok_and(|v| v == "1");
    let units = all_units();
    for (at, target) in TARGETS.iter().enumerate() {
        let of_source = units.chunk_by(|a, b| a.source == b.source);
        let chosen: Vec<Unit> = match all {
            true => units.clone(),
            false => of_source.map(|types| types[at * 5 % types.len()].clone()).collect(),
        };
        compile(compiler, name, &chosen, target);
    }
}

/// What the budget lines of a source ask of a kernel.
fn asked(source: &str, unit: &Unit, kernel: &str) -> Vec<String> {
    let lines = source.lines().take_while(|l| l.starts_with("//"));
    let budgets = lines.filter_map(|l| l.strip_prefix("// budget")?.split_once(':'));
    let meant = budgets.filter(|(names, _)| {
        let mut names = names.split_whitespace().peekable();
        names.peek().is_none()
            || names.any(|n| n == kernel || unit.variant.is_some_and(|(_, value)| n == value))
    });
    meant.flat_map(|(_, words)| words.split_whitespace().map(String::from)).collect()
}

/// What is wrong with a kernel.
fn faults(kernel: &Kernel, words: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |ok: bool, fault: &str| {
        if !ok {
            faults.push(fault.to_string());
        }
    };
    check(kernel.spills == 0, "spills registers");
    check(kernel.scratch == 0 && kernel.count("scratch") == 0, "uses private memory");
    check(kernel.count("permlanex") == 0, "uses v_permlanex16");
    check(
        kernel.count("flat") == 0,
        "takes device memory for what might be LDS (global() says that it is not)",
    );
    for word in words {
        match word.as_str() {
            "b128" => check(kernel.count("load16") > 0, "has no load of 16 bytes"),
            "dot4" | "dot2" | "wmma" => check(kernel.count(word) > 0, &format!("has no {word}")),
            "no_lds" | "no_inv" => check(kernel.count(&word[3..]) == 0, &format!("has {}", &word[3..])),
            _ => match word.strip_prefix("waves=").and_then(|n| n.parse::<u32>().ok()) {
                Some(n) => check(kernel.waves_per_simd() >= n, &format!("fewer than {n} waves a SIMD")),
                None => check(false, &format!("unknown word \"{word}\" in its budget")),
            },
        }
    }
    faults
}

/// Print the table of every kernel, and check it.
fn budget(compiler: &Compiler, tools: &Tools, name: &str) {
    let mut table = format!(
        "{BUDGET} by {}\n{:<20} {:<28} {:>5} {:>5} {:>6} {:>5} {:>5}",
        compiler.version(),
        "unit",
        "kernel",
        "vgprs",
        "sgprs",
        "lds",
        "waves",
        "instr"
    );
    for (class, _) in CLASSES {
        table += &format!(" {class:>7}");
    }
    let mut wrong = Vec::new();
    for (unit, object) in compile(compiler, name, &all_units(), BUDGET) {
        let path = sources().join(format!("{}.hip", unit.source));
        let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for k in tools.read(&object).unwrap_or_else(|e| panic!("{e}")) {
            table += &format!(
                "\n{:<20} {:<28} {:>5} {:>5} {:>6} {:>5} {:>5}",
                unit.name(),
                k.name,
                k.vgprs,
                k.sgprs,
                k.lds,
                k.waves_per_simd(),
                k.instructions
            );
            for (class, _) in CLASSES {
                table += &format!(" {:>7}", k.count(class));
            }
            let bytes = argument_bytes(&unit.name(), &k.name);
            if bytes != Some(k.arguments as usize) {
                let (unit, name, takes) = (unit.name(), &k.name, k.arguments);
                wrong.push(format!("{unit}: {name} takes {takes} bytes of arguments and is given {bytes:?}"));
            }
            for fault in faults(&k, &asked(&source, &unit, &k.name)) {
                wrong.push(format!("{}: {} {fault}", unit.name(), k.name));
            }
        }
    }
    harness::note(format_args!("{table}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules catch what they are there for.
fn rules() {
    let mut good = Kernel { vgprs: 96, threads: 256, wave: 32, ..Kernel::default() };
    good.classes.insert("load16", 2);
    let check = |kernel: &Kernel, text: &str, n: usize| {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        let found = faults(kernel, &words);
        assert_eq!(found.len(), n, "\"{text}\": {found:?}");
    };
    check(&good, "b128 waves=16 no_lds no_inv", 0);
    check(&good, "dot4", 1);
    check(&good, "b182", 1);
    check(&Kernel { spills: 1, scratch: 4, ..good.clone() }, "", 2);
    check(&Kernel { vgprs: 97, ..good.clone() }, "waves=13", 1);
    // Four workgroups of 32 KiB and eight waves each on a WGP: eight waves a SIMD.
    check(&Kernel { lds: 32 * 1024, ..good.clone() }, "waves=8", 0);
    check(&Kernel { lds: 32 * 1024 + 1, ..good.clone() }, "waves=8", 1);
    let unit = Unit { source: "x".into(), variant: Some(("RF_TYPE", "q8_0")) };
    let source =
        "// X.\n// budget: b128\n// budget q8_0: dot4\n// budget q4_0 y: wmma\ncode\n// budget: dot2\n";
    assert_eq!(asked(source, &unit, "x"), ["b128", "dot4"]);
    assert_eq!(asked(source, &unit, "y"), ["b128", "dot4", "wmma"]);
}

/// A compiler, or why there is none; `ROCMFORGE_REQUIRE_CLANG=1` makes that a failure.
fn required<T>(found: Result<T, String>) -> Result<T, String> {
    match std::env::var("ROCMFORGE_REQUIRE_CLANG").as_deref() {
        Ok("1") => Ok(found.unwrap_or_else(|why| panic!("ROCMFORGE_REQUIRE_CLANG=1: {why}"))),
        _ => found,
    }
}

fn main() -> ExitCode {
    let mut tests = Tests::default();
    tests.add("rules", Ok(()), rules);
    for (name, compiler) in gfx1100::compilers() {
        let tools = required(Tools::find());
        let needs = compiler.as_ref().map(drop).map_err(String::clone);
        let needs_tools = needs.clone().and(tools.as_ref().map(drop).map_err(String::clone));
        let again = compiler.clone();
        tests.add(format!("{name}::every_target"), needs, move || {
            if let Ok(compiler) = compiler {
                every_target(&compiler, name);
            }
        });
        tests.add(format!("{name}::budget"), needs_tools, move || {
            if let (Ok(compiler), Ok(tools)) = (again, tools) {
                budget(&compiler, &tools, name);
            }
        });
    }
    tests.run()
}
