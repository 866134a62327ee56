//! A HIP runtime for tests on machines without a GPU: `libfake_hip.so` has the functions that
//! librocmforge uses, on host memory. It checks handles, addresses and the rules of capture, records
//! launches, counts what is alive, and fails on demand at the n-th call of a function.
//!
//! Kernels do nothing, unless a test gives a function that does their work ([`Fake::on_launch`]), or asks for
//! the machine code to be executed ([`Fake::execute`]), which has to be of gfx1100.
//! Work runs when it is started; or, if it is made lazy, as late as the rules allow: when something
//! waits for it. So a host buffer that is used too early has the wrong bytes.
//!
//! A test finds the library beside its own program ([`Fake::path`]), names it to librocmforge by
//! `ROCMFORGE_HIP_LIBRARY`, and talks to it through [`Fake`], which opens it a second time. For
//! programs that a test starts there are environment variables: `FAKE_HIP_DEVICES`, how many GPUs
//! there are; `FAKE_HIP_ARCH`, their architecture; `FAKE_HIP_MEMORY`, their bytes; `FAKE_HIP_FAIL`,
//! one fault as `FUNCTION NTH CODE`; `FAKE_HIP_EXECUTE=1`, that launches are executed.

mod api;
mod client;
mod control;
mod elf;
mod execute;
mod queue;
mod rtc;
mod state;

// The declarations that the library has, of which it needs the types.
#[path = "../../../src/backend/hip/ffi/mod.rs"]
mod ffi;

pub use client::{Executed, Fake, Launch};
pub use control::{CLaunch, LaunchFn};
