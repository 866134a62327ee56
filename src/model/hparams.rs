//! Hyperparameters: what the metadata of a file says of the shape of its model.

use std::ops::Range;

use super::Pooling;
use crate::gguf::File;
use crate::graph::RopeParams;
use crate::{Error, Result};

/// The shape of a model. Names are those of llama.cpp; keys are `{arch}.` plus what the field's
/// documentation says.
#[derive(Clone, Debug, PartialEq)]
pub struct Hparams {
    /// Context length of training: `context_length`.
    pub n_ctx_train: usize,
    /// Width of the residual stream: `embedding_length`.
    pub n_embd: usize,
    /// Layers: `block_count`.
    pub n_layer: usize,
    /// Per layer, width of the feed-forward network: `feed_forward_length`.
    pub n_ff: Vec<usize>,
    /// Per layer, query heads: `attention.head_count`.
    pub n_head: Vec<usize>,
    /// Per layer, key and value heads: `attention.head_count_kv`, else `n_head`.
    pub n_head_kv: Vec<usize>,
    /// Elements of a key (and query) head: `attention.key_length`, else `n_embd / n_head`.
    pub head_dim_k: usize,
    /// Elements of a value head: `attention.value_length`, else `n_embd / n_head`.
    pub head_dim_v: usize,
    /// Added to the mean square in norms: `attention.layer_norm_rms_epsilon`.
    pub rms_eps: f32,
    /// Rotary positions: `rope.*`.
    pub rope: RopeParams,
    /// Whether the frequencies have two sets of divisors, one for contexts up to that of training
    /// and one for longer ones (LongRoPE): `rope.scaling.type` is `longrope`.
    pub longrope: bool,
    /// The experts of each layer; `None` in a dense model.
    pub experts: Option<Experts>,
    /// How its embeddings are pooled: `pooling_type`, else not at all.
    pub pooling: Pooling,
    /// Rows of the embedding table.
    pub n_vocab: usize,
}

/// A mixture of experts in place of each feed-forward network.
#[derive(Clone, Debug, PartialEq)]
pub struct Experts {
    /// Experts of a layer: `expert_count`.
    pub n_expert: usize,
    /// Per layer, experts that a token goes through: `expert_used_count`.
    pub n_used: Vec<usize>,
    /// Per layer, width of one expert: `expert_feed_forward_length`, else `feed_forward_length`.
    pub n_ff: Vec<usize>,
    /// Factor on the weights of the experts: `expert_weights_scale`, else 1.
    pub weights_scale: f32,
}

/// More experts than this are taken for damage.
const MAX_EXPERTS: usize = 1024;

/// More layers, heads or widths than this are taken for damage, not for a model.
const LIMIT: u32 = 1 << 24;

struct Keys<'a> {
    file: &'a File,
    arch: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.arch)
    }

    fn size_or(&self, name: &str, default: Option<usize>) -> Result<usize> {
        let key = self.key(name);
        let value = match (self.file.u32(&key)?, default) {
            (Some(v), _) => v,
            (None, Some(d)) => return Ok(d),
            (None, None) => return Err(missing(&key)),
        };
        check_size(&key, value)
    }

    /// A size per layer: one number for all, or an array of one each.
    fn sizes(&self, name: &str, n_layer: usize, default: Option<&[usize]>) -> Result<Vec<usize>> {
        let key = self.key(name);
        match (self.file.get(&key), default) {
            (Some(crate::gguf::Value::Array(array)), _) => {
                if array.len() != n_layer {
                    return Err(Error::Format(format!(
                        "{key} has {} entries for {n_layer} layers",
                        array.len()
                    )));
                }
                array
                    .u32s()
                    .map_err(|e| Error::Format(format!("{key}: {e}")))?
                    .map(|v| check_size(&key, v))
                    .collect()
            }
            (Some(_), _) => Ok(vec![self.size_or(name, None)?; n_layer]),
            (None, Some(d)) => Ok(d.to_vec()),
            (None, None) => Err(missing(&key)),
        }
    }

    fn float_or(&self, name: &str, default: f32) -> Result<f32> {
        let key = self.key(name);
        let value = self.file.f32(&key)?.unwrap_or(default);
        if !value.is_finite() || value < 0.0 {
            return Err(Error::Format(format!("{key} is {value}; expected a finite number of at least 0")));
        }
        Ok(value)
    }
}

fn missing(key: &str) -> Error {
    Error::Format(format!("the file has no {key}, which its architecture needs"))
}

fn check_size(key: &str, value: u32) -> Result<usize> {
    if value == 0 || value > LIMIT {
        return Err(Error::Format(format!("{key} is {value}; expected 1 to {LIMIT}")));
    }
    Ok(value as usize)
}

impl Hparams {
    /// Every layer by its number, with the head as one more behind the last: norm and output matrix.
    pub fn all_layers(&self) -> Range<usize> {
        0..self.n_layer + 1
    }

