//! The C ABI: every function of `include/rocmforge.h`, one file a handle.
//!
//! This folder owns what crosses the border and nothing else: each function checks what it was
//! given, calls the library below, and turns the outcome into a status and a message. How it does
//! so is written once, in `ffi`: null checks, `struct_size`, the panic guard, the last error,
//! and who may use a handle when. Nothing here computes.
//!
//! The header is generated from these files, so their documentation is written for the reader of
//! the header; `tests/header.rs` keeps the two equal. What holds for every function (ownership,
//! threads, strings, structs, errors) stands at the top of the header, in `cbindgen.toml`.

#![deny(missing_docs)]
#![allow(non_camel_case_types, reason = "these are the names of the header")]
#![allow(clippy::missing_safety_doc, reason = "the rules for callers stand at the top of the header")]

mod batch;
mod chat;
mod context;
mod detokenizer;
mod device;
mod embeddings;
mod error;
mod ffi;
mod memory;
mod metadata;
mod model;
mod perf;
mod quantize;
mod sampler;
mod sampler_init;
mod state;
mod tensor;
mod version;
mod vocab;

pub use batch::*;
pub use chat::*;
pub use context::*;
pub use detokenizer::*;
pub use device::*;
pub use embeddings::*;
pub use error::*;
pub use ffi::Flag;
pub use memory::*;
pub use metadata::*;
pub use model::*;
pub use perf::*;
pub use quantize::*;
pub use sampler::*;
pub use sampler_init::*;
pub use state::*;
pub use tensor::*;
pub use version::*;
pub use vocab::*;
