//! Where a kernel's code comes from, against a fake runtime: a folder, or the compiler and what it has
//! compiled before.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use fake_hip::Fake;
use rocmforge::backend::hip::device::Device;
use rocmforge::backend::hip::module::Kernels;
use rocmforge::{Error, Result};
use rocmforge_testkit::harness::Tests;

fn main() -> ExitCode {
    for name in ["ROCMFORGE_HIP_LIBRARY", "ROCMFORGE_HIPRTC_LIBRARY"] {
        // SAFETY: no other thread has been started.
        unsafe { std::env::set_var(name, Fake::path()) };
    }
    let mut tests = Tests::default();
    let mut add = |name: &str, test: fn(&Fake, &Path)| {
        tests.add(name, Ok(()), move || {
            static LOCK: Mutex<()> = Mutex::new(());
            let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
            let (fake, folder) = (Fake::open(), tempfile::tempdir().unwrap());
            fake.reset();
            // No release of the library has code for it.
            fake.set_gpus(1, "sm_90", 1 << 20);
            test(&fake, folder.path());
            assert_eq!((fake.live_allocations(), fake.live_objects()), (0, 0), "nothing leaks");
        });
    };
    add("a_unit_of_a_folder_is_loaded_once", a_unit_of_a_folder_is_loaded_once);
    add("a_folder_that_lacks_a_unit_is_an_error", a_folder_that_lacks_a_unit_is_an_error);
    add("a_unit_is_compiled_once_and_kept", a_unit_is_compiled_once_and_kept);
    add("a_damaged_result_is_compiled_anew", a_damaged_result_is_compiled_anew);
    add("a_cache_that_cannot_be_written_costs_time_only", a_cache_that_cannot_be_written_costs_time_only);
    add("what_does_not_compile_is_an_error_and_not_kept", what_does_not_compile_is_an_error_and_not_kept);
    add(
        "what_does_not_load_is_an_error_and_is_tried_again",
        what_does_not_load_is_an_error_and_is_tried_again,
    );
    add("a_unit_that_there_is_not_is_an_error", a_unit_that_there_is_not_is_an_error);
    tests.run()
}

/// Compile by the fake compiler, with results in `cache`.
fn compiled(cache: &Path, unit: &str) -> Result<()> {
    Kernels::with(Device::open(0)?, None, Some(cache.into())).function(unit, "any").map(drop)
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).map_or(vec![], |d| d.map(|entry| entry.unwrap().path()).collect())
}

fn a_unit_of_a_folder_is_loaded_once(fake: &Fake, folder: &Path) {
    fs::write(folder.join("rope.sm_90.co"), "FAKE\nkernel one 8\nkernel two 8\n\0").unwrap();
    let kernels = Kernels::with(Device::open(0).unwrap(), Some(folder.into()), None);
    assert_eq!(fake.count("hipModuleLoadData"), 0);
    kernels.function("rope", "one").unwrap();
    kernels.function("rope", "two").unwrap();
    assert!(matches!(kernels.function("rope", "three"), Err(Error::Backend(m)) if m.contains("three")));
    assert_eq!(fake.count("hipModuleLoadData"), 1);
    assert_eq!(fake.count("hiprtcCompileProgram"), 0);
}

fn a_folder_that_lacks_a_unit_is_an_error(fake: &Fake, folder: &Path) {
    fs::write(folder.join("rope.gfx1100.co"), "FAKE\n\0").unwrap();
    for place in [folder.to_path_buf(), folder.join("rope.gfx1100.co"), folder.join("nothing")] {
        let kernels = Kernels::with(Device::open(0).unwrap(), Some(place.clone()), Some(folder.into()));
        let Err(Error::NotFound(m)) = kernels.function("rope", "one") else { panic!("{}", place.display()) };
        assert!(m.contains("ROCMFORGE_KERNELS") && m.contains("lacks rope.sm_90.co"), "{m}");
    }
    assert_eq!(fake.count("hiprtcCompileProgram"), 0, "what is asked for is not replaced by something else");
}

fn a_unit_is_compiled_once_and_kept(fake: &Fake, folder: &Path) {
    let cache = folder.join("not").join("yet");
    let compiles = || fake.count("hiprtcCompileProgram");
    compiled(&cache, "rope").unwrap();
    compiled(&cache, "rope").unwrap();
    assert_eq!((compiles(), files(&cache).len()), (1, 1));
    compiled(&cache, "rows_q4_0").unwrap();
    compiled(&cache, "rows_q8_0").unwrap();
    assert_eq!((compiles(), files(&cache).len()), (3, 3));
    let text: Vec<String> =
        files(&cache).iter().map(|f| String::from_utf8_lossy(&fs::read(f).unwrap()).into_owned()).collect();
    assert!(text.iter().any(|t| t.contains("--offload-arch=sm_90") && t.contains("-DRF_TYPE=q4_0")));
    assert!(text.iter().all(|t| t.contains("// device.h")), "headers go along");
    fake.set_gpus(1, "sm_80", 1 << 20);
    compiled(&cache, "rope").unwrap();
    assert_eq!((compiles(), files(&cache).len()), (4, 4));
}

fn a_damaged_result_is_compiled_anew(fake: &Fake, cache: &Path) {
    compiled(cache, "rope").unwrap();
    let file = files(cache).remove(0);
    let whole = fs::read(&file).unwrap();
    for bytes in [&whole[..whole.len() / 2], &[], &[b"FAKE", &whole[5..]].concat()] {
        fs::write(&file, bytes).unwrap();
        let before = fake.count("hiprtcCompileProgram");
        compiled(cache, "rope").unwrap();
        assert_eq!(fake.count("hiprtcCompileProgram"), before + 1);
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
    assert_eq!(files(cache).len(), 1);
}

fn a_cache_that_cannot_be_written_costs_time_only(fake: &Fake, folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    compiled(&file, "rope").unwrap();
    compiled(&file.join("below"), "rope").unwrap();
    Kernels::with(Device::open(0).unwrap(), None, None).function("rope", "any").unwrap();
    assert_eq!(fake.count("hiprtcCompileProgram"), 3);
}

fn what_does_not_compile_is_an_error_and_not_kept(fake: &Fake, cache: &Path) {
    for function in ["hiprtcCreateProgram", "hiprtcCompileProgram", "hiprtcGetCode"] {
        fake.fail(function, 1, 6);
        let Err(Error::Backend(m)) = compiled(cache, "rope") else { panic!("{function}") };
        assert!(m.starts_with("rope: ") && m.contains(function), "{m}");
        assert_eq!(files(cache).len(), 0);
    }
    compiled(cache, "rope").unwrap();
}

fn what_does_not_load_is_an_error_and_is_tried_again(fake: &Fake, cache: &Path) {
    let kernels = Kernels::with(Device::open(0).unwrap(), None, Some(cache.into()));
    fake.fail("hipModuleLoadData", 1, 209);
    let Err(Error::Backend(m)) = kernels.function("rope", "any") else { panic!("it loads") };
    assert!(m.starts_with("rope: ") && m.contains("(209)"), "{m}");
    kernels.function("rope", "any").unwrap();
}

fn a_unit_that_there_is_not_is_an_error(fake: &Fake, cache: &Path) {
    for unit in ["", "nothing", "rows", "rows_q4", "../rope"] {
        assert!(matches!(compiled(cache, unit), Err(Error::NotFound(m)) if m.contains(unit)), "{unit}");
    }
    assert_eq!(fake.count("hiprtcCreateProgram"), 0);
}