    /// Reads the keys that all architectures share.
    pub fn from_gguf(file: &File, arch: &str) -> Result<Hparams> {
        let keys = Keys { file, arch };
        let n_layer = keys.size_or("block_count", None)?;
        if n_layer > 4096 {
            return Err(Error::Format(format!("{arch}.block_count is {n_layer}; expected at most 4096")));
        }
        let n_embd = keys.size_or("embedding_length", None)?;
        let n_head = keys.sizes("attention.head_count", n_layer, None)?;
        let n_head_kv = keys.sizes("attention.head_count_kv", n_layer, Some(&n_head))?;
        if let Some(il) = (0..n_layer).find(|&il| !n_head[il].is_multiple_of(n_head_kv[il])) {
            return Err(Error::Format(format!(
                "layer {il} has {} query heads, which is no multiple of its {} key and value heads",
                n_head[il], n_head_kv[il]
            )));
        }
        let head_dim = Some((n_embd / n_head[0]).max(1));
        let head_dim_k = keys.size_or("attention.key_length", head_dim)?;
        let head_dim_v = keys.size_or("attention.value_length", head_dim)?;
        let n_ctx_train = keys.size_or("context_length", None)?;
        let nextn = keys.key("nextn_predict_layers");
        if let Some(n @ 1..) = file.u32(&nextn)? {
            return Err(Error::Unsupported(format!(
                "{nextn} is {n}: layers that predict further tokens are not supported"
            )));
        }
        let experts = experts(&keys, n_layer)?;
        // A model without dense layers may leave their width out.
        let n_ff = experts.as_ref().map(|e| &e.n_ff[..]);
        Ok(Hparams {
            n_ctx_train,
            n_embd,
            n_layer,
            n_ff: keys.sizes("feed_forward_length", n_layer, n_ff)?,
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
            rms_eps: keys.float_or("attention.layer_norm_rms_epsilon", 1e-5)?,
            rope: rope(&keys, head_dim_k, n_ctx_train)?,
            longrope: file.str(&keys.key("rope.scaling.type"))? == Some("longrope"),
            experts,
            pooling: pooling(&keys)?,
            n_vocab: vocab_rows(file)?,
        })
    }
}

fn experts(keys: &Keys<'_>, n_layer: usize) -> Result<Option<Experts>> {
    let n_expert = match keys.file.u32(&keys.key("expert_count"))? {
        None | Some(0) => return Ok(None),
        Some(n) => n as usize,
    };
    if n_expert > MAX_EXPERTS {
        return Err(Error::Format(format!(
            "{} is {n_expert}; expected at most {MAX_EXPERTS}",
            keys.key("expert_count")
        )));
    }
    let n_used = keys.sizes("expert_used_count", n_layer, None)?;
    if let Some(n) = n_used.iter().find(|&&n| n > n_expert) {
        return Err(Error::Format(format!(
            "{} is {n}, more than the {n_expert} of {}",
            keys.key("expert_used_count"),
            keys.key("expert_count")
        )));
    }
    let groups = keys.key("expert_group_count");
    if let Some(n @ 2..) = keys.file.u32(&groups)? {
        return Err(Error::Unsupported(format!("{groups} is {n}: routing by groups is not supported")));
    }
    let n_ff = match keys.file.get(&keys.key("expert_feed_forward_length")) {
        Some(_) => keys.sizes("expert_feed_forward_length", n_layer, None)?,
        None => keys.sizes("feed_forward_length", n_layer, None)?,
    };
    let weights_scale = match keys.float_or("expert_weights_scale", 1.0)? {
        0.0 => 1.0,
        scale => scale,
    };
    Ok(Some(Experts { n_expert, n_used, n_ff, weights_scale }))
}

fn pooling(keys: &Keys<'_>) -> Result<Pooling> {
    let key = keys.key("pooling_type");
    let number = keys.file.u32(&key)?.unwrap_or(0);
    Pooling::from_number(number.into()).map_err(|e| Error::Unsupported(format!("{key}: {e}")))
}

fn vocab_rows(file: &File) -> Result<usize> {
    let name = "token_embd.weight";
    let info = file.tensor(name).ok_or_else(|| Error::Format(format!("the file has no tensor {name}")))?;
    usize::try_from(info.dims[1]).ok().filter(|&n| n <= i32::MAX as usize).ok_or_else(|| {
        Error::Format(format!("{name} has {} rows, more than a token id can name", info.dims[1]))
    })
}

