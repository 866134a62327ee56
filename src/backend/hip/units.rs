//! The kernels there are, what each is compiled for, and the targets. Also read by `tools/kernels`, which
//! compiles them.
//!
//! A *unit* is one source file of `kernels/` compiled for one target; if it has the word `RF_TYPE`, once per
//! quantised weight type, if `RF_FLOAT`, once per other one, if `RF_KV`, once per type of the KV cache, if
//! `RF_FLASH`, once per one of these that f16 holds:
//! `rows_q4_0`, `float_bf16`, `attention_f16`. It becomes one code object, `{unit}.{target}.co` in a folder.

/// Weight types with kernels of their own, as `types.h` names them.
pub const TYPES: &[&str] = &[
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4", "iq4_xs", "q4_k", "q5_k", "q6_k", "q2_k",
    "q3_k", "tq2_0", "tq1_0", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq1_s", "iq1_m",
];

/// Weight types that are not quantised, as `float.hip` names them.
pub const FLOAT_TYPES: &[&str] = &["f32", "f16", "bf16"];

/// Types of the KV cache, as `kv.h` names and numbers them; the last for keys and values that differ.
pub const KV_TYPES: &[&str] = &["f32", "f16", "bf16", "q8_0", "mixed"];

/// Types of the KV cache that f16 holds, as `kv.h` names them.
pub const FLASH_TYPES: &[&str] = &["f16", "q8_0"];

/// The GPUs there is code for, neighbours in kind beside each other.
pub const TARGETS: &[&str] = &[
    "gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1200", "gfx1201", "gfx1030",
    "gfx90a", "gfx942",
];

/// What a source can be compiled for one by one: the macro it then names, and its values.
const VARIANTS: &[(&str, &[&str])] =
    &[("RF_TYPE", TYPES), ("RF_FLOAT", FLOAT_TYPES), ("RF_KV", KV_TYPES), ("RF_FLASH", FLASH_TYPES)];

/// One source, for one type where it is compiled for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The source's name, without `.hip`.
    pub source: String,
    /// The macro and its value.
    pub variant: Option<(&'static str, &'static str)>,
}

impl Unit {
    /// What is made of a source of this name and text.
    pub fn of(source: &str, text: &str) -> Vec<Unit> {
        let unit = |variant| Unit { source: source.into(), variant };
        match VARIANTS.iter().find(|(name, _)| text.contains(name)) {
            Some((name, values)) => values.iter().map(|value| unit(Some((*name, *value)))).collect(),
            None => vec![unit(None)],
        }
    }

    /// Its name: `rope`, `rows_q4_0`.
    pub fn name(&self) -> String {
        match self.variant {
            Some((_, value)) => format!("{}_{value}", self.source),
            None => self.source.clone(),
        }
    }

    /// The compiler's option that makes it of its source.
    pub fn define(&self) -> Option<String> {
        self.variant.map(|(name, value)| format!("-D{name}={value}"))
    }
}
