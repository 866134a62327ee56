//! What a code object for gfx11 asks of the machine: registers, LDS, spills, and which instructions it
//! uses, read off by LLVM's own tools.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compiler::output;

/// Classes of instructions that are counted: a name, and how their mnemonics begin.
pub const CLASSES: &[(&str, &[&str])] = &[
    ("load16", &["global_load_b128", "global_load_dwordx4", "buffer_load_b128"]),
    ("load8", &["global_load_b64", "global_load_dwordx2"]),
    ("load4", &["global_load_b32", "global_load_dword "]),
    ("load<4", &["global_load_u", "global_load_i", "global_load_s", "global_load_d16", "global_load_b96"]),
    ("flat", &["flat_"]),
    ("store", &["global_store"]),
    ("atomic", &["global_atomic"]),
    ("dot4", &["v_dot4"]),
    ("dot2", &["v_dot2"]),
    ("wmma", &["v_wmma", "v_mfma"]),
    ("lds", &["ds_"]),
    ("wait", &["s_waitcnt", "s_wait_"]),
    ("barrier", &["s_barrier"]),
    ("inv", &["buffer_gl", "global_inv"]),
    ("scratch", &["scratch_"]),
    ("permlanex", &["v_permlanex16"]),
];

/// One kernel of a code object.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Vector and scalar registers of a wave.
    pub vgprs: u32,
    /// Scalar registers.
    pub sgprs: u32,
    /// Registers of both kinds that did not fit.
    pub spills: u32,
    /// Static LDS of a workgroup, bytes.
    pub lds: u32,
    /// Private memory of a lane, bytes.
    pub scratch: u32,
    /// The most threads of a workgroup.
    pub threads: u32,
    /// Lanes of a wave.
    pub wave: u32,
    /// Bytes of its arguments, without those that compilers add.
    pub arguments: u32,
    /// Instructions, and those of each class of [`CLASSES`].
    pub instructions: u32,
    /// By the class's name.
    pub classes: BTreeMap<&'static str, u32>,
}

impl Kernel {
    /// Instructions of a class.
    pub fn count(&self, class: &str) -> u32 {
        self.classes.get(class).copied().unwrap_or(0)
    }

    /// Waves that a SIMD of gfx11 holds at a time: 1,536 registers in steps of 24 for each, at most 16;
    /// and as many workgroups as 128 KiB of LDS serve on the four SIMDs of a WGP.
    pub fn waves_per_simd(&self) -> u32 {
        let by_registers = (1536 / self.vgprs.max(1).next_multiple_of(24)).min(16);
        let waves_of_group = self.threads.div_ceil(self.wave.max(1));
        let by_lds = (128 * 1024u32).checked_div(self.lds).map_or(16, |groups| groups * waves_of_group / 4);
        by_registers.min(by_lds)
    }
}

/// LLVM's tools of one version.
pub struct Tools {
    readelf: String,
    objdump: String,
}

impl Tools {
    /// The newest pair on the path.
    pub fn find() -> Result<Tools, String> {
        let suffixes = (19..=23).rev().map(|v| format!("-{v}")).chain([String::new()]);
        for suffix in suffixes {
            let tools =
                Tools { readelf: format!("llvm-readelf{suffix}"), objdump: format!("llvm-objdump{suffix}") };
            let there = |name: &String| output(std::slice::from_ref(name), &["--version"]).is_ok();
            if there(&tools.readelf) && there(&tools.objdump) {
                return Ok(tools);
            }
        }
        Err("no llvm-readelf and llvm-objdump (Debian: llvm-19)".into())
    }

    /// The kernels of a code object, by name.
    pub fn read(&self, object: &Path) -> Result<Vec<Kernel>, String> {
        let path = object.display().to_string();
        let notes = output(std::slice::from_ref(&self.readelf), &["--notes", &path])?;
        let mut kernels = from_notes(&notes).ok_or(format!("{path}: no metadata of kernels"))?;
        let code = output(std::slice::from_ref(&self.objdump), &["-d", "--no-show-raw-insn", &path])?;
        let mut current: Option<usize> = None;
        for line in code.lines() {
            if let Some(name) = line.strip_suffix(">:").and_then(|l| l.split_once('<')) {
                current = kernels.iter().position(|k| k.name == name.1);
                continue;
            }
            let (Some(at), Some(text)) = (current, line.strip_prefix('\t')) else { continue };
            let kernel = &mut kernels[at];
            kernel.instructions += 1;
            for (class, beginnings) in CLASSES {
                if beginnings.iter().any(|b| text.starts_with(b)) {
                    *kernel.classes.entry(class).or_default() += 1;
                }
            }
        }
        kernels.sort_by(|a, b| a.name.cmp(&b.name));
        match kernels.iter().find(|k| k.instructions == 0) {
            Some(k) => Err(format!("{path}: no code of {}", k.name)),
            None => Ok(kernels),
        }
    }
}

/// The kernels of `amdhsa.kernels`. A kernel's own keys are indented by four; its arguments' by more.
fn from_notes(notes: &str) -> Option<Vec<Kernel>> {
    let list = notes.split("amdhsa.kernels:").nth(1)?;
    let mut kernels: Vec<Kernel> = Vec::new();
    let mut argument = 0;
    for line in list.lines().skip(1).take_while(|l| l.starts_with(' ')) {
        if line.starts_with("  - ") {
            kernels.push(Kernel::default());
        }
        let Some((key, value)) = line.get(4..).and_then(|l| l.split_once(':')) else { continue };
        let kernel = kernels.last_mut()?;
        let value = value.trim();
        let number = || value.parse::<u32>().ok();
        match key {
            ".name" => kernel.name = value.trim_matches('\'').to_string(),
            ".vgpr_count" => kernel.vgprs = number()?,
            ".sgpr_count" => kernel.sgprs = number()?,
            ".vgpr_spill_count" | ".sgpr_spill_count" => kernel.spills += number()?,
            ".group_segment_fixed_size" => kernel.lds = number()?,
            ".private_segment_fixed_size" => kernel.scratch = number()?,
            ".max_flat_workgroup_size" => kernel.threads = number()?,
            ".wavefront_size" => kernel.wave = number()?,
            "    .size" => argument = number()?,
            "    .value_kind" if value == "by_value" => kernel.arguments += argument,
            _ => {}
        }
    }
    (!kernels.is_empty() && kernels.iter().all(|k| !k.name.is_empty() && k.vgprs > 0)).then_some(kernels)
}
