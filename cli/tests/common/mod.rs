//! Running the program.
#![allow(dead_code)] // each test binary uses a part

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How the stories begin that the demo model has learnt.
pub const PROMPT: &str = "Once upon a time";

/// The demo model.
pub fn demo() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("models/demo.gguf").to_str().unwrap().to_string()
}

/// The program, deaf to the settings of whoever runs the tests.
pub fn rocmforge(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocmforge"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROCMFORGE_") {
            command.env_remove(name);
        }
    }
    command
}

pub fn run(args: &[&str]) -> Output {
    rocmforge(args).output().unwrap()
}

/// Runs it and expects success.
pub fn success(args: &[&str]) -> Output {
    let out = run(args);
    assert!(out.status.success(), "{args:?}: {}", stderr(&out));
    out
}

/// Runs it and expects an exit code and a message on standard error with `part` in it; if the
/// code is 1, the message is one line.
pub fn failure(code: i32, args: &[&str], part: &str) {
    let out = run(args);
    let message = stderr(&out);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {message}");
    assert!(message.starts_with("rocmforge: error: ") && message.contains(part), "{args:?}: {message}");
    assert!(code != 1 || message.trim_end().lines().count() == 1, "{args:?}: {message}");
}

pub fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

pub fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}
