//! Qwen3: Llama's graph with a norm on each head of the queries and keys, rotating halves.

use super::blocks::Decoder;
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "qwen3", rope: RopeStyle::Neox, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    Decoder { qk_norm: true, ..Decoder::LLAMA }.forward(net)
}
