//! Small kernels by every compiler: what they give, and what wrong ones are refused for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use rocmforge_gfx1100::memory::Use;
use rocmforge_gfx1100::{Counters, Error, Kind, Launch, Machine, Module};
use rocmforge_kernels::{Compiler, Wanted, build, units};

/// Numbers of memory that a kernel has as `p` and as `q`.
const N: usize = 1024;

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (name, compiler) in [("clang", Compiler::find_clang()), ("zig", Compiler::find_zig())] {
        let required = std::env::var("ROCMFORGE_REQUIRE_CLANG").is_ok_and(|v| v == "1");
        match compiler {
            Ok(compiler) => {
                let object = compile(&compiler, name);
                trials.extend(tests().into_iter().map(|(test, f)| {
                    let object = object.clone();
                    Trial::test(format!("{name}::{test}"), move || {
                        f(&object);
                        Ok(())
                    })
                }));
            }
            Err(why) if !required => {
                println!("{name}: ignored: {why}");
                trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
            }
            Err(why) => trials.push(Trial::test(name, move || Err(why.into()))),
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn compile(compiler: &Compiler, name: &str) -> Vec<u8> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gfx1100-small-{name}"));
    let units = units(&sources).unwrap();
    let wanted =
        Wanted { sources: &sources, units: &units, targets: &["gfx1100"], cache: None, out: &out, n_jobs: 2 };
    let built = build(compiler, &wanted).unwrap_or_else(|e| panic!("{e}"));
    std::fs::read(&built[0].path).unwrap()
}

/// A device with two blocks of numbers.
struct Device {
    machine: Machine,
    module: Option<Module>,
    memory: [Vec<i32>; 2],
}

impl Device {
    fn new(object: &[u8]) -> Device {
        let mut machine = Machine { profile: true, limit: 1 << 20, ..Machine::default() };
        let module = machine.load(object).unwrap_or_else(|f| panic!("{}", f.text));
        let memory = [(0..N as i32).collect(), vec![0; N]];
        for block in &memory {
            // SAFETY: initialised; the tests read it between launches only.
            unsafe { machine.memory.add(block.as_ptr() as u64, 4 * N as u64, Use::Data) };
        }
        Device { machine, module: Some(module), memory }
    }

    fn run(&mut self, kernel: &str, groups: u32, threads: u32, n: i32) -> Result<Counters, Box<Error>> {
        let mut args = Vec::new();
        for block in &mut self.memory {
            args.extend((block.as_mut_ptr() as u64).to_le_bytes());
        }
        args.extend(i64::from(n).to_le_bytes());
        let (grid, block) = ([groups, 1, 1], [threads, 1, 1]);
        self.machine.run(self.module.as_ref().unwrap(), Launch { kernel, grid, block, lds: 0, args: &args })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.machine.unload(self.module.take().unwrap());
    }
}

type Test = fn(&[u8]);

fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("kernels_are_described", kernels_are_described),
        ("sums", sums),
        ("a_partial_wave", a_partial_wave),
        ("blocks_wait_for_each_other", blocks_wait_for_each_other),
        ("the_last_block_adds_up", the_last_block_adds_up),
        ("waves_write_bytes_of_a_word", waves_write_bytes_of_a_word),
        ("private_memory", private_memory),
        ("atomics", atomics),
        ("what_is_wrong_is_refused", what_is_wrong_is_refused),
        ("launches_that_do_not_fit_are_refused", launches_that_do_not_fit_are_refused),
        ("damaged_objects_are_refused", damaged_objects_are_refused),
    ]
}

fn kernels_are_described(object: &[u8]) {
    let device = Device::new(object);
    let object = device.module.as_ref().unwrap().object();
    assert_eq!(object.target, "gfx1100");
    let k = object.kernel("shares_without_barrier").unwrap();
    assert_eq!((k.max_threads, k.descriptor.lds, k.descriptor.scratch), (64, 256, 0));
    assert_eq!((k.args[0].offset, k.args[0].size, k.args[0].kind.as_str()), (0, 24, "by_value"));
    // f32 denormals are kept, waves may be on both units of a pair.
    assert_eq!((k.descriptor.float_mode(), k.descriptor.wgp_mode()), (0xf0, true));
}

fn sums(object: &[u8]) {
    let mut device = Device::new(object);
    let counters = device.run("add", 16, 64, 5).unwrap();
    assert_eq!(device.memory[1], (5..N as i32 + 5).collect::<Vec<_>>());
    assert_eq!((counters.waves, counters.bytes_loaded, counters.bytes_stored), (32, 4096, 4096));
    // Each load is of one line, or of two where the memory begins within one.
    assert!(counters.loads == 32 && (32..=64).contains(&counters.lines));
}

fn a_partial_wave(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("add", 1, 41, 1).unwrap();
    assert_eq!(device.memory[1].iter().filter(|v| **v != 0).count(), 41);
}

fn blocks_wait_for_each_other(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("all_wait_for_all", 8, 64, 8).unwrap();
    let want: Vec<i32> = (0..512).map(|i| (i + 64) % 512).collect();
    assert_eq!(device.memory[0][512..], want);
}

fn the_last_block_adds_up(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("last_adds_up", 16, 64, 16).unwrap();
    assert_eq!(device.memory[1][..2], [0, (0..1024).sum()]);
}

fn waves_write_bytes_of_a_word(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("bytes", 1, 128, 0).unwrap();
    let bytes: Vec<u8> = device.memory[0][..32].iter().flat_map(|v| v.to_le_bytes()).collect();
    for (i, b) in bytes.into_iter().enumerate() {
        assert_eq!(usize::from(b), i % 4 * 32 + i / 4);
    }
}