fn rope(keys: &Keys<'_>, head_dim: usize, n_ctx_train: usize) -> Result<RopeParams> {
    let n_rot = keys.size_or("rope.dimension_count", Some(head_dim))?;
    if n_rot > head_dim || !n_rot.is_multiple_of(2) {
        return Err(Error::Format(format!(
            "{} is {n_rot}; expected an even number up to the head's {head_dim}",
            keys.key("rope.dimension_count")
        )));
    }
    let sections = keys.key("rope.dimension_sections");
    if keys.file.get(&sections).is_some() {
        return Err(Error::Unsupported(format!(
            "the file has {sections}: positions in several dimensions are not supported"
        )));
    }
    let kind_key = keys.key("rope.scaling.type");
    let kind = keys.file.str(&kind_key)?.unwrap_or("linear");
    let factor = match keys.float_or("rope.scaling.factor", 0.0)? {
        0.0 => keys.float_or("rope.scale_linear", 0.0)?,
        f => f,
    };
    let scale = if factor == 0.0 { 1.0 } else { 1.0 / factor };
    let (freq_scale, ext_factor) = match kind {
        "none" => (1.0, 0.0),
        "linear" | "longrope" => (scale, 0.0),
        "yarn" => (scale, 1.0),
        other => {
            return Err(Error::Unsupported(format!(
                "{kind_key} is \"{other}\"; supported are none, linear, yarn and longrope"
            )));
        }
    };
    let n_ctx_orig = keys.size_or("rope.scaling.original_context_length", Some(n_ctx_train))?;
    let freq_base = keys.float_or("rope.freq_base", 10000.0)?;
    if freq_base <= 1.0 {
        return Err(Error::Format(format!(
            "{} is {freq_base}; expected more than 1",
            keys.key("rope.freq_base")
        )));
    }
    Ok(RopeParams {
        n_rot,
        freq_base,
        freq_scale,
        ext_factor,
        attn_factor: keys.float_or("rope.scaling.attn_factor", 1.0)?,
        beta_fast: keys.float_or("rope.scaling.yarn_beta_fast", 32.0)?,
        beta_slow: keys.float_or("rope.scaling.yarn_beta_slow", 1.0)?,
        n_ctx_orig: n_ctx_orig as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Value, Writer};
    use crate::quant::GgmlType;

    /// The hyperparameters of a small mixture with these keys changed or added.
    fn read(arch: &str, keys: &[(&str, Value<'_>)]) -> Result<Hparams> {
        // Outlives the writer, which borrows it.
        let table = [0u8; 64 * 4 * 4];
        let mut w = Writer::new();
        for (key, value) in [
            ("block_count", 2u32),
            ("embedding_length", 64),
            ("context_length", 128),
            ("feed_forward_length", 96),
            ("attention.head_count", 4),
            ("expert_count", 8),
            ("expert_used_count", 2),
        ] {
            w.set(&format!("{arch}.{key}"), value).unwrap();
        }
        for (key, value) in keys {
            w.set(&format!("{arch}.{key}"), *value).unwrap();
        }
        w.tensor("token_embd.weight", &[64, 4], GgmlType::F32, &table).unwrap();
        Hparams::from_gguf(&File::from_bytes(w.into_bytes().unwrap()).unwrap(), arch)
    }

    #[test]
    fn experts_are_read() {
        let plain = read("llama", &[]).unwrap().experts.unwrap();
        let want = Experts { n_expert: 8, n_used: vec![2; 2], n_ff: vec![96; 2], weights_scale: 1.0 };
        assert_eq!(plain, want);
        let keys =
            [("expert_feed_forward_length", Value::U32(32)), ("expert_weights_scale", Value::F32(2.5))];
        let narrow = read("qwen3moe", &keys).unwrap();
        assert_eq!(narrow.experts, Some(Experts { n_ff: vec![32; 2], weights_scale: 2.5, ..want }));
        assert_eq!(narrow.n_ff, [96; 2]);
        assert_eq!(read("llama", &[("expert_count", Value::U32(0))]).unwrap().experts, None);
    }

    #[test]
    fn impossible_experts_are_refused_by_name() {
        let one = |name, v: u32| [(name, Value::U32(v))];
        for (name, keys) in [
            ("expert_used_count", one("expert_used_count", 0)),
            ("expert_used_count", one("expert_used_count", 9)),
            ("expert_count", one("expert_count", 1025)),
            ("expert_count", one("expert_count", u32::MAX)),
            ("expert_feed_forward_length", one("expert_feed_forward_length", 0)),
            ("expert_group_count", one("expert_group_count", 2)),
            ("nextn_predict_layers", one("nextn_predict_layers", 1)),
        ] {
            let e = read("llama", &keys).unwrap_err().to_string();
            assert!(e.contains(&format!("llama.{name}")), "{e}");
        }
        let e = read("llama", &[("expert_weights_scale", Value::F32(f32::NAN))]).unwrap_err();
        assert!(e.to_string().contains("expert_weights_scale"), "{e}");
    }

    #[test]
    fn longrope_keeps_positions_and_scales_the_magnitude() {
        let keys = [
            ("rope.scaling.type", Value::Str("longrope")),
            ("rope.scaling.original_context_length", Value::U32(32)),
            ("rope.scaling.attn_factor", Value::F32(1.25)),
        ];
        let hp = read("llama", &keys).unwrap();
        assert!(hp.longrope);
        let RopeParams { freq_scale, ext_factor, attn_factor, n_ctx_orig, .. } = hp.rope;
        assert_eq!((freq_scale, ext_factor, attn_factor, n_ctx_orig), (1.0, 0.0, 1.25, 32));
        let e = read("llama", &[("rope.scaling.type", Value::Str("su"))]).unwrap_err().to_string();
        assert!(e.contains("\"su\"") && e.contains("longrope"), "{e}");
    }
}
