//! Test programs on gfx1100 machine code: run once more, with the fake HIP runtime, which executes launches by the
//! interpreter (`tools/gfx1100`), and the kernels that a compiler of this machine made.

use std::path::{Path, PathBuf};
use std::process::Command;

use rocmforge_kernels::{Compiler, Wanted, build, sources, units};

use crate::scratch;

/// The target that is executed.
pub const TARGET: &str = "gfx1100";
/// Says to a test program that it is one that another has started, and by whose kernels.
const VARIABLE: &str = "ROCMFORGE_TEST_GFX1100";

/// The compilers, by name; or why there is none. `ROCMFORGE_REQUIRE_CLANG=1` makes that a failure.
///
/// # Panics
/// If one that is required lacks.
pub fn compilers() -> Vec<(&'static str, Result<Compiler, String>)> {
    let found = [("clang", Compiler::find_clang()), ("zig", Compiler::find_zig())];
    for (name, compiler) in &found {
        if let (Ok("1"), Err(why)) = (std::env::var("ROCMFORGE_REQUIRE_CLANG").as_deref(), compiler) {
            panic!("ROCMFORGE_REQUIRE_CLANG=1: {name}: {why}");
        }
    }
    found.into()
}

/// Where the results of a compiler are kept from one run of the tests to the next.
pub fn cache(compiler: &str) -> PathBuf {
    scratch(&format!("kernels-{compiler}")).join("cache")
}

/// The folder with all kernels by a compiler.
///
/// # Errors
/// What the compiler says.
pub fn kernels(name: &str, compiler: &Compiler) -> Result<PathBuf, String> {
    let out = scratch(&format!("kernels-{name}"));
    let wanted = Wanted {
        sources: &sources(),
        units: &units(&sources())?,
        targets: &[TARGET],
        cache: Some(&cache(name)),
        out: &out,
        n_jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    build(compiler, &wanted)?;
    Ok(out)
}

/// Whether this program was started by [`again`], and by whose kernels.
pub fn here() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// This program once more, with the kernels in a folder, executed.
///
/// # Panics
/// If cargo has not built the runtime along with it.
pub fn again(name: &str, kernels: &Path) -> Command {
    let exe = std::env::current_exe().expect("this program has a path");
    let runtime = exe.with_file_name("libfake_hip.so");
    assert!(runtime.is_file(), "{} is not there: cargo builds it along with the tests", runtime.display());
    let mut command = Command::new(exe);
    command
        .env(VARIABLE, name)
        .env("ROCMFORGE_HIP_LIBRARY", runtime)
        .env("ROCMFORGE_KERNELS", kernels)
        .env("ROCMFORGE_TEST_DEVICE", "hip0")
        .env("FAKE_HIP_EXECUTE", "1");
    command
}
