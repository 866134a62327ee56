//! Types, constants and function tables of the HIP runtime and of hipRTC, generated from their
//! headers by `tools/hip-bindings.sh` and compared with them by `tools/hip-check`. The tables are
//! filled from a library that is loaded at run time; nothing here is linked.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::missing_safety_doc,
    clippy::undocumented_unsafe_blocks,
    clippy::too_many_arguments,
    dead_code,
    reason = "the names of the headers, and all values of their enumerations"
)]

pub mod rtc;
pub mod runtime;
