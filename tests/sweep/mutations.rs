//! Whether the sweep would notice: kernels with one thing wrong each, in their sources or in their machine code, executed by
//! the gfx1100 interpreter on the case that is to catch it. `ROCMFORGE_SWEEP=mutations` runs these in place of the sweep.
//!
//! Each is this program once more, in whose folder of kernels one unit is a wrong one; it must fail. So that it does not
//! fail for another reason, each case first passes with the right ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rocmforge_gfx1100::Machine;
use rocmforge_gfx1100::isa::Inst;
use rocmforge_kernels::{Compiler, Wanted, build, sources, units};
use rocmforge_testkit::harness::{self, Tests};
use rocmforge_testkit::{gfx1100, scratch};

use Change::{Code, Source};
use Edit::{Drop, Flip, SwapOperands};
use Which::{All, First};

/// One thing that is wrong.
struct Mutation {
    name: &'static str,
    unit: &'static str,
    change: Change,
    /// The case that notices.
    case: &'static str,
}

enum Change {
    /// In a file: this, in place of that.
    Source(&'static str, &'static str, &'static str),
    /// In a kernel's machine code, of the instructions whose text begins so.
    Code(&'static str, &'static str, Which, Edit),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    All,
}

enum Edit {
    /// Becomes `s_nop`s.
    Drop,
    /// Bits of a word of it are flipped.
    Flip(usize, u32),
    /// Operands 0 and 1 of a VOP3P instruction change places.
    SwapOperands,
}

const fn source(
    name: &'static str,
    (unit, file): (&'static str, &'static str),
    case: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutation {
    Mutation { name, unit, change: Source(file, from, to), case }
}

const fn code(
    name: &'static str,
    (unit, kernel): (&'static str, &'static str),
    case: &'static str,
    begins: &'static str,
    which: Which,
    edit: Edit,
) -> Mutation {
    Mutation { name, unit, change: Code(kernel, begins, which, edit), case }
}

const PACK: (&str, &str) = ("elementwise", "pack.h");
const ELEMENTWISE: (&str, &str) = ("elementwise", "elementwise.hip");
const EXPERTS: (&str, &str) = ("experts", "experts.hip");
const ATTENTION: (&str, &str) = ("attention_f16", "attention.hip");
const FLASH: (&str, &str) = ("flash_f16", "flash.hip");
const ROPE: (&str, &str) = ("rope", "rope.hip");
const ROPE_KV: (&str, &str) = ("rope", "kv.h");
const MATMUL: (&str, &str) = ("matmul_q4_0", "matmul.hip");
const MATVEC: (&str, &str) = ("matvec_q4_0", "matvec.h");

/// All of them, one a line.
#[rustfmt::skip]
const MUTATIONS: &[Mutation] = &[
    // Lanes.
    source("a group's largest is that of half of it", PACK, "packed/n=64", "reduce<Max, 32>(absolute(v))", "reduce<Max, 16>(absolute(v))"),
    source("another lane writes the sums of halves", PACK, "product/q2_k/k=256", "if (lane() % 32 == 0) {", "if (lane() % 32 == 16) {"),
    source("a sum over waves forgets a step", ("elementwise", "device.h"), "norm/n=1024", "if constexpr (n >= 8) v = Op::of(v, swap_lanes<4>(v));", ""),
    source("lanes are exchanged by the wrong mask", EXPERTS, "routing/2of8", "int from = lane() ^ m, other", "int from = lane() ^ 1, other"),
    source("halves of a wave do not merge their largest", ATTENTION, "attention/dim=64/f16", "if constexpr (L <= 16) top = larger(top, swap_lanes<16>(top));", ""),
    source("halves of a wave do not merge their results", ATTENTION, "attention/dim=64/f16", "if constexpr (L <= 16) part[j] += swap_lanes<16>(part[j]);", ""),
    source("a group of a cell takes its largest from two lanes", ("attention_q8_0", "kv.h"), "layer/dim=64/rot=64/heads=4/q8_0", "reduce<Max, 4>(most)", "reduce<Max, 2>(most)"),
    // Barriers, fences, waits.
    source("no barrier before sums of waves are added", PACK, "norm/n=1024", "barrier();\n    float sum = 0;", "float sum = 0;"),
    source("all waves write one place", PACK, "norm/n=1024", "room[wave()] = v", "room[0] = v"),
    source("no barrier before waves are merged", ATTENTION, "attention/dim=64/f16", "barrier();\n    const int dim = a.v.dim;", "const int dim = a.v.dim;"),
    source("the list is overwritten while it is read", ATTENTION, "attention/long/heads=4:4", "if (at != begin) barrier();", ""),
    code("partial results are not released", ("attention_f16", "attention_8_1"), "attention/long/heads=4:4", "s_waitcnt_vscnt", All, Drop),
    source("partial results are not acquired", ATTENTION, "attention/long/heads=4:4", "acquire();\n    for (int e", "for (int e"),
    source("a counter is not set back", ATTENTION, "attention/long/heads=4:4", "if (thread() == 0) *counter = 0;", ""),
    source("nobody arrives last", ATTENTION, "attention/long/heads=4:4", "arrive(counter) == active - 1", "arrive(counter) == active"),
    source("keys and values are used before they are there", FLASH, "attention/many/f16", "barrier();\n\n#pragma unroll 1", "\n#pragma unroll 1"),
    source("keys and values are overwritten while they are used", FLASH, "attention/many/f16", "        barrier();\n        any = 0;", "        any = 0;"),
    source("results leave through LDS that is in use", FLASH, "attention/many/f16", "    barrier();\n    float *result", "    float *result"),
    source("a head is turned before it is there", ROPE, "kv_rope/dim=128/f16", "fetch<TYPE>(a.kv, head, cell, i);\n    barrier();", "fetch<TYPE>(a.kv, head, cell, i);"),
    source("experts are counted by others than those who ask", EXPERTS, "experts/q4_k/8of64/256x256", "counts[e] = count;\n    }\n    barrier();", "counts[e] = count;\n    }"),
    source("the first stage is used before it is there", MATMUL, "product/q4_0/k=96", "put(stages[0], start);\n    barrier();", "put(stages[0], start);"),
    source("a stage is overwritten while it is used", MATMUL, "product/q4_0/k=1056", "put(stages[now ^ 1], g + GROUPS)", "put(stages[now], g + GROUPS)"),
    source("parts of k are not acquired", MATMUL, "product/q4_0/k=4864", "acquire();\n        for (int s", "for (int s"),
    source("parts of k are not released", MATMUL, "product/q4_0/k=4864", "barrier_memory();\n        if (thread() == 0) last", "if (thread() == 0) last"),
    source("products are used before they are there", MATVEC, "product/q4_0/k=32", "piece.w.n_rows, column, &sums);\n    barrier();", "piece.w.n_rows, column, &sums);"),
    code("nothing waits for loads", ("matvec_q4_0", "matvec_1"), "product/q4_0/k=32", "s_waitcnt vmcnt", All, Drop),
    code("nothing waits for LDS", ("flash_f16", "flash_64"), "attention/many/f16", "s_waitcnt lgkmcnt", All, Drop),
    code("nothing waits for arguments", ("elementwise", "add"), "elementwise/n=33", "s_waitcnt lgkmcnt(0)", First, Drop),
    code("nothing waits for stores", ("matmul_q4_0", "matmul_32"), "product/q4_0/k=4864", "s_waitcnt_vscnt", All, Drop),
    code("caches are not emptied", ("matmul_q4_0", "matmul_32"), "product/q4_0/k=4864", "buffer_gl0_inv", All, Drop),
    code("no barriers", ("flash_f16", "flash_64"), "attention/many/f16", "s_barrier", All, Drop),
    // Fragments and operands.
    source("rows of a tile are those of another target", ("flash_f16", "device.h"), "attention/many/f16", "return 2 * i + lane() / 16;", "return i + lane() / 16 * 8;"),
    source("rows of a tile of integers are those of another target", ("matmul_q4_0", "device.h"), "product/q4_0/k=96", "return 2 * i + lane() / 16;", "return i + lane() / 16 * 8;"),
    source("bits of the mask are those of the neighbour", FLASH, "mask/holes", "(step + t * 16 + tile_row(i)) & 1", "(step + t * 16 + (tile_row(i) ^ 1)) & 1"),
    source("values are those of the first step", FLASH, "attention/many/f16", "d * 16 * VALUE + step + c * 16", "d * 16 * VALUE + c * 16"),
    source("a product takes a word twice", MATVEC, "product/q4_0/k=32", "dot4(q[7], hi.w", "dot4(q[7], hi.z"),
    code("matrices change places", ("flash_f16", "flash_64"), "attention/many/f16", "v_wmma", All, SwapOperands),
    code("a shuffle takes the wrong lane", ("elementwise", "rms_norm"), "norm/n=1024", "ds_swizzle_b32", First, Flip(0, 0x6000)),
    code("a row operation takes the wrong lane", ("matvec_q4_0", "matvec_1"), "product/q4_0/k=1056", "v_mov_b32_dpp", First, Flip(1, 3 << 8)),
    // Bounds.
    source("a norm takes one element more", ELEMENTWISE, "norm/n=1000", "i < a.n; i += NORM_THREADS) sum", "i <= a.n; i += NORM_THREADS) sum"),
    source("a row is written to the end of its block", ELEMENTWISE, "elementwise/n=1000", "begin + CHUNK < a.n ? begin + CHUNK : a.n;\n    for", "begin + CHUNK;\n    for"),
    source("a copy forgets a word", ELEMENTWISE, "selected", "i < a.bytes / 4;", "i < a.bytes / 4 - 1;"),
    source("one expert too few is combined", EXPERTS, "experts/q4_0/2of6/256x256", "for (int j = 0; j < a.k; j++)\n            v +=", "for (int j = 1; j < a.k; j++)\n            v +="),
    source("experts begin one late", EXPERTS, "experts/q4_0/2of6/256x256", "i < e; i++) begin", "i <= e; i++) begin"),
    source("one cell more is turned", ROPE, "kv_rope/dim=64/f16", "cell >= a.run->n_kv", "cell > a.run->n_kv"),
    source("a row beyond the matrix is written", MATMUL, "product/q4_0/k=96", "row >= w.n_rows || column >= n", "row > w.n_rows || column >= n"),
    source("the last part of k is forgotten", MATMUL, "product/q4_0/k=4864", "(steps + a.splits - 1) / a.splits * GROUPS", "steps / a.splits * GROUPS"),
    source("groups are added twice", ("matvec_q4_k", "matvec.h"), "product/q4_k/k=4352", "g += WAVE * P", "g += WAVE"),
    source("rows are added twice", ("float_f16", "float.hip"), "product/f16/k=4104", "i += WAVE * 8", "i += WAVE * 4"),
    code("inactive lanes are active", ("elementwise", "add"), "elementwise/n=33", "v_cmpx", First, Drop),
    // Addresses and formulas.
    source("a mask shows the neighbours", ATTENTION, "mask/holes", "w.mine >> bit & 1", "w.mine >> (bit ^ 1) & 1"),
    source("a list has cells of a word twice", ATTENTION, "mask/holes", "if (i < word) before += n;", "if (i <= word) before += n;"),
    source("pairs of a head are exchanged", ("attention_f16", "kv.h"), "attention/dim=64/f16", "u16 x = w[j / 2] >> j % 2 * 16;", "u16 x = w[j / 2] >> (j ^ 1) % 2 * 16;"),
    source("an angle turns the other way", ROPE_KV, "rope/dim=64/rot=64", "second ? x[i] * c + x[other] * s", "second ? x[i] * c - x[other] * s"),
    source("a cosine is of the wrong quarter", ("rope", "device.h"), "rope_table", "(turn + 1) & 2", "turn & 2"),
    source("a scale goes to the next group", ROPE_KV, "kv_write/dim=64/q8_0", "[at / 32] = f32_to_f16(d)", "[at / 32 + 1] = f32_to_f16(d)"),
    source("of equals the last is chosen", EXPERTS, "routing/3of1000", "v == best && other < at", "v == best && other > at"),
    source("upper quants lose a bit", ("rows_q4_0", "types.h"), "get_rows/q4_0/k=96", "w[i] >> 4 & 0x0f0f0f0f", "w[i] >> 5 & 0x0f0f0f0f"),
    source("a sign goes to the wrong byte", ("rows_iq2_xxs", "types.h"), "get_rows/iq2_xxs/k=768", "(signs & 4) << 14", "(signs & 4) << 13"),
    source("the eighth sign is not made", ("rows_iq2_xxs", "types.h"), "get_rows/iq2_xxs/k=768", "p ^= p >> 1;", ""),
    source("quants are taken from one byte on", ("rows_q5_0", "types.h"), "get_rows/q5_0/k=96", "b + bytes(1) + bytes(2), 16", "b + bytes(1) + bytes(2) + 1, 16"),
    source("what is added is forgotten", MATVEC, "added/q4_0/k=512", "total(a, sums, c, lane() % 32) + extra[i];\n    }\n}", "total(a, sums, c, lane() % 32);\n    }\n}"),
    code("an argument is read from another place", ("elementwise", "add"), "elementwise/n=33", "s_load_b64", First, Flip(1, 16)),
    code("a load is 16 bytes off", ("matvec_q4_0", "matvec_1"), "product/q4_0/k=1056", "global_load_b128", First, Flip(0, 16)),
    code("LDS is read 16 bytes off", ("flash_f16", "flash_64"), "attention/many/f16", "ds_load_b128", First, Flip(0, 16)),
];

/// Without what keeps it from being moved (`swap_lanes` in device.h): clang 19 moves `v_permlanex16` behind the branch that
/// leaves one lane active.
const MISCOMPILED: Mutation = source(
    "a shuffle is moved to where one lane is active",
    ("float_f16", "device.h"),
    "product/f16/k=256",
    "return __builtin_amdgcn_update_dpp(v, v, 0x160 + mask, 0xf, 0xf, false);\n    return",
    "return __builtin_amdgcn_update_dpp(v, v, 0x160 + mask, 0xf, 0xf, false);\n    if constexpr (mask == 16) return __builtin_amdgcn_permlanex16(v, v, 0x76543210, 0xfedcba98, false, false);\n    return",
);

/// The folder of right kernels by clang.
fn right() -> Result<(Compiler, PathBuf), String> {
    let compiler = Compiler::find_clang()?;
    let folder = gfx1100::kernels("clang", &compiler)?;
    Ok((compiler, folder))
}

/// The tests: each mutation is noticed.
pub fn run() -> ExitCode {
    let mut tests = Tests::default();
    static RIGHT: OnceLock<Result<(Compiler, PathBuf), String>> = OnceLock::new();
    let right = RIGHT.get_or_init(right);
    let needs = right.as_ref().map(drop).map_err(String::clone);
    for (i, mutation) in MUTATIONS.iter().chain([&MISCOMPILED]).enumerate() {
        tests.add(format!("mutation/{}", mutation.name), needs.clone(), move || {
            let (compiler, kernels) = right.as_ref().unwrap();
            noticed(i, mutation, compiler, kernels);
        });
    }
    let zig = Compiler::find_zig();
    let needs = needs.and(zig.as_ref().map(drop).map_err(String::clone));
    tests.add("a_newer_clang_does_not_move_the_shuffle", needs, move || {
        let (_, kernels) = right.as_ref().unwrap();
        let folder = wrong("zig", &MISCOMPILED, &zig.unwrap(), kernels);
        let output = case(MISCOMPILED.case, &folder);
        assert!(output.status.success(), "{}", words(&output));
    });
    tests.run()
}

fn noticed(i: usize, mutation: &'static Mutation, compiler: &Compiler, kernels: &Path) {
    /// Cases, and whether each passed.
    type Passed = HashMap<&'static str, Arc<OnceLock<()>>>;
    static PASSED: Mutex<Option<Passed>> = Mutex::new(None);
    let once = {
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        passed.get_or_insert_default().entry(mutation.case).or_default().clone()
    };
    once.get_or_init(|| {
        let output = case(mutation.case, kernels);
        assert!(output.status.success(), "{} of the right kernels: {}", mutation.case, words(&output));
    });
    let folder = wrong(&i.to_string(), mutation, compiler, kernels);
    let output = case(mutation.case, &folder);
    assert!(!output.status.success(), "{}: not noticed by {}", mutation.name, mutation.case);
    let words = words(&output);
    let said =
        words.lines().find(|l| l.starts_with("fake hip: ") || l.contains(" off by ") || l.contains("left: "));
    let said = said.or_else(|| words.lines().find(|l| l.contains("panicked")));
    harness::note(format_args!("{}: {}", mutation.name, said.unwrap_or(&words)));
    let _ = std::fs::remove_dir_all(folder);
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// Runs a case of the sweep on a folder of kernels.
fn case(name: &str, kernels: &Path) -> Output {
    let mut command: Command = gfx1100::again("mutation", kernels);
    command
        .env_remove("ROCMFORGE_SWEEP")
        .env("ROCMFORGE_TEST_BRIEF", "1")
        .args(["--exact", &format!("hip0/{name}")]);
    let output = command.output().unwrap();
    assert!(words(&output).contains("running 1 test"), "{name} is a case: {}", words(&output));
    output
}

/// A folder of kernels in which one unit is wrong.
fn wrong(id: &str, mutation: &Mutation, compiler: &Compiler, kernels: &Path) -> PathBuf {
    let folder = scratch(&format!("mutation-{id}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let object = format!("{}.{}.co", mutation.unit, gfx1100::TARGET);
    for entry in std::fs::read_dir(kernels).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if path.extension().is_some_and(|e| e == "co") && name != object.as_str() {
            std::os::unix::fs::symlink(&path, folder.join(name)).unwrap();
        }
    }
    match mutation.change {
        Source(file, from, to) => {
            let copy = folder.join("sources");
            std::fs::create_dir_all(&copy).unwrap();
            for entry in std::fs::read_dir(sources()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap();
                let mut text = std::fs::read_to_string(&path).unwrap();
                if name == file {
                    assert!(text.contains(from), "{}: {file} has changed: no \"{from}\"", mutation.name);
                    text = text.replacen(from, to, 1);
                }
                std::fs::write(copy.join(name), text).unwrap();
            }
            let unit: Vec<_> =
                units(&copy).unwrap().into_iter().filter(|u| u.name() == mutation.unit).collect();
            assert_eq!(unit.len(), 1, "{} is a unit", mutation.unit);
            let targets = &[gfx1100::TARGET];
            let wanted =
                Wanted { sources: &copy, units: &unit, targets, cache: None, out: &folder, n_jobs: 1 };
            build(compiler, &wanted).unwrap_or_else(|e| panic!("{}: {e}", mutation.name));
        }
        Code(kernel, begins, which, ref edit) => {
            let mut bytes = std::fs::read(kernels.join(&object)).unwrap();
            patch(&mut bytes, kernel, begins, which, edit);
            std::fs::write(folder.join(&object), bytes).unwrap();
        }
    }
    folder
}

/// Changes instructions of a kernel in its code object.
fn patch(bytes: &mut [u8], kernel: &str, begins: &str, which: Which, edit: &Edit) {
    let mut machine = Machine::default();
    let module = machine.load(bytes).unwrap_or_else(|f| panic!("{}", f.text));
    let code = module.object().kernel(kernel).unwrap_or_else(|| panic!("no kernel {kernel}")).code.clone();
    let image = &module.object().image[code];
    let start = bytes.windows(image.len()).position(|w| w == image).expect("its code is in the file");
    let is_meant = |i: &&Inst| i.to_string().starts_with(begins);
    let meant: Vec<Inst> = module.program(kernel).unwrap().insts.iter().filter(is_meant).cloned().collect();
    machine.unload(module);
    assert!(!meant.is_empty(), "{kernel} has no {begins}");
    for inst in meant.iter().take(if which == First { 1 } else { usize::MAX }) {
        let mut words: Vec<u32> = inst.words[..inst.n_words.into()].to_vec();
        match edit {
            Drop => words.fill(0xbf80_0000),
            Flip(word, bits) => words[*word] ^= bits,
            SwapOperands => {
                let (a, b) = (words[1] & 0x1ff, words[1] >> 9 & 0x1ff);
                words[1] = words[1] & !0x3ffff | b | a << 9;
            }
        }
        for (i, word) in words.iter().enumerate() {
            let at = start + inst.at as usize + 4 * i;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
}
