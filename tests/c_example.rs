//! `examples/c/simple.c` is short, compiles as C99 and as C++17 without a warning, and writes text.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::OnceLock;

use rocmforge_testkit::harness::{Tests, tool};

fn main() -> ExitCode {
    let mut tests = Tests::default();
    tests.add("runs_as_c99", tool("cc"), || check("cc", "-std=c99", "c"));
    tests.add("runs_as_cpp17", tool("c++"), || check("c++", "-std=c++17", "c++"));
    tests.add("is_a_page", Ok(()), is_a_page);
    tests.run()
}

fn source() -> PathBuf {
    common::root().join("examples/c/simple.c")
}

/// The library under the names that the linker and the loader look for.
fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = common::scratch("lib");
        for name in ["librocmforge.so".to_owned(), format!("librocmforge.so.{}", soname_version())] {
            let link = dir.join(name);
            if link.symlink_metadata().is_ok() {
                std::fs::remove_file(&link).expect("a link of an earlier run");
            }
            std::os::unix::fs::symlink(common::library(), &link)
                .expect("the target directory can be written");
        }
        dir
    })
}

fn soname_version() -> &'static str {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("0.", env!("CARGO_PKG_VERSION_MINOR")),
        major => major,
    }
}

/// Compiles the example.
fn compile(compiler: &str, standard: &str, language: &str) -> PathBuf {
    let program = common::scratch("c_example").join(format!("simple-{language}"));
    let output = Command::new(compiler)
        .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-x", language])
        .arg(source())
        .args(["-x", "none"])
        .arg("-I")
        .arg(common::root().join("include"))
        .arg("-L")
        .arg(library_dir())
        .arg("-lrocmforge")
        .arg("-o")
        .arg(&program)
        .output()
        .expect("the compiler starts");
    assert!(output.status.success(), "{compiler}:\n{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).env("LD_LIBRARY_PATH", library_dir()).output().expect("it starts")
}

fn check(compiler: &str, standard: &str, language: &str) {
    let program = compile(compiler, standard, language);

    let model = common::model();
    let output = run(&program, &[model.to_str().unwrap(), "abc"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.starts_with(b"abc") && output.stdout.len() > 10, "{output:?}");

    let demo = common::root().join("models/demo.gguf");
    let output = run(&program, &[demo.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).expect("whole characters");
    assert!(output.status.success() && text.starts_with("Once upon a time"), "{text}");
    let words = text.split_whitespace().filter(|w| w.chars().all(|c| c.is_ascii_alphabetic()));
    assert!(words.count() > 30, "{text}");

    let output = run(&program, &["/no/such/model.gguf"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("rf_model_load") && message.contains("/no/such/model.gguf"), "{message}");
}

fn is_a_page() {
    let lines = std::fs::read_to_string(source()).unwrap().lines().count();
    assert!(lines < 100, "examples/c/simple.c has {lines} lines");
}
