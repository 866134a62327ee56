//! Which library this is.

use std::ffi::{CStr, c_char};

/// Parses a decimal number at compile time.
const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(n) => n,
        Err(_) => panic!("a part of the version is no number"),
    }
}

const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version holds a NUL"),
};

/// The version of the library that runs, such as "0.1.0", in static memory. That of the header is
/// RF_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn rf_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The ABI of the library that runs. A program compiled with another RF_ABI_VERSION cannot use it;
/// the soname changes with it, so only programs that load the library by path need to compare.
#[unsafe(no_mangle)]
pub extern "C" fn rf_abi_version() -> u32 {
    // As in the soname: before 1.0 any minor version may break the ABI, from then on only a major.
    if MAJOR == 0 { MINOR } else { MAJOR * 1000 }
}
