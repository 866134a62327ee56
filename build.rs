//! What the linker is told about `librocmforge.so`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // Before 1.0 any minor version may break the ABI, so it is part of the soname.
    let soname = match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => concat!("librocmforge.so.0.", env!("CARGO_PKG_VERSION_MINOR")),
        _ => concat!("librocmforge.so.", env!("CARGO_PKG_VERSION_MAJOR")),
    };
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    // Destructors of thread-local values are code of the library: it must outlive every thread that
    // has called it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
