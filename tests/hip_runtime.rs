//! The HIP runtime's seam against a fake runtime: what it does, and that every failure of every
//! function is a clean error that leaks nothing and leaves the rest usable.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_hip::Fake;
use rocmforge::backend::hip::device::{Device, devices};
use rocmforge::backend::hip::memory::{Memory, Pinned};
use rocmforge::backend::hip::rtc::Rtc;
use rocmforge::backend::hip::runtime::Runtime;
use rocmforge::backend::hip::stream::{Event, Module, Stream};
use rocmforge::{Error, Result, counters};
use rocmforge_kernels::machine::Tools;
use rocmforge_kernels::{Compiler, sources, units};
use rocmforge_testkit::harness::Tests;

fn main() -> ExitCode {
    for name in ["ROCMFORGE_HIP_LIBRARY", "ROCMFORGE_HIPRTC_LIBRARY"] {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var(name, Fake::path()) };
    }
    let mut tests = Tests::default();
    let mut add_with = |name: &str, needs, test: fn(&Fake)| {
        tests.add(name, needs, move || {
            let fake = fake();
            test(&fake);
            assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "nothing leaks");
        });
    };
    let compiler = Compiler::find().and_then(|_| Tools::find()).map(drop);
    add_with(
        "a_code_object_tells_its_target_and_kernels",
        compiler,
        a_code_object_tells_its_target_and_kernels,
    );
    let mut add = |name, test| add_with(name, Ok(()), test);
    add("a_script_of_everything_computes", a_script_of_everything_computes);
    add("every_failing_call_is_a_clean_error", every_failing_call_is_a_clean_error);
    add("a_lost_device_is_a_clean_error_at_every_call", a_lost_device_is_a_clean_error_at_every_call);
    add("devices_are_told_with_what_is_wrong_with_them", devices_are_told_with_what_is_wrong_with_them);
    add("no_device_is_an_error_that_says_what_to_look_at", no_device_is_an_error_that_says_what_to_look_at);
    add("out_of_memory_names_the_thing_and_the_sizes", out_of_memory_names_the_thing_and_the_sizes);
    add("the_current_device_of_the_thread_stays", the_current_device_of_the_thread_stays);
    add("a_capture_that_fails_leaves_the_stream_usable", a_capture_that_fails_leaves_the_stream_usable);
    add("a_graph_may_spread_over_streams", a_graph_may_spread_over_streams);
    add("copies_are_counted_each_time_that_they_are_done", copies_are_counted_each_time_that_they_are_done);
    add("modules_that_are_no_code_objects_are_refused", modules_that_are_no_code_objects_are_refused);
    add("kernels_outlive_what_was_dropped_before_them", kernels_outlive_what_was_dropped_before_them);
    add("source_is_compiled_and_faults_are_told", source_is_compiled_and_faults_are_told);
    add("the_c_abi_lists_gpus", the_c_abi_lists_gpus);
    tests.run()
}

