//! Qwen3 with experts: many narrow ones.

use super::blocks::{Decoder, Ffn};
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "qwen3moe", rope: RopeStyle::Neox, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    Decoder { qk_norm: true, ffn: Ffn::Experts, ..Decoder::LLAMA }.forward(net)
}
