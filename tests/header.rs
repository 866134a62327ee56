//! `include/rocmforge.h` is what the sources say, and every C and C++ compiler takes it.

use std::path::Path;
use std::process::{Command, ExitCode};

use rocmforge_testkit::harness::Tests;

fn main() -> ExitCode {
    let mut tests = Tests::default();
    tests.add("is_generated_from_the_sources", Ok(()), is_generated_from_the_sources);
    tests.add("every_file_of_the_api_is_in_it", Ok(()), every_file_of_the_api_is_in_it);
    tests.add(
        "every_function_and_parameter_is_documented",
        Ok(()),
        every_function_and_parameter_is_documented,
    );
    let c = ["-std=c99", "-std=c11", "-std=c17", "-std=c2x"].map(|s| ("cc", s, "c"));
    let cpp =
        ["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20", "-std=c++23"].map(|s| ("c++", s, "c++"));
    for dialect in c.into_iter().chain(cpp) {
        // Compilers older than a dialect do not take it.
        let needs = compile(dialect, "int rf_test;\n");
        tests.add(format!("compiles_as{}", dialect.1), needs, move || {
            // Twice: the include guard.
            let text = "#include <rocmforge.h>\n#include <rocmforge.h>\n\
                int rf_test = RF_STATUS_OK + RF_VERSION_MAJOR;\n";
            compile(dialect, text).unwrap_or_else(|message| panic!("{message}"));
        });
    }
    tests.run()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The header as the sources have it: cbindgen's, with the version macros.
fn generate() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    config.after_includes = Some(format!(
        "\n/** The version of this header, as rf_version() gives that of the library. */\n\
         #define RF_VERSION \"{}\"\n\
         #define RF_VERSION_MAJOR {major}\n\
         #define RF_VERSION_MINOR {minor}\n\
         #define RF_VERSION_PATCH {patch}\n\n\
         /** The ABI of this header; see rf_abi_version(). */\n\
         #define RF_ABI_VERSION {}",
        env!("CARGO_PKG_VERSION"),
        rocmforge::capi::rf_abi_version(),
    ));
    let mut builder = cbindgen::Builder::new().with_config(config);
    // In the order of the header's introduction.
    for file in FILES {
        builder = builder.with_src(root().join(format!("src/capi/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().expect("cbindgen reads src/capi").write(&mut header);
    String::from_utf8(header).expect("the header is UTF-8")
}

const FILES: &[&str] = &[
    "error",
    "version",
    "device",
    "model",
    "quantize",
    "metadata",
    "tensor",
    "vocab",
    "detokenizer",
    "chat",
    "batch",
    "context",
    "embeddings",
    "memory",
    "state",
    "perf",
    "sampler",
    "sampler_init",
];

fn is_generated_from_the_sources() {
    let path = root().join("include/rocmforge.h");
    let header = generate();
    if std::env::var_os("ROCMFORGE_UPDATE_HEADER").is_some_and(|v| v == "1") {
        std::fs::write(&path, &header).expect("include/ can be written");
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    if checked_in != header {
        let line = checked_in.lines().zip(header.lines()).take_while(|(a, b)| a == b).count();
        panic!(
            "include/rocmforge.h is out of date from line {} on; run ROCMFORGE_UPDATE_HEADER=1 cargo test --test header\n\
             header:  {:?}\nsources: {:?}",
            line + 1,
            checked_in.lines().nth(line),
            header.lines().nth(line)
        );
    }
}

fn every_file_of_the_api_is_in_it() {
    for entry in std::fs::read_dir(root().join("src/capi")).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let defines = source.contains("#[unsafe(no_mangle)]");
        assert_eq!(defines, FILES.contains(&stem), "{}", path.display());
    }
}

/// Each function of the header comes with a comment that names every parameter.
fn every_function_and_parameter_is_documented() {
    // A declaration ends with a semicolon, and so may a line of a comment.
    let line =
        |line: &str| if line.starts_with(" *") { line.trim_end_matches(';') } else { line }.to_owned() + "\n";
    let header: String = generate().lines().map(line).collect();
    let mut undocumented = Vec::new();
    let mut comment = String::new();
    for declaration in header.split_inclusive(";\n") {
        let (before, signature) = match declaration.rfind("*/\n") {
            Some(end) => declaration.split_at(end),
            None => ("", declaration),
        };
        let Some(open) = signature.find('(') else { continue };
        let name = signature[..open].rsplit([' ', '*']).next().unwrap_or_default();
        if !name.starts_with("rf_") || signature.contains("typedef") || signature.contains('{') {
            continue;
        }
        comment.clear();
        comment.push_str(before.rsplit("/**").next().unwrap_or_default());
        let close = signature.rfind(')').unwrap_or(signature.len());
        for parameter in signature[open + 1..close].split(',').map(str::trim).filter(|p| *p != "void") {
            let parameter = parameter.rsplit([' ', '*']).next().unwrap_or_default();
            let named = comment.lines().any(|l| {
                l.trim_start_matches([' ', '*'])
                    .strip_prefix("@param ")
                    .and_then(|l| l.split_whitespace().next())
                    == Some(parameter)
            });
            if !named {
                undocumented.push(format!("{name}: {parameter}"));
            }
        }
        if comment.trim().is_empty() {
            undocumented.push(name.to_owned());
        }
    }
    assert!(undocumented.is_empty(), "{undocumented:#?}");
}

/// Compiles `text` with a compiler, its standard and its language; gives what it says if it fails.
fn compile((compiler, standard, language): (&str, &str, &str), text: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{language}{standard}-{}.c", text.len()));
    std::fs::write(&path, text).expect("the target directory can be written");
    let output = Command::new(compiler)
        .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", language])
        .arg("-I")
        .arg(root().join("include"))
        .arg(path)
        .output()
        .map_err(|e| format!("{compiler} does not start: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{compiler} {standard}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