/// The fake runtime, for one test at a time.
struct Guard(Fake, #[allow(dead_code)] MutexGuard<'static, ()>);

impl std::ops::Deref for Guard {
    type Target = Fake;
    fn deref(&self) -> &Fake {
        &self.0
    }
}

fn fake() -> Guard {
    static LOCK: Mutex<()> = Mutex::new(());
    let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let fake = Fake::open();
    prepare(&fake);
    Guard(fake, lock)
}

/// Two GPUs, work as late as it may be, and a kernel that adds one to bytes.
fn prepare(fake: &Fake) {
    fake.reset();
    fake.set_gpus(2, "gfx1100", 1 << 20);
    fake.set_lazy(true);
    fake.on_launch(|launch| {
        if launch.name() != "add_one" {
            return 0;
        }
        let number = |at: usize| u64::from_le_bytes(launch.args()[at..at + 8].try_into().unwrap());
        // SAFETY: nothing else has a reference to device memory.
        let Some(bytes) = (unsafe { launch.memory(number(0)) }) else { return ILLEGAL_ADDRESS };
        let Some(bytes) = bytes.get_mut(..number(8) as usize) else { return ILLEGAL_ADDRESS };
        bytes.iter_mut().for_each(|b| *b = b.wrapping_add(1));
        0
    });
}

const ILLEGAL_ADDRESS: u32 = 700;
const LAUNCH_FAILURE: u32 = 719;
const IMAGE: &[u8] = b"FAKE\nkernel add_one 16\nkernel nothing 0\n\0";

/// The arguments of `add_one`.
fn args(address: u64, n: u64) -> [u8; 16] {
    let mut args = [0; 16];
    args[..8].copy_from_slice(&address.to_le_bytes());
    args[8..].copy_from_slice(&n.to_le_bytes());
    args
}

/// Everything that there is, once or more.
fn script() -> Result<Vec<u8>> {
    if let Some(why) = devices()?.iter().find_map(|d| d.unusable.clone()) {
        return Err(Error::Backend(why));
    }
    let device = Device::open(1)?;
    device.free_bytes()?;
    const N: usize = 64;
    let memory = Memory::new(&device, 2 * N, "the script")?;
    let mut input = Pinned::new(&device, N, "the input")?;
    let output = Pinned::new(&device, N, "the output")?;
    let (first, second) = (Stream::new(&device)?, Stream::new(&device)?);
    let (begin, end) = (Event::timed(&device)?, Event::timed(&device)?);
    let done = Event::new(&device)?;
    let module = Module::load(&device, IMAGE)?;
    let add_one = module.function("add_one")?;
    let (from, to) = (memory.ptr(), memory.ptr() + N as u64);

    for (i, byte) in input.as_mut_slice().iter_mut().enumerate() {
        *byte = i as u8;
    }
    begin.record(&first)?;
    // SAFETY: everything that is used lives to the end, where all work is done.
    let graph = unsafe {
        first.fill(from, 9, 2 * N)?;
        first.upload(from, &input, 0..N / 2)?;
        first.launch(&add_one, [1, 1, 1], 64, 0, &args(from, N as u64))?;
        end.record(&first)?;
        end.wait(&second)?;
        second.copy(to, from, N)?;
        done.record(&second)?;
        done.wait(&first)?;
        // 9 + 1 in the second half; on all of it 2 more by the graph.
        first.capture(|s| {
            s.launch(&add_one, [1, 1, 1], 64, 0, &args(to, N as u64))?;
            s.download(&output, 0, to, N)
        })?
    };
    let result = (|| {
        // SAFETY: as above.
        unsafe {
            first.replay(&graph)?;
            first.replay(&graph)?;
        }
        first.synchronize()?;
        done.synchronize()?;
        end.synchronize()?;
        assert!(end.elapsed(&begin)? >= 0.0);
        Ok(())
    })();
    result.map(|()| output.as_slice().to_vec())
}

fn expected() -> Vec<u8> {
    (0..64).map(|i| if i < 32 { i + 3 } else { 12 }).collect()
}

fn a_script_of_everything_computes(fake: &Fake) {
    assert_eq!(script().unwrap(), expected());
    let launches = fake.launches();
    assert_eq!(launches.len(), 3);
    assert!(launches.iter().all(|l| l.name == "add_one" && l.block == [64, 1, 1] && l.args.len() == 16));
    assert_eq!(launches[1], launches[2]);
    assert_ne!(launches[0].args, launches[1].args);
}

/// The functions of the table, in the words of its source.
fn table() -> Vec<&'static str> {
    let source = include_str!("../src/backend/hip/ffi/runtime.rs");
    let fields = source.lines().filter_map(|l| l.trim().strip_prefix("pub hip")?.split_once(':'));
    let names: Vec<_> = fields.map(|(name, _)| name).collect();
    assert!(names.len() > 30, "{names:?}");
    names
}

/// Functions that are called when something ends, where nobody hears of a failure.
const ENDS: [&str; 9] = [
    "hipFree",
    "hipHostFree",
    "hipStreamDestroy",
    "hipEventDestroy",
    "hipModuleUnload",
    "hipGraphDestroy",
    "hipGraphExecDestroy",
    // Around each of the above.
    "hipGetDevice",
    "hipSetDevice",
];

