//! librocmforge: the libllama you can ship.
pub mod counters;
mod error;
pub mod gguf;
pub mod quant;

pub use error::{Error, Result};
