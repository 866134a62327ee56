//! GLM-4-0414: ChatGLM's graph with norms behind attention and the feed-forward network.

use super::blocks::{Decoder, Ffn};
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "glm4", rope: RopeStyle::Norm, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    Decoder { post_norm: true, ffn: Ffn::Fused, ..Decoder::LLAMA }.forward(net)
}