/// For every call of the script: lets `fault` make it fail with [`LAUNCH_FAILURE`], runs the script,
/// and runs it again without the fault. `told` says whether an error is as it should be.
fn fail_everywhere(fake: &Fake, fault: fn(&Fake, &str, u64, u32), told: fn(&str, &str) -> bool) {
    script().unwrap();
    let names = table().into_iter().map(|name| format!("hip{name}"));
    let names = names.chain(["hipGetDevicePropertiesR0600".to_owned()]);
    let calls: Vec<(String, u64)> = names.map(|name| (name.clone(), fake.count(&name))).collect();
    let mut faults = 0;
    for (name, n) in calls.iter().filter(|(name, _)| !name.starts_with("hipGetError")) {
        assert!(*n > 0, "the script does not call {name}");
        for i in 1..=*n {
            prepare(fake);
            fault(fake, name, i, LAUNCH_FAILURE);
            match script() {
                Ok(_) => {
                    assert!(ENDS.contains(&name.as_str()), "call {i} of {name} failed and nobody was told")
                }
                Err(e) => {
                    assert!(matches!(e, Error::Backend(_)) && told(name, &e.to_string()), "{name} {i}: {e}");
                }
            }
            let live = (fake.live_allocations(), fake.live_objects());
            assert_eq!(live, (0, 0), "call {i} of {name} failed, and this is left");
            prepare(fake);
            assert_eq!(script().unwrap(), expected(), "after call {i} of {name} failed");
            faults += 1;
        }
    }
    assert!(faults > 100, "{faults} faults");
}

fn every_failing_call_is_a_clean_error(fake: &Fake) {
    fail_everywhere(fake, Fake::fail, |name, e| {
        e.contains(name) && e.contains("hipErrorLaunchFailure (719)")
    });
}

fn a_lost_device_is_a_clean_error_at_every_call(fake: &Fake) {
    // The names of errors are lost too; and where the call was one that nobody hears of, the next one
    // is told of.
    fail_everywhere(fake, Fake::lose, |name, e| {
        (ENDS.contains(&name) || e.contains(name)) && e.contains("unknown (719)") && e.contains("dmesg")
    });
}

fn devices_are_told_with_what_is_wrong_with_them(fake: &Fake) {
    let found = devices().unwrap();
    assert_eq!(found.len(), 2);
    let info = &found[1];
    assert_eq!((info.index, info.name.as_str(), info.arch.as_str()), (1, "Fake Radeon 1", "gfx1100"));
    assert_eq!((info.total_bytes, info.free_bytes), (1 << 20, 1 << 20));
    assert_eq!((info.wave, info.n_cu, info.lds_bytes), (32, 42, 65536));
    assert_eq!(info.runtime_version, (6, 3, 42131));
    assert_eq!(info.unusable, None);

    fake.set_gpus(1, "gfx803", 1 << 20);
    let why = devices().unwrap()[0].unusable.clone().unwrap();
    assert!(why.contains("gfx803") && why.contains("gfx1100"), "{why}");
    let e = Device::open(0).err().unwrap();
    assert!(matches!(e, Error::Unsupported(_)) && e.to_string().contains(&why), "{e}");

    // Another layout of the properties than was thought.
    fake.set_gpus(1, "\u{1}", 1 << 20);
    let why = devices().unwrap()[0].unusable.clone().unwrap();
    assert!(why.contains("does not say"), "{why}");

    // One that fails does not hide the others.
    prepare(fake);
    fake.fail("hipDeviceGetName", 1, LAUNCH_FAILURE);
    let found = devices().unwrap();
    assert!(found[0].unusable.as_ref().unwrap().contains("hipDeviceGetName"), "{found:?}");
    assert_eq!(found[1].unusable, None);
}

fn no_device_is_an_error_that_says_what_to_look_at(fake: &Fake) {
    fake.set_gpus(0, "gfx1100", 0);
    let text = devices().unwrap_err().to_string();
    assert!(text.contains("hipErrorNoDevice (100)") && text.contains("/dev/kfd"), "{text}");
    assert!(Device::open(0).is_err());
    prepare(fake);
    let e = Device::open(2).err().unwrap();
    assert!(matches!(e, Error::NotFound(_)) && e.to_string().contains("no GPU 2"), "{e}");
}

