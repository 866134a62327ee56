//! Executes the machine code of gfx1100 (RDNA3) on the CPU.

mod access;
pub mod counters;
pub mod error;
mod group;
pub mod isa;
pub mod lds;
pub mod machine;
pub mod memory;
pub mod object;
mod pending;
pub mod race;
mod shared;
mod wave;

pub use counters::Counters;
pub use error::{Error, Fault, Kind};
pub use machine::{Launch, Machine, Module};
pub use wave::{LANES, Lanes, Mode, Wave, sgpr};
