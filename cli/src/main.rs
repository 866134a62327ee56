//! The `rocmforge` program.
fn main() {}
