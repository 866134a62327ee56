//! The compilers that make code objects: clang with the AMDGPU target, alone or inside zig, and nvcc
//! for the stand-in. None of them needs ROCm: the kernels include nothing but each other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::units::Unit;

/// Clang's options for every unit; the target, the unit's defines and the files follow.
const CLANG: &[&str] = &[
    "-x",
    "hip",
    "--cuda-device-only",
    "--no-gpu-bundle-output",
    "-nogpuinc",
    "-nogpulib",
    "-std=c++17",
    "-O3",
    "-mcode-object-version=5",
];

/// The first version of clang that knows all targets.
const OLDEST_CLANG: u32 = 19;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Clang,
    Zig,
    Nvcc,
}

/// A compiler found on this machine.
#[derive(Clone, Debug)]
pub struct Compiler {
    kind: Kind,
    /// The command's words before the options.
    command: Vec<String>,
    /// What it says it is, one line.
    version: String,
}

impl Compiler {
    /// The compiler for AMD's targets: the clang of `ROCMFORGE_CLANG`; else of LLVM or ROCm where they
    /// are installed, the newest first; else the one inside zig. What was looked for, otherwise.
    pub fn find() -> Result<Compiler, String> {
        match std::env::var("ROCMFORGE_CLANG") {
            Ok(path) if !path.is_empty() => {
                Compiler::clang(&path).map_err(|e| format!("ROCMFORGE_CLANG={path}: {e}"))
            }
            _ => Compiler::find_clang()
                .or_else(|clang| Compiler::find_zig().map_err(|zig| format!("{clang}; {zig}"))),
        }
    }

    /// A clang with the AMDGPU target and lld, of LLVM or ROCm.
    pub fn find_clang() -> Result<Compiler, String> {
        let named = (OLDEST_CLANG..=23).rev().map(|v| format!("clang++-{v}"));
        let other = ["clang++", "/opt/rocm/llvm/bin/clang++"].map(String::from);
        let found = named.chain(other).find_map(|name| Compiler::clang(&name).ok());
        found.ok_or(format!(
            "no clang of version {OLDEST_CLANG} or later with the AMDGPU target and lld (Debian: clang-19 lld-19)"
        ))
    }

    /// The clang inside zig: of `ROCMFORGE_ZIG`, on the path, or installed by pip.
    pub fn find_zig() -> Result<Compiler, String> {
        let named = std::env::var("ROCMFORGE_ZIG").ok().filter(|path| !path.is_empty());
        let ways = match &named {
            Some(path) => vec![vec![path.as_str()]],
            None => vec![vec!["zig"], vec!["python3", "-m", "ziglang"]],
        };
        let found = ways.into_iter().find_map(|way| {
            let command: Vec<String> = way.iter().map(|w| w.to_string()).collect();
            let zig = output(&command, &["version"]).ok()?;
            let clang = output(&command, &["clang", "--version"]).ok()?;
            let version = format!("zig {}, {}", zig.trim(), clang.lines().next()?);
            Some(Compiler { kind: Kind::Zig, command, version })
        });
        found.ok_or("no zig with clang inside (make zig)".to_string())
    }

    /// nvcc on the path or in `$CUDA_HOME/bin`, for `sm_..` targets.
    pub fn find_nvcc() -> Result<Compiler, String> {
        let home = std::env::var("CUDA_HOME").unwrap_or("/usr/local/cuda".into());
        let found = [format!("{home}/bin/nvcc"), "nvcc".to_string()].into_iter().find_map(|name| {
            let command = vec![name];
            let text = output(&command, &["--version"]).ok()?;
            let version = text.lines().find(|l| l.contains("release"))?.trim().to_string();
            Some(Compiler { kind: Kind::Nvcc, command, version })
        });
        found.ok_or("no nvcc on the path or in $CUDA_HOME/bin".to_string())
    }

    fn clang(path: &str) -> Result<Compiler, String> {
        let command = vec![path.to_string()];
        let text = output(&command, &["--version"])?;
        let version = text.lines().next().unwrap_or_default().to_string();
        let number = version.split("version ").nth(1).and_then(|v| v.split('.').next()?.parse::<u32>().ok());
        if number.is_none_or(|n| n < OLDEST_CLANG) {
            return Err(format!("{version} is older than {OLDEST_CLANG}"));
        }
        if !output(&command, &["--print-targets"])?.contains("amdgcn") {
            return Err("it has no AMDGPU target".into());
        }
        // Clang links the object by lld of its own version, which Debian packages by itself.
        let lld = output(&command, &["--print-prog-name=lld"])?;
        if !Path::new(lld.trim()).is_absolute() {
            return Err("it has no lld beside it".into());
        }
        Ok(Compiler { kind: Kind::Clang, command, version })
    }

    /// What the compiler says it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Compile `unit` of the folder `sources` for `target` into the file `out`. The compiler's words on
    /// failure.
    pub fn compile(&self, sources: &Path, unit: &Unit, target: &str, out: &Path) -> Result<(), String> {
        let source = sources.join(format!("{}.hip", unit.source)).display().to_string();
        let out_name = out.display().to_string();
        let define = unit.define();
        let offload = format!("--offload-arch={target}");
        let mut words: Vec<&str> = Vec::new();
        match self.kind {
            Kind::Clang => {
                words.extend(CLANG);
                words.push(&offload);
                words.extend(define.as_deref());
                words.extend(["-o", &out_name, &source]);
                output(&self.command, &words)?;
            }
            Kind::Zig => {
                // Zig's driver makes no device code of HIP by itself: through LLVM's text, then linked.
                let (text, object) = (format!("{out_name}.ll"), format!("{out_name}.o"));
                let cpu = format!("-mcpu={target}");
                words.push("clang");
                words.extend(CLANG);
                words.extend([offload.as_str(), "-S", "-emit-llvm"]);
                words.extend(define.as_deref());
                words.extend(["-o", &text, &source]);
                output(&self.command, &words)?;
                let done = output(
                    &self.command,
                    &[
                        "clang",
                        "-target",
                        "amdgcn-amd-amdhsa",
                        &cpu,
                        "-mcode-object-version=5",
                        "-nogpulib",
                        "-O3",
                        "-c",
                        "-o",
                        &object,
                        &text,
                    ],
                )
                .and_then(|_| {
                    output(&self.command, &["ld.lld", "--no-undefined", "-shared", "-o", &out_name, &object])
                });
                for temporary in [text, object] {
                    let _ = std::fs::remove_file(temporary);
                }
                done?;
            }
            Kind::Nvcc => {
                let arch = format!("-arch={target}");
                words.extend(["-cubin", "-x", "cu", "-std=c++17", "-O3", &arch]);
                words.extend(define.as_deref());
                words.extend(["-o", &out_name, &source]);
                output(&self.command, &words)?;
            }
        }
        Ok(())
    }

    /// What decides the code it makes, besides the sources.
    pub(crate) fn identity(&self) -> String {
        format!("{:?} {} {}", self.kind, self.version, CLANG.join(" "))
    }
}

/// What a command printed; what it complained of, where it failed.
pub(crate) fn output(command: &[String], arguments: &[&str]) -> Result<String, String> {
    let run: Output = Command::new(&command[0])
        .args(&command[1..])
        .args(arguments)
        .output()
        .map_err(|e| format!("{}: {e}", command[0]))?;
    if run.status.success() {
        return Ok(String::from_utf8_lossy(&run.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&run.stderr);
    Err(format!("{} {}: {}\n{words}", command.join(" "), arguments.join(" "), run.status))
}

/// The folder of the kernels beside this crate, for programs run from a checkout.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels")
}
