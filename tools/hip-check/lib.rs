//! Nothing but a place for `tests/bindings.rs`.
