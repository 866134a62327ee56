//! Compiles the units of `kernels/` for their targets: used by the library's build script, by `make
//! kernels` (the program `kernels`) and by the tests that read the machine code.
//!
//! A unit is compiled by itself, so all of them are compiled beside each other, and what has not
//! changed is taken from a folder of earlier results.

mod build;
mod compiler;
pub mod machine;
#[path = "../../../src/backend/hip/units.rs"]
mod units;

pub use build::{Built, Wanted, build, units};
pub use compiler::{Compiler, sources};
pub use units::{TARGETS, Unit};
