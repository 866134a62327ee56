//! The blocks that architectures are made of. Weights are named as in GGUF files.

use super::Net;
use crate::Result;
use crate::graph::{Input, KvHalf, TensorId};

/// The pre-norm decoder: attention and a gated feed-forward network, each added to the stream.
pub(super) fn decoder(net: &mut Net<'_>) -> Result<()> {
    let mut x = net.embed()?;
    let n_layer = net.hp.n_layer;
    for il in 0..n_layer {
        let h = net.norm(&format!("blk.{il}.attn_norm"), x)?;
        let mut h = attention(net, il, h)?;
        if il + 1 == n_layer {
            // From here on only the rows whose logits are wanted.
            (x, h) = (net.wanted_rows(x), net.wanted_rows(h));
        }
        let h = net.linear(&format!("blk.{il}.attn_output"), h, net.hp.n_embd)?;
        x = net.g.add(x, h);
        let h = net.norm(&format!("blk.{il}.ffn_norm"), x)?;
        let h = swiglu(net, il, h)?;
        x = net.g.add(x, h);
    }
    head(net, x)
}

/// Attention of layer `il`, up to but without the output projection.
fn attention(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
    let (n_head, n_head_kv) = (net.hp.n_head[il], net.hp.n_head_kv[il]);
    let (dim_k, dim_v) = (net.hp.head_dim_k, net.hp.head_dim_v);
    let q = net.linear(&format!("blk.{il}.attn_q"), x, n_head * dim_k)?;
    let k = net.linear(&format!("blk.{il}.attn_k"), x, n_head_kv * dim_k)?;
    let v = net.linear(&format!("blk.{il}.attn_v"), x, n_head_kv * dim_v)?;
    let (q, k, v) = (net.heads(q, dim_k), net.heads(k, dim_k), net.heads(v, dim_v));
    let table = net.rope_table(Input::Positions, net.hp.rope)?;
    let (q, k) = (net.g.rope(q, table, net.rope), net.g.rope(k, table, net.rope));
    let (k, v) = (net.cached(il, KvHalf::K, k), net.cached(il, KvHalf::V, v));
    let mask = net.input(Input::Mask);
    let scale = 1.0 / (dim_k as f32).sqrt();
    Ok(net.g.attention(q, k, v, mask, scale))
}

/// `down(silu(gate(x)) * up(x))`.
fn swiglu(net: &mut Net<'_>, il: usize, x: TensorId) -> Result<TensorId> {
    let n_ff = net.hp.n_ff[il];
    let gate = net.linear(&format!("blk.{il}.ffn_gate"), x, n_ff)?;
    let up = net.linear(&format!("blk.{il}.ffn_up"), x, n_ff)?;
    let gate = net.g.silu(gate);
    let h = net.g.mul(gate, up);
    net.linear(&format!("blk.{il}.ffn_down"), h, net.hp.n_embd)
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
    for il in 0..net.hp.n_layer {
        let keys = net.kv(il, KvHalf::K);
        net.g.kv_rope(keys, table, net.rope);
    }
    Ok(())
}
