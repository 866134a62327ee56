//! What `librocmforge.so` shows of itself: the functions of the header and nothing else, its soname,
//! and that it stays once loaded.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use rocmforge_testkit::harness::{Tests, tool};

fn main() -> ExitCode {
    let mut tests = Tests::default();
    let mut add = |name, needs, test: fn()| tests.add(name, tool(needs), test);
    add("are_exactly_the_functions_of_the_header", "nm", are_exactly_the_functions_of_the_header);
    add(
        "soname_has_the_abi_version_and_the_library_is_never_unloaded",
        "readelf",
        soname_has_the_abi_version_and_the_library_is_never_unloaded,
    );
    add("needs_no_cpp_runtime_and_no_gpu_libraries", "readelf", needs_no_cpp_runtime_and_no_gpu_libraries);
    tests.run()
}

/// The standard output of a tool.
fn output(name: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(name).args(args).arg(file).output().expect("the tool starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn are_exactly_the_functions_of_the_header() {
    let symbols = output("nm", &["-D", "--defined-only"], &common::library());
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| Some(line.split_whitespace().nth(2)?.to_owned())).collect();
    let declared = common::header_functions();
    let missing: Vec<_> = declared.difference(&exported).collect();
    let leaked: Vec<_> = exported.difference(&declared).collect();
    assert!(
        missing.is_empty() && leaked.is_empty(),
        "not exported: {missing:?}\nnot in the header: {leaked:?}"
    );
}

fn soname_has_the_abi_version_and_the_library_is_never_unloaded() {
    let dynamic = output("readelf", &["-dW"], &common::library());
    let soname = match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("[librocmforge.so.0.", env!("CARGO_PKG_VERSION_MINOR"), "]"),
        _ => concat!("[librocmforge.so.", env!("CARGO_PKG_VERSION_MAJOR"), "]"),
    };
    assert!(dynamic.lines().any(|l| l.contains("(SONAME)") && l.contains(soname)), "{dynamic}");
    assert!(dynamic.lines().any(|l| l.contains("(FLAGS_1)") && l.contains("NODELETE")), "{dynamic}");
}

fn needs_no_cpp_runtime_and_no_gpu_libraries() {
    let dynamic = output("readelf", &["-dW"], &common::library());
    let needed: Vec<&str> = dynamic.lines().filter(|l| l.contains("(NEEDED)")).collect();
    assert!(!needed.is_empty(), "{dynamic}");
    for line in needed {
        let system =
            ["libc.so", "libm.so", "libgcc_s.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux"];
        assert!(system.iter().any(|name| line.contains(name)), "{line}");
    }
}
