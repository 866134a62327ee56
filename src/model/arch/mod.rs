//! Architectures. Each is a declaration: its name in `general.architecture`, how it rotates
//! positions, and its forward pass written with the shared [`blocks`].

mod blocks;
mod chatglm;
mod glm4;
mod llama;
mod net;
mod qwen2;
mod qwen3;
mod qwen3moe;
#[cfg(test)]
mod tests;

pub(crate) use net::{GraphSpec, Net, Wanted};

use std::ops::Range;

use crate::gguf::File;
use crate::graph::{Graph, RopeStyle, WeightId};
use crate::quant::GgmlType;
use crate::{Error, Result};

use super::Hparams;

/// What sets one architecture apart.
pub(crate) struct Arch {
    /// The value of `general.architecture`.
    pub name: &'static str,
    /// Which elements of a head form a rotated pair.
    pub rope: RopeStyle,
    /// From token ids to logits.
    pub forward: fn(&mut Net<'_>) -> Result<()>,
}

const ALL: &[Arch] = &[llama::ARCH, qwen2::ARCH, qwen3::ARCH, qwen3moe::ARCH, chatglm::ARCH, glm4::ARCH];

impl Arch {
    /// The architecture with this name.
    pub fn find(name: &str) -> Result<&'static Arch> {
        ALL.iter().find(|a| a.name == name).ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|a| a.name).collect();
            Error::Unsupported(format!(
                "general.architecture is \"{name}\"; supported are {}",
                known.join(", ")
            ))
        })
    }

    /// The weights that `layers` need, each once. Building graphs checks the name, shape and type of
    /// every one of them; two contexts are enough to meet those that depend on their length.
    pub fn weights(&self, hp: &Hparams, file: &File, layers: Range<usize>) -> Result<Vec<WeightId>> {
        let (type_k, type_v) = (GgmlType::F32, GgmlType::F32);
        let mut all = Vec::new();
        for n_ctx in [1, usize::MAX] {
            let wanted = Wanted { logits: true, embeddings: false };
            let layers = layers.clone();
            let spec =
                GraphSpec { layers, n_tokens: 1, n_outputs: 1, wanted, n_ctx, n_cells: 64, type_k, type_v };
            all.extend(self.graph(hp, file, &spec)?.weights());
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// The graph of a micro-batch.
    pub fn graph(&self, hp: &Hparams, file: &File, spec: &GraphSpec) -> Result<Graph> {
        let mut net = Net::new(self, hp, file, spec);
        (self.forward)(&mut net)?;
        Ok(net.finish())
    }

    /// The graph that moves cached keys to new positions after [`seq_add`](crate::kv::Cells::seq_add).
    pub fn shift_graph(&self, hp: &Hparams, file: &File, spec: &GraphSpec) -> Result<Graph> {
        let mut net = Net::new(self, hp, file, spec);
        blocks::shift_keys(&mut net)?;
        Ok(net.finish())
    }
}
