//! The constants and types of `src/backend/hip/ffi` are those of HIP's headers. (The types of functions
//! are compared when this is built, by the C compiler.)

use std::process::ExitCode;

// The C side of the comparison is linked to it.
use rocmforge_hip_check as _;
use rocmforge_testkit::harness::Tests;

/// A module of the bindings with its comparison.
macro_rules! module {
    ($module:ident, $path:literal, $comparison:literal) => {
        #[cfg(hip_headers)]
        #[allow(
            missing_docs,
            non_camel_case_types,
            non_snake_case,
            non_upper_case_globals,
            clippy::all,
            clippy::undocumented_unsafe_blocks,
            dead_code
        )]
        mod $module {
            mod bindings {
                include!($path);
            }
            use bindings::*;
            include!(concat!(env!("OUT_DIR"), $comparison));
            pub fn compare() {
                main();
            }
        }
    };
}

module!(runtime, "../../../src/backend/hip/ffi/runtime.rs", "/runtime.rs");
module!(rtc, "../../../src/backend/hip/ffi/rtc.rs", "/rtc.rs");

fn main() -> ExitCode {
    let mut tests = Tests::default();
    #[cfg(hip_headers)]
    for (name, compare) in [("runtime", runtime::compare as fn()), ("rtc", rtc::compare)] {
        tests.add(format!("{name}_is_that_of_the_headers"), Ok(()), compare);
    }
    #[cfg(not(hip_headers))]
    tests.add("bindings_are_those_of_the_headers", Err(env!("NO_HIP_HEADERS").into()), || {});
    tests.run()
}
