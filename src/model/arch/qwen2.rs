//! Qwen2 and Qwen2.5: Llama's graph with biases on queries, keys and values, rotating halves.

use super::blocks::Decoder;
use super::{Arch, Net};
use crate::Result;
use crate::graph::RopeStyle;

pub(super) const ARCH: Arch = Arch { name: "qwen2", rope: RopeStyle::Neox, forward };

fn forward(net: &mut Net<'_>) -> Result<()> {
    for il in 0..net.hp.n_layer {
        for part in ["attn_q", "attn_k", "attn_v"] {
            net.require(&format!("blk.{il}.{part}.bias"))?;
        }
    }
    Decoder::LLAMA.forward(net)
}