fn private_memory(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("private_array", 1, 32, 0).unwrap();
    for i in 0..32 {
        assert_eq!(device.memory[1][i as usize], (i & 15) * (i & 15) + i);
    }
}

fn atomics(object: &[u8]) {
    let mut device = Device::new(object);
    device.run("atomics", 4, 64, 0).unwrap();
    assert_eq!(device.memory[1][..6], [256, 255, 128, 128, 128, 128]);
}

/// Kernel, workgroups, `n`, what it is refused for, and words of what is said.
const WRONG: &[(&str, u32, i32, Kind, &str)] = &[
    ("beyond", 1, N as i32, Kind::Memory, "which nobody allocated"),
    ("beyond", 1, N as i32 - 63, Kind::Memory, "which nobody allocated"),
    ("unaligned", 1, 2, Kind::Alignment, "8 bytes at"),
    ("unaligned_atomic", 1, 2, Kind::Alignment, "atomic operation on 4 bytes at"),
    ("two_blocks_write", 2, 0, Kind::Race, "wrote, in no order"),
    ("reads_anothers", 2, 0, Kind::Race, "reads what wave 0 of workgroup number 0 wrote, in no order"),
    (
        "overwrites_what_another_reads",
        2,
        0,
        Kind::Race,
        "writes what wave 0 of workgroup number 0 read, in no order",
    ),
    ("shares_without_barrier", 1, 0, Kind::Undefined, "which nobody has written"),
    ("overwrites_without_barrier", 1, 0, Kind::Race, "of its workgroup"),
    ("shares_memory_by_a_barrier_for_lds", 1, 0, Kind::Race, "of its workgroup"),
    ("arrives_too_early", 2, 2, Kind::Race, "workgroup number"),
    ("does_not_acquire", 2, 2, Kind::Race, "through a cache that was not emptied"),
    ("reads_lds_that_nobody_wrote", 1, 63, Kind::Undefined, "reads LDS at 0xfc"),
    ("beyond_lds", 1, 1, Kind::Lds, "4 bytes at 0x100 of LDS"),
    ("half_of_it_waits", 1, 0, Kind::Barrier, "waits for wave 1, which has ended"),
    ("asks_an_inactive_lane", 1, 1, Kind::Lane, "of lane 8, which is not active"),
    ("does_not_wait", 1, 0, Kind::NotWaited, "not waited for"),
    ("overwrites_what_is_loaded", 1, 0, Kind::NotWaited, "not waited for"),
    ("does_not_wait_for_a_scalar", 1, 0, Kind::NotWaited, "not waited for"),
    ("reads_what_nobody_wrote", 1, 0, Kind::Undefined, "v77"),
    ("does_not_end", 1, 0, Kind::Endless, "does not end"),
];

fn what_is_wrong_is_refused(object: &[u8]) {
    for &(kernel, groups, n, kind, words) in WRONG {
        let mut device = Device::new(object);
        let threads = device.module.as_ref().unwrap().object().kernel(kernel).unwrap().max_threads;
        let e = match device.run(kernel, groups, threads, n) {
            Ok(_) => panic!("{kernel} runs"),
            Err(e) => e,
        };
        assert!(e.fault.kind == kind && e.fault.text.contains(words), "{kind:?} \"{words}\" is not: {e}");
        assert!(e.kernel == kernel && !e.instruction.is_empty(), "{e}");
    }
}

fn launches_that_do_not_fit_are_refused(object: &[u8]) {
    let mut device = Device::new(object);
    let mut refused = |kernel, grid, block, lds, args: &[u8], words: &str| {
        let module = device.module.as_ref().unwrap();
        let e = device.machine.run(module, Launch { kernel, grid, block, lds, args }).unwrap_err();
        assert!(e.fault.kind == Kind::Launch && e.fault.text.contains(words), "{e}");
    };
    refused("nothing", [1; 3], [1; 3], 0, &[0; 24], "no such kernel");
    refused("add", [1; 3], [65, 1, 1], 0, &[0; 24], "65 threads");
    refused("add", [1; 3], [1 << 31, 2, 1], 0, &[0; 24], "threads");
    refused("add", [1; 3], [0, 1, 1], 0, &[0; 24], "0 threads");
    refused("add", [0, 1, 1], [64, 1, 1], 0, &[0; 24], "0 waves");
    refused("add", [1; 3], [64, 1, 1], 65537, &[0; 24], "LDS");
    refused("add", [1; 3], [64, 1, 1], 0, &[0; 16], "16 bytes of arguments");
}

fn damaged_objects_are_refused(object: &[u8]) {
    let refused = |bytes: &[u8]| Machine::default().load(bytes).err().map(|f| f.kind);
    assert_eq!(refused(&[]), Some(Kind::Launch));
    assert_eq!(refused(&object[..object.len() / 2]), Some(Kind::Launch));
    // An instruction that there is not.
    let mut machine = Machine::default();
    let module = machine.load(object).unwrap();
    let code = module.object().kernel("add").unwrap().code.clone();
    let image = &module.object().image[code.clone()];
    let at = object.windows(image.len()).position(|w| w == image).unwrap();
    let mut bad = object.to_vec();
    bad[at..at + 4].copy_from_slice(&0xbeff_ffffu32.to_le_bytes());
    machine.unload(module);
    assert_eq!(refused(&bad), Some(Kind::Unsupported));
}
