//! AMD GPUs through the HIP runtime, which is loaded at run time: no part of ROCm is needed to build,
//! link or load the library.
//!
//! It owns what the runtime gives: the device, its memory, its streams, the kernels on it. It knows
//! graphs and buffers, not models: nothing here reads metadata or names a weight. `unsafe` calls into
//! the runtime stay in the files below; each turns a failure into an error that names the call.
//!
//! - [`runtime`] finds the library and names its errors; [`ffi`] is its table of functions.
//! - [`device`] tells which GPUs there are.
//! - [`memory`] is memory on the device, and pinned memory of the host.
//! - [`stream`] is work: launches, copies, events, and graphs that are recorded once and replayed.
//! - [`upload`] brings the weights from their file to the device.
//! - [`rtc`] is the compiler that comes with the runtime.

pub mod device;
#[doc(hidden)]
pub mod ffi;
pub mod memory;
pub mod rtc;
pub mod runtime;
pub mod stream;
pub mod upload;
