//! Tables of Unicode, made by tools/unicode/generate.py.

mod bases;
mod lower;
mod ranges;

pub use bases::BASES;
pub use lower::LOWER;
pub use ranges::RANGES;
