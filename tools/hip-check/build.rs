//! Writes the comparison of `src/backend/hip/ffi` with the headers, where there are any.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote::ToTokens;
use syn::{BareFnArg, Fields, Item, ReturnType, Type, TypeBareFn};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(hip_headers)");
    println!("cargo::rerun-if-env-changed=ROCM_PATH");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["tools/hip-headers.sh", "target/hip-headers", "src/backend/hip"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    match headers(&root) {
        Ok(headers) => {
            compare(&root, &headers, "runtime", "hip/hip_runtime_api.h");
            compare(&root, &headers, "rtc", "hip/hiprtc.h");
            println!("cargo::rustc-cfg=hip_headers");
        }
        Err(why) => println!("cargo::rustc-env=NO_HIP_HEADERS={}", why.replace('\n', " ")),
    }
}

/// Where the headers are.
fn headers(root: &Path) -> Result<PathBuf, String> {
    let output = Command::new(root.join("tools/hip-headers.sh")).arg("--no-download").output();
    let output = output.map_err(|e| format!("tools/hip-headers.sh does not start: {e}"))?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "" => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        dir => Ok(root.join(dir)),
    }
}

fn compare(root: &Path, headers: &Path, module: &str, header: &str) {
    let bindings = root.join(format!("src/backend/hip/ffi/{module}.rs"));
    let source = std::fs::read_to_string(bindings).expect("the bindings");
    let file = syn::parse_file(&source).expect("the bindings are Rust");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));

    // Constants, and the sizes and signs of types. What is compared is compiled without the library of
    // the table.
    let plain = |item: &&Item| matches!(item, Item::Const(_) | Item::Type(_)) || is_handle(item);
    let plain: Vec<String> =
        file.items.iter().filter(plain).map(|item| item.to_token_stream().to_string()).collect();
    let path = out.join(format!("{module}_plain.rs"));
    std::fs::write(&path, plain.join("\n")).expect("the output can be written");
    let mut test = ctest::TestGenerator::new();
    test.header("stdbool.h").header("stddef.h").header(header).include(headers);
    test.define("__HIP_PLATFORM_AMD__", None);
    test.edition(2024);
    // What a handle points at is the runtime's.
    test.skip_struct(|_| true);
    ctest::generate_test(&mut test, &path, format!("{module}.rs")).unwrap_or_else(|e| panic!("{e}"));

    // The types of functions: a C compiler takes no second declaration that differs from the first.
    let mut c = format!(
        "#include <stdbool.h>\n#include <stddef.h>\n#include <hip/hip_version.h>\n#include <{header}>\n"
    );
    let mut n = 0;
    for item in &file.items {
        let Item::Struct(table) = item else { continue };
        let Fields::Named(fields) = &table.fields else { continue };
        for field in &fields.named {
            if let (Some(name), Type::BareFn(function)) = (&field.ident, &field.ty) {
                let _ = writeln!(c, "{};", declaration(&name.to_string(), function));
                n += 1;
            }
        }
    }
    assert!(n > 5, "{module}: {n} functions");
    if module == "runtime" {
        let [new, old] = arch_places(root);
        let _ = writeln!(
            c,
            "_Static_assert(offsetof(hipDeviceProp_t, gcnArchName) == (HIP_VERSION_MAJOR < 6 ? {old} : {new}), \"\");"
        );
    }
    let path = out.join(format!("{module}_functions.c"));
    std::fs::write(&path, c).expect("the output can be written");
    cc::Build::new()
        .file(path)
        .include(headers)
        .define("__HIP_PLATFORM_AMD__", None)
        .warnings(false)
        .compile(&format!("{module}_functions"));
}

/// Where `device.rs` looks for the name of an architecture in the properties of ROCm 6 and of ROCm 5.
fn arch_places(root: &Path) -> [String; 2] {
    let source = std::fs::read_to_string(root.join("src/backend/hip/device.rs")).expect("device.rs");
    ["R0600", ""].map(|suffix| {
        let entry = format!("(\"hipGetDeviceProperties{suffix}\", ");
        let (_, rest) = source.split_once(&entry).expect("the place in device.rs");
        rest.chars().take_while(char::is_ascii_digit).collect()
    })
}

/// Whether it is a struct that only the runtime looks into.
fn is_handle(item: &Item) -> bool {
    let Item::Struct(s) = item else { return false };
    s.fields.iter().all(|f| f.ident.as_ref().is_some_and(|name| name == "_unused"))
}

fn declaration(name: &str, function: &TypeBareFn) -> String {
    let args: Vec<String> = function.inputs.iter().map(|BareFnArg { ty, .. }| c_type(ty)).collect();
    let result = match &function.output {
        ReturnType::Default => "void".into(),
        ReturnType::Type(_, ty) => c_type(ty),
    };
    format!("{result} {name}({})", args.join(", "))
}

/// A type as C writes it.
fn c_type(ty: &Type) -> String {
    match ty {
        Type::Ptr(p) => {
            let constant = if p.const_token.is_some() { " const" } else { "" };
            format!("{}{constant} *", c_type(&p.elem))
        }
        Type::Path(p) => match p.path.segments.last().expect("a path").ident.to_string().as_str() {
            "c_int" => "int".into(),
            "c_uint" => "unsigned int".into(),
            "c_char" => "char".into(),
            "c_void" => "void".into(),
            "usize" => "size_t".into(),
            "f32" => "float".into(),
            name => name.into(),
        },
        _ => panic!("a type that is not expected in the bindings"),
    }
}
