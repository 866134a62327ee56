//! Llama 1 to 3 and what shares their graph (Mistral, TinyLlama, SmolLM, ...); with experts, Mixtral.

use super::blocks::{Decoder, Ffn};
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "llama", rope: RopeStyle::Norm, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    let ffn = if net.hp.experts.is_some() { Ffn::Experts } else { Ffn::Gated };
    Decoder { ffn, ..Decoder::LLAMA }.forward(net)
}
