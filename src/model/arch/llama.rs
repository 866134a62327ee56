//! Llama 1 to 3 and what shares their graph (Mistral, TinyLlama, SmolLM, ...).

use super::{Arch, blocks};
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "llama", rope: RopeStyle::Norm, forward: blocks::decoder };
