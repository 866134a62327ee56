//! librocmforge: the libllama you can ship. A library with a stable C ABI that runs GGUF language
//! models on the CPU, without a C++ runtime and without ever aborting its host.
//!
//! # The way of a token
//!
//! ```text
//! file.gguf --mmap, one parse--> gguf::File --> model::{Hparams, weights}, tokenizer::Vocab
//! text --tokenizer--> Batch --Context::decode--> micro-batches --> graph, built once a shape,
//!      compiled once by a backend --> logits --sampler chain--> token --> text
//! ```
//!
//! - [`gguf`] opens, maps and parses the file, once. It trusts nothing in it.
//! - [`quant`] knows the block formats of the weights and what they mean exactly; [`mod@quantize`]
//!   turns a model file into a smaller one.
//! - [`tokenizer`] turns text into tokens and back; [`chat`] renders messages into text.
//! - [`model`] binds hyperparameters and weights by their GGUF names; an architecture is a
//!   declaration of how they are used.
//! - [`graph`] is what an architecture declares: tensors and operations, which passes improve and
//!   a plan lays out in one arena.
//! - [`backend`] is the seam: [`backend::cpu`] compiles graphs and runs them on a thread pool.
//! - [`kv`] keeps which cell of the cache holds which position of which sequence.
//! - [`context`] ties these together: [`Context::decode`] fills the inputs of a run, runs the graph
//!   and keeps the logits.
//! - [`sampler`] chooses the next token from them.
//! - [`capi`] is all of this as C functions; `include/rocmforge.h` is generated from it.
//!
//! Data flows down this list; nothing imports upward.

pub mod backend;
pub mod batch;
pub mod capi;
pub mod chat;
pub mod context;
pub mod counters;
mod embeddings;
mod error;
#[doc(hidden)]
pub mod fault;
pub mod gguf;
pub mod graph;
pub mod kv;
pub mod log;
pub mod model;
pub mod quant;
pub mod quantize;
pub mod sampler;
pub mod tokenizer;

pub use batch::Batch;
pub use context::{Context, ContextParams, Perf};
pub use error::{Error, Result};
pub use model::{Model, ModelParams};
pub use tokenizer::Token;
