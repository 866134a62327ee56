//! ChatGLM3 and GLM-4-9B-chat: one matrix for queries, keys and values, one for gate and up; half
//! of each head rotates (`rope.dimension_count`).

use super::blocks::{Decoder, Ffn};
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "chatglm", rope: RopeStyle::Norm, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    Decoder { ffn: Ffn::Fused, ..Decoder::LLAMA }.forward(net)
}