fn out_of_memory_names_the_thing_and_the_sizes(_: &Fake) {
    let device = Device::open(0).unwrap();
    let kept = Memory::new(&device, 1 << 19, "half of it").unwrap();
    let e = Memory::new(&device, (1 << 19) + 1, "the KV cache").err().unwrap();
    let text = e.to_string();
    assert!(matches!(e, Error::OutOfMemory(_)), "{e:?}");
    for part in ["the KV cache", "524289", "524288 are free", "hipErrorOutOfMemory (2)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    drop(kept);
    assert_eq!(Memory::new(&device, 1 << 20, "all of it").unwrap().len(), 1 << 20);
    let nothing = Memory::new(&device, 0, "nothing").unwrap();
    assert!(nothing.is_empty() && nothing.ptr() == 0);
}

fn the_current_device_of_the_thread_stays(fake: &Fake) {
    assert_eq!(fake.current_device(), 0);
    script().unwrap();
    assert_eq!(fake.current_device(), 0);
    fake.fail("hipMalloc", 1, LAUNCH_FAILURE);
    script().unwrap_err();
    assert_eq!(fake.current_device(), 0);
}

fn a_capture_that_fails_leaves_the_stream_usable(_: &Fake) {
    let device = Device::open(0).unwrap();
    let stream = Stream::new(&device).unwrap();
    let nothing = Module::load(&device, IMAGE).unwrap().function("nothing").unwrap();
    let e = stream.capture(|_| Err(Error::Internal("no".into()))).err().unwrap();
    assert_eq!(e.to_string(), "internal error: no");
    // Memory is not to be had while a stream records.
    let e = stream.capture(|_| Memory::new(&device, 1, "a byte").map(drop)).err().unwrap();
    assert!(e.to_string().contains("hipErrorStreamCaptureUnsupported"), "{e}");
    let e = stream.capture(|s| s.synchronize()).err().unwrap();
    assert!(e.to_string().contains("hipStreamSynchronize"), "{e}");
    let panic = std::panic::AssertUnwindSafe(|| stream.capture(|_| panic!("within a capture")).map(drop));
    assert!(std::panic::catch_unwind(panic).is_err());
    // SAFETY: the kernel has no arguments.
    let graph = stream.capture(|s| unsafe { s.launch(&nothing, [1, 1, 1], 1, 0, &[]) }).unwrap();
    // SAFETY: as above.
    unsafe { stream.replay(&graph) }.unwrap();
    stream.synchronize().unwrap();
    // SAFETY: a launch that cannot be is refused.
    let e = unsafe { stream.launch(&nothing, [0, 1, 1], 1, 0, &[]) }.unwrap_err();
    assert!(e.to_string().starts_with("kernel nothing: hipModuleLaunchKernel"), "{e}");
}

fn a_graph_may_spread_over_streams(fake: &Fake) {
    let device = Device::open(0).unwrap();
    let (main, side) = (Stream::new(&device).unwrap(), Stream::new(&device).unwrap());
    let nothing = Module::load(&device, IMAGE).unwrap().function("nothing").unwrap();
    let (fork, join) = (Event::new(&device).unwrap(), Event::new(&device).unwrap());
    // SAFETY: the kernel has no arguments.
    let launch = |s: &Stream, n| unsafe { s.launch(&nothing, [n, 1, 1], 1, 0, &[]) };
    let graph = main.capture(|main| {
        launch(main, 1)?;
        fork.record(main)?;
        fork.wait(&side)?;
        launch(&side, 2)?;
        join.record(&side)?;
        join.wait(main)?;
        launch(main, 3)
    });
    let graph = graph.unwrap();
    assert!(fake.launches().is_empty(), "nothing runs while it is recorded");
    // SAFETY: as above.
    unsafe { main.replay(&graph) }.unwrap();
    main.synchronize().unwrap();
    assert_eq!(fake.launches().iter().map(|l| l.grid[0]).collect::<Vec<_>>(), [1, 2, 3]);
}

fn copies_are_counted_each_time_that_they_are_done(_: &Fake) {
    let device = Device::open(0).unwrap();
    let before = counters::read();
    let memory = Memory::new(&device, 8, "eight bytes").unwrap();
    let host = Pinned::new(&device, 8, "eight bytes").unwrap();
    let stream = Stream::new(&device).unwrap();
    // SAFETY: memory of this function's, which waits in the end.
    unsafe {
        stream.upload(memory.ptr(), &host, 0..8).unwrap();
        let graph = stream
            .capture(|s| {
                s.upload(memory.ptr(), &host, 0..4)?;
                s.upload(memory.ptr(), &host, 4..8)?;
                s.download(&host, 0, memory.ptr(), 8)
            })
            .unwrap();
        stream.replay(&graph).unwrap();
        stream.replay(&graph).unwrap();
        stream.synchronize().unwrap();
    }
    let counted = counters::read() - before;
    assert_eq!((counted.device_alloc, counted.graph_capture), (1, 1));
    assert_eq!((counted.host_to_device, counted.device_to_host), (1 + 2 * 2, 2));
}

fn modules_that_are_no_code_objects_are_refused(_: &Fake) {
    let device = Device::open(0).unwrap();
    let damaged = |image: &[u8]| {
        let e = Module::load(&device, image).err().unwrap();
        assert!(matches!(e, Error::Format(_)) && e.to_string().contains("cut short"), "{e}");
    };
    damaged(b"");
    damaged(b"\x7fELF");
    // A table of sections that would lie behind the end.
    let mut elf = vec![0u8; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    damaged(&elf[..63]);
    elf[40] = 64;
    elf[58] = 64;
    elf[60] = 1;
    damaged(&elf);
    elf[40..48].fill(0xff);
    damaged(&elf);
    let e = Module::load(&device, b"something else entirely").err().unwrap();
    assert!(e.to_string().contains("hipModuleLoadData: hipErrorInvalidImage"), "{e}");
    let module = Module::load(&device, IMAGE).unwrap();
    let e = module.function("absent").err().unwrap();
    assert!(e.to_string().contains("kernel absent: hipModuleGetFunction"), "{e}");
    assert!(module.function("a\0b").is_err());
}

fn kernels_outlive_what_was_dropped_before_them(_: &Fake) {
    let device = Device::open(0).unwrap();
    let module = Module::load(&device, IMAGE).unwrap();
    let nothing = module.function("nothing").unwrap();
    drop(module);
    let stream = Stream::new(&device).unwrap();
    let weak = Arc::downgrade(&device);
    drop(device);
    // SAFETY: the kernel has no arguments.
    unsafe { stream.launch(&nothing, [1, 1, 1], 1, 0, &[]) }.unwrap();
    stream.synchronize().unwrap();
    drop((stream, nothing));
    assert!(weak.upgrade().is_none());
}

fn source_is_compiled_and_faults_are_told(fake: &Fake) {
    let compile = || {
        Rtc::get()?.compile(
            "kernel nothing 0\n",
            "norm.hip",
            &[("a.h", "kernel other 8")],
            &["-O3", "-DRF_TYPE=q4_0"],
        )
    };
    let code = compile().unwrap();
    assert!(String::from_utf8_lossy(&code).contains("-O3 -DRF_TYPE=q4_0"));
    assert_eq!(Rtc::get().unwrap().version().unwrap(), (9, 0));
    let device = Device::open(0).unwrap();
    let module = Module::load(&device, &code).unwrap();
    module.function("nothing").unwrap();
    module.function("other").unwrap();
    drop(module);

    let e = Rtc::get().unwrap().compile("#error", "norm.hip", &[], &[]).unwrap_err().to_string();
    assert!(e.starts_with("norm.hip: hiprtcCompileProgram") && e.contains("1:1: error"), "{e}");
    assert!(Rtc::get().unwrap().compile("a\0b", "norm.hip", &[], &[]).is_err());
    for name in ["Create", "Compile", "GetCode", "GetCodeSize"] {
        let name =
            if name.starts_with("Get") { format!("hiprtc{name}") } else { format!("hiprtc{name}Program") };
        fake.fail(&name, 1, 11);
        let e = compile().unwrap_err().to_string();
        assert!(e.contains(&name) && e.contains("(11)"), "{e}");
        assert_eq!(fake.live_objects(), 0);
    }
    fake.fail("hiprtcDestroyProgram", 1, 11);
    compile().unwrap();
    assert!(Runtime::get().unwrap().library().ends_with("libfake_hip.so"));
}

fn the_c_abi_lists_gpus(fake: &Fake) {
    use rocmforge::capi::*;
    let mut device = std::ptr::null();
    let (mut n, mut free, mut total) = (0, 0, 0);
    let mut kind = rf_device_type::Cpu;
    // SAFETY: places for results, and devices that live for ever.
    unsafe {
        // Why there is none is told, and not for ever.
        fake.set_gpus(0, "", 0);
        assert_eq!((rf_device_count(&mut n), n), (rf_status::Ok, 1));
        assert_eq!(rf_device_get(1, &mut device), rf_status::NotFound);
        let message = std::ffi::CStr::from_ptr(rf_last_error()).to_str().unwrap();
        assert!(message.contains("no device 1") && message.contains("/dev/kfd"), "{message}");
        prepare(fake);
        assert_eq!((rf_device_count(&mut n), n), (rf_status::Ok, 3));
        assert_eq!(rf_device_get(3, &mut device), rf_status::NotFound);
        assert_eq!(rf_device_get(2, &mut device), rf_status::Ok);
        assert_eq!(rf_device_check(device), rf_status::Ok);
        assert_eq!(rf_device_get_type(device, &mut kind), rf_status::Ok);
        assert_eq!(kind as i32, rf_device_type::Gpu as i32);
        let opened = Device::open(1).unwrap();
        let kept = Memory::new(&opened, 4096, "a page").unwrap();
        assert_eq!(rf_device_memory(device, &mut free, &mut total), rf_status::Ok);
        assert_eq!((free, total), ((1 << 20) - 4096, 1 << 20));
        drop(kept);
        fake.fail("hipMemGetInfo", 1, LAUNCH_FAILURE);
        assert_eq!(rf_device_memory(device, &mut free, &mut total), rf_status::Backend);
    }
}

/// Of real machine code: the fake runtime reads the metadata that the real one does.
fn a_code_object_tells_its_target_and_kernels(fake: &Fake) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unit.co");
    let unit = units(&sources()).unwrap().into_iter().find(|u| u.source == "elementwise").unwrap();
    Compiler::find().unwrap().compile(&sources(), &unit, "gfx1100", &path).unwrap();
    let image = std::fs::read(&path).unwrap();
    let kernels = Tools::find().unwrap().read(&path).unwrap();
    assert!(!kernels.is_empty());

    let device = Device::open(0).unwrap();
    let stream = Stream::new(&device).unwrap();
    let module = Module::load(&device, &image).unwrap();
    let args: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for kernel in &kernels {
        let function = module.function(&kernel.name).unwrap();
        // SAFETY: more bytes than any kernel takes; the fake runtime does not run it.
        unsafe { stream.launch(&function, [1, 1, 1], 32, 0, &args) }.unwrap();
    }
    stream.synchronize().unwrap();
    for (launch, kernel) in fake.launches().iter().zip(&kernels) {
        assert_eq!(launch.name, kernel.name);
        // One struct of pointers and numbers.
        assert!((8..1024).contains(&launch.args.len()), "{}: {}", launch.name, launch.args.len());
        assert_eq!(launch.args, args[..launch.args.len()]);
    }
    assert!(module.function("no_such_kernel").is_err());
    drop((module, stream, device));

    for len in [image.len() - 1, image.len() / 2, 64, 63] {
        let device = Device::open(0).unwrap();
        let e = Module::load(&device, &image[..len]).err().unwrap();
        assert!(matches!(e, Error::Format(_)), "{len}: {e}");
    }
    fake.set_gpus(1, "gfx1030", 1 << 20);
    let e = Module::load(&Device::open(0).unwrap(), &image).err().unwrap().to_string();
    assert!(e.contains("hipErrorNoBinaryForGpu (209)") && e.contains("not made for this GPU"), "{e}");
}
