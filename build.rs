//! What the linker is told about `librocmforge.so`, and the GPU kernels that go into it.
//!
//! The kernels' sources always do. Their machine code does if a clang with the AMDGPU target is found
//! (`rocmforge_kernels::Compiler::find`): in a release build for the GPUs of this machine, else as
//! `ROCMFORGE_EMBED_KERNELS` asks: `0` for none, `1` for every target, `gfx1100,gfx1101` for these. What is asked
//! for and cannot be made fails the build.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rocmforge_kernels::{Built, Compiler, TARGETS, Wanted, build, units};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    kernels().unwrap_or_else(|e| panic!("{e}"));
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

/// Bytes that compressed objects may refer back: more than the objects of all targets of a kind have.
const DICTIONARY: u32 = 8 << 20;

/// Write `kernels.rs`, which src/backend/hip/module.rs includes, and the compressed objects it names.
fn kernels() -> Result<(), String> {
    println!("cargo:rerun-if-changed=kernels");
    for name in ["ROCMFORGE_EMBED_KERNELS", "ROCMFORGE_CLANG", "ROCMFORGE_ZIG"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let out = PathBuf::from(variable("OUT_DIR"));
    let sources = Path::new(&variable("CARGO_MANIFEST_DIR")).join("kernels");
    let io = |e: std::io::Error| format!("the kernels: {e}");

    let mut text =
        format!("pub const DICTIONARY: u32 = {DICTIONARY};\npub const FILES: &[(&str, &str)] = &[\n");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&sources).and_then(|d| d.map(|entry| Ok(entry?.path())).collect()).map_err(io)?;
    files.sort();
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "    ({name:?}, include_str!({path:?})),");
    }
    text += "];\n";

    let asked = variable("ROCMFORGE_EMBED_KERNELS");
    let present = if variable("PROFILE") == "release" { gpus() } else { Vec::new() };
    let targets: Vec<&str> = match asked.as_str() {
        "" => TARGETS.iter().filter(|t| present.iter().any(|p| p == *t)).copied().collect(),
        "0" => Vec::new(),
        "1" => TARGETS.to_vec(),
        names => names.split(',').collect(),
    };
    let compiler = match Compiler::find() {
        _ if targets.is_empty() => None,
        Ok(compiler) => Some(compiler),
        Err(_) if asked.is_empty() => None,
        Err(why) => return Err(format!("ROCMFORGE_EMBED_KERNELS={asked}: {why}")),
    };
    let _ = writeln!(text, "pub const COMPILER: &str = {:?};", compiler.as_ref().map_or("", |c| c.version()));
    text += "pub const PACKS: &[Pack] = &[\n";
    if let Some(compiler) = compiler {
        let built = build(
            &compiler,
            &Wanted {
                sources: &sources,
                units: &units(&sources)?,
                targets: &targets,
                cache: Some(&out.join("kernels-cache")),
                out: &out.join("kernels"),
                n_jobs: variable("NUM_JOBS").parse().unwrap_or(1),
            },
        )?;
        // Targets of a kind, gfx1100 and gfx1101, share most of their code.
        let kind = |b: &Built| (b.unit.clone(), b.target[..b.target.len() - 2].to_string());
        for pack in built.chunk_by(|a, b| kind(a) == kind(b)) {
            let options =
                lzma_rust2::LzmaOptions { dict_size: DICTIONARY, ..lzma_rust2::LzmaOptions::with_preset(6) };
            let options = lzma_rust2::Lzma2Options { lzma_options: options, chunk_size: None };
            let mut writer = lzma_rust2::Lzma2Writer::new(Vec::new(), options);
            let mut objects = Vec::new();
            for b in pack {
                let object = fs::read(&b.path).map_err(io)?;
                writer.write_all(&object).map_err(io)?;
                objects.push((b.target.as_str(), object.len()));
            }
            let path = pack[0].path.with_extension("lzma");
            fs::write(&path, writer.finish().map_err(io)?).map_err(io)?;
            let _ = writeln!(
                text,
                "    Pack {{ unit: {:?}, objects: &{objects:?}, compressed: include_bytes!({path:?}) }},",
                pack[0].unit.name()
            );
        }
    }
    text += "];\n";
    fs::write(out.join("kernels.rs"), text).map_err(io)
}

/// The GPUs of this machine by their targets, as the kernel's driver numbers them: 110000 is gfx1100, 90010 is
/// gfx90a.
fn gpus() -> Vec<String> {
    let nodes = fs::read_dir("/sys/class/kfd/kfd/topology/nodes").into_iter().flatten().flatten();
    let number = |text: String| -> Option<u32> {
        text.lines().find_map(|l| l.strip_prefix("gfx_target_version "))?.trim().parse().ok()
    };
    let versions = nodes.filter_map(|n| number(fs::read_to_string(n.path().join("properties")).ok()?));
    versions.map(|v| format!("gfx{}{:x}{:x}", v / 10000, v / 100 % 100, v % 100)).collect()
}
