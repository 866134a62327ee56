//! The blocks that architectures are made of. Weights are named as in GGUF files.

use super::Net;
use crate::graph::{Input, KvHalf, TensorId};
use crate::{Error, Result};

/// How a decoder's layers differ from Llama's.
#[derive(Clone, Copy)]
pub(super) struct Decoder {
    /// Each head of the queries and keys is normed before it is rotated.
    pub qk_norm: bool,
    /// What attention and the feed-forward network give is normed before it is added to the stream.
    pub post_norm: bool,
    /// The feed-forward network.
    pub ffn: Ffn,
}

/// A feed-forward network: `down(silu(gate(x)) * up(x))` in all its forms.
#[derive(Clone, Copy)]
pub(super) enum Ffn {
    /// A matrix each.
    Gated,
    /// Gate and up are the two halves of `ffn_up`.
    Fused,
    /// Each token goes through a few of many networks.
    Experts,
}

impl Decoder {
    /// Llama's.
    pub const LLAMA: Decoder = Decoder { qk_norm: false, post_norm: false, ffn: Ffn::Gated };

    /// From ids to logits: attention and a feed-forward network, each of the normed stream and each
    /// added to it, layer by layer.
    pub fn forward(self, net: &mut Net<'_>) -> Result<()> {
        let mut x = net.stream()?;
        let n_layer = net.hp.n_layer;
        for il in net.layers() {
            let h = net.norm(&format!("blk.{il}.attn_norm"), x)?;
            let mut h = self.attention(net, il, h)?;
            if il + 1 == n_layer {
                // From here on only the rows whose logits are wanted.
                (x, h) = (net.wanted_rows(x), net.wanted_rows(h));
            }
            let h = net.linear(&format!("blk.{il}.attn_output"), h, net.hp.n_embd)?;
            x = self.add(net, il, "post_attention_norm", x, h)?;
            let h = net.norm(&format!("blk.{il}.ffn_norm"), x)?;
            let h = match self.ffn {
                Ffn::Gated => gated(net, il, h)?,
                Ffn::Fused => fused(net, il, h)?,
                Ffn::Experts => experts(net, il, h)?,
            };
            x = self.add(net, il, "post_ffw_norm", x, h)?;
        }
        if net.has_head() {
            return head(net, x);
        }
        net.output(x);
        Ok(())
    }

    /// `x + h`, `h` normed first where the architecture does that.
    fn add(self, net: &mut Net<'_>, il: usize, norm: &str, x: TensorId, h: TensorId) -> Result<TensorId> {
        let h = if self.post_norm { net.norm(&format!("blk.{il}.{norm}"), h)? } else { h };
        Ok(net.g.add(x, h))
    }

    /// Attention of layer `il`, up to but without the output projection.
    fn attention(self, net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
        let (mut q, mut k, v) = qkv(net, il, x)?;
        if self.qk_norm {
            q = net.norm(&format!("blk.{il}.attn_q_norm"), q)?;
            k = net.norm(&format!("blk.{il}.attn_k_norm"), k)?;
        }
        let table = net.rope_table(Input::Positions, net.hp.rope)?;
        let (q, k) = (net.g.rope(q, table, net.rope), net.g.rope(k, table, net.rope));
        let (k, v) = (net.cached(il, KvHalf::K, k), net.cached(il, KvHalf::V, v));
        let mask = net.input(Input::Mask);
        let scale = 1.0 / (net.hp.head_dim_k as f32).sqrt();
        Ok(net.g.attention(q, k, v, mask, scale))
    }
}

