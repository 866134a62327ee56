//! Test programs whose tests may need what a machine lacks. The compiler's own harness knows no such
//! tests: it would count them as passed.

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::peer::Peer;

/// The tests of a program, which has `harness = false` in its manifest.
#[derive(Default)]
pub struct Tests(Vec<Trial>);

impl Tests {
    /// Adds a test that fails if it panics. What it `needs` is there, or the reason why not: then the
    /// test is reported as ignored.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        needs: Result<(), String>,
        test: impl FnOnce() + Send + 'static,
    ) {
        let name = name.into();
        if let Err(reason) = &needs {
            println!("{name}: ignored: {reason}");
        }
        let test = move || {
            test();
            Ok(())
        };
        self.0.push(Trial::test(name, test).with_ignored_flag(needs.is_err()));
    }

    /// Runs them as the command line says: the result of `main`. Of the variable `ROCMFORGE_TEST_PART` only a part:
    /// "0/2" and "1/2" are halves, for two processes beside each other.
    ///
    /// # Panics
    /// If the variable is not like that.
    pub fn run(mut self) -> ExitCode {
        if let Ok(part) = std::env::var("ROCMFORGE_TEST_PART") {
            let number = |text: &str| text.parse::<usize>().ok();
            let numbers = part.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
            let (i, n) = numbers
                .filter(|(i, n)| i < n)
                .unwrap_or_else(|| panic!("ROCMFORGE_TEST_PART is {part}, not like 0/2"));
            let mut at = 0..;
            self.0.retain(|_| at.next().is_some_and(|at| at % n == i));
        }
        libtest_mimic::run(&Arguments::from_args(), self.0).exit_code()
    }
}

/// The reference peer. One that is required is never lacking: its tests fail without it.
pub fn peer() -> Result<(), String> {
    if Peer::required() { Ok(()) } else { Peer::open().map(drop) }
}

/// A program on the path that answers to `--version`.
pub fn tool(name: &str) -> Result<(), String> {
    let output = Command::new(name).arg("--version").output();
    output.map(drop).map_err(|e| format!("{name} does not start: {e}"))
}

/// Whether what tests measure is printed: with `--nocapture`.
pub fn notes() -> bool {
    std::env::args().any(|arg| arg == "--nocapture")
}

/// Prints what a test measured, if it is to be.
pub fn note(text: std::fmt::Arguments<'_>) {
    if notes() {
        println!("{text}");
    }
}