/// Queries, keys and values, `[head_dim, n_head, n]` each, from one matrix or from three.
fn qkv(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<(TensorId, TensorId, TensorId)> {
    let (n_head, n_head_kv) = (net.hp.n_head[il], net.hp.n_head_kv[il]);
    let (dim_k, dim_v) = (net.hp.head_dim_k, net.hp.head_dim_v);
    let (n_q, n_k, n_v) = (n_head * dim_k, n_head_kv * dim_k, n_head_kv * dim_v);
    let all = format!("blk.{il}.attn_qkv");
    let (q, k, v) = if net.has(&format!("{all}.weight")) {
        let qkv = net.linear(&all, x, n_q + n_k + n_v)?;
        (net.g.part(qkv, 0, n_q), net.g.part(qkv, n_q, n_k), net.g.part(qkv, n_q + n_k, n_v))
    } else {
        let q = net.linear(&format!("blk.{il}.attn_q"), x, n_q)?;
        let k = net.linear(&format!("blk.{il}.attn_k"), x, n_k)?;
        (q, k, net.linear(&format!("blk.{il}.attn_v"), x, n_v)?)
    };
    Ok((net.g.heads(q, dim_k), net.g.heads(k, dim_k), net.g.heads(v, dim_v)))
}

fn gated(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
    let n_ff = net.hp.n_ff[il];
    let gate = net.linear(&format!("blk.{il}.ffn_gate"), x, n_ff)?;
    let up = net.linear(&format!("blk.{il}.ffn_up"), x, n_ff)?;
    let h = net.g.swiglu(gate, up);
    net.linear(&format!("blk.{il}.ffn_down"), h, net.hp.n_embd)
}

fn fused(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
    let n_ff = net.hp.n_ff[il];
    let both = net.linear(&format!("blk.{il}.ffn_up"), x, 2 * n_ff)?;
    let (gate, up) = (net.g.part(both, 0, n_ff), net.g.part(both, n_ff, n_ff));
    let h = net.g.swiglu(gate, up);
    net.linear(&format!("blk.{il}.ffn_down"), h, net.hp.n_embd)
}

/// Each token's sum over its experts, weighted by the softmax of the router's logits among them.
/// Tokens are sorted by expert, so that each expert's weights are read once and meet all their
/// tokens in one product.
fn experts(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
    let name = |part: &str| format!("blk.{il}.{part}");
    let arch_needs = "its architecture is a mixture of experts and the file has no expert_count";
    let hp = net.hp.experts.as_ref().ok_or_else(|| Error::Format(arch_needs.into()))?;
    let (n_expert, n_used, n_ff) = (hp.n_expert, hp.n_used[il], hp.n_ff[il]);
    let split = name("ffn_gate.0.weight");
    if net.has(&split) && !net.has(&name("ffn_gate_exps.weight")) {
        return Err(Error::Unsupported(format!(
            "{split} holds one expert; files of this old form have to be converted again, to one tensor \
             for all experts of a layer ({})",
            name("ffn_gate_exps.weight")
        )));
    }
    let logits = net.linear(&name("ffn_gate_inp"), x, n_expert)?;
    let ids = net.g.top_k(logits, n_used);
    let weights = net.g.expert_weights(logits, ids, hp.weights_scale);
    let groups = net.g.group_by_expert(ids, n_expert);
    let x = net.g.get_rows(x, groups.rows);
    let gate = net.expert_linear(&name("ffn_gate_exps"), x, &groups, n_ff)?;
    let up = net.expert_linear(&name("ffn_up_exps"), x, &groups, n_ff)?;
    let h = net.g.swiglu(gate, up);
    let h = net.expert_linear(&name("ffn_down_exps"), h, &groups, net.hp.n_embd)?;
    Ok(net.g.combine(h, &groups, weights))
}

/// The final norm, whose rows are the embeddings, and the logits; files without an output matrix
/// use the embedding table.
fn head(net: &mut Net<'_>, x: TensorId) -> Result<()> {
    let x = net.norm("output_norm", x)?;
    let wanted = net.wanted();
    if wanted.logits {
        let name = if net.has("output.weight") { "output" } else { "token_embd" };
        let logits = net.linear(name, x, net.hp.n_vocab)?;
        net.output(logits);
    }
    if wanted.embeddings {
        net.output(x);
    }
    Ok(())
}

/// Rotates every cached key by its cell's shift. The magnitude of YaRN is in the keys already, so
/// it is taken out of the rotation.
pub(super) fn shift_keys(net: &mut Net<'_>) -> Result<()> {
    let mut params = net.hp.rope;
    params.attn_factor =
        if params.ext_factor == 0.0 { 1.0 } else { 1.0 / (1.0 + 0.1 * (1.0 / params.freq_scale).ln()) };
    let table = net.rope_table(Input::CellShift, params)?;
    for il in net.layers() {
        let keys = net.kv(il, KvHalf::K);
        net.g.kv_rope(keys, table, net.rope);
    }
    Ok(())
}
