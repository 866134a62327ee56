//! What a state says of the model that it was saved from.

use super::{Reader, damaged};
use crate::backend::KvLayer;
use crate::quant::GgmlType;
use crate::{Error, Result};

/// What a state has to have in common with the context that it is restored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// `general.architecture`.
    pub arch: String,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Rows of the embedding table.
    pub n_vocab: u32,
    /// Heads of each layer.
    pub layers: Vec<KvLayer>,
    /// Type of the cached keys.
    pub type_k: GgmlType,
    /// Type of the cached values.
    pub type_v: GgmlType,
    /// CRC-32 of the file's hyperparameters.
    pub hparams: u32,
    /// CRC-32 of the tensors' names, types and shapes and of some of their data.
    pub weights: u32,
}

impl Fingerprint {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |v: u32| out.extend_from_slice(&v.to_le_bytes());
        for v in
            [self.n_embd, self.n_vocab, self.type_k as u32, self.type_v as u32, self.hparams, self.weights]
        {
            put(v);
        }
        put(self.layers.len() as u32);
        for l in &self.layers {
            for v in [l.n_head_kv, l.head_dim_k, l.head_dim_v] {
                put(v as u32);
            }
        }
        out.extend_from_slice(self.arch.as_bytes());
        out
    }

    pub(super) fn decode(mut from: Reader<'_>) -> Result<Fingerprint> {
        let [n_embd, n_vocab, type_k, type_v, hparams, weights, n_layer] = {
            let mut head = [0; 7];
            for v in &mut head {
                *v = from.u32()?;
            }
            head
        };
        let ty = |id: u32| {
            GgmlType::from_id(id).ok_or_else(|| damaged(format_args!("there is no type {id} of a cache")))
        };
        let bytes = from.take((n_layer as usize).saturating_mul(12))?;
        let size = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize;
        let layer =
            |b: &[u8]| KvLayer { n_head_kv: size(b), head_dim_k: size(&b[4..]), head_dim_v: size(&b[8..]) };
        let layers = bytes.chunks_exact(12).map(layer).collect();
        let arch = std::str::from_utf8(from.rest())
            .map_err(|_| damaged(format_args!("the architecture's name is not UTF-8")))?;
        let (type_k, type_v, arch) = (ty(type_k)?, ty(type_v)?, arch.into());
        Ok(Fingerprint { arch, n_embd, n_vocab, layers, type_k, type_v, hparams, weights })
    }

    /// An error that says what differs unless a state with this fingerprint fits a context with
    /// the fingerprint `own`.
    pub fn check(&self, own: &Fingerprint) -> Result<()> {
        let differs = |what: &str, theirs: &dyn std::fmt::Display, ours: &dyn std::fmt::Display| {
            Err(Error::InvalidArgument(format!(
                "the state was saved from another model: its {what} is {theirs}, this one's {ours}; restore it \
                 to a context over the model that it was saved from"
            )))
        };
        if self.arch != own.arch {
            return differs("architecture", &self.arch, &own.arch);
        }
        for (what, theirs, ours) in [
            ("number of layers", self.layers.len(), own.layers.len()),
            ("embedding length", self.n_embd as usize, own.n_embd as usize),
            ("vocabulary size", self.n_vocab as usize, own.n_vocab as usize),
        ] {
            if theirs != ours {
                return differs(what, &theirs, &ours);
            }
        }
        for (il, (theirs, ours)) in self.layers.iter().zip(&own.layers).enumerate() {
            let show = |l: &KvLayer| format!("{} of {} and {}", l.n_head_kv, l.head_dim_k, l.head_dim_v);
            if theirs != ours {
                return differs(
                    &format!("number and size of heads in layer {il}"),
                    &show(theirs),
                    &show(ours),
                );
            }
        }
        for (name, theirs, ours) in [("type_k", self.type_k, own.type_k), ("type_v", self.type_v, own.type_v)]
        {
            if theirs != ours {
                return Err(Error::InvalidArgument(format!(
                    "the state was saved with {name} {}, this context has {}; make the context with {name} {} to \
                     restore it",
                    theirs.name(),
                    ours.name(),
                    theirs.name()
                )));
            }
        }
        if self.hparams != own.hparams || self.weights != own.weights {
            let what = if self.hparams != own.hparams { "metadata" } else { "weights" };
            return Err(Error::InvalidArgument(format!(
                "the state was saved from a model of the same shape with other {what}; restore it to a context \
                 over the model that it was saved from"
            )));
        }
        Ok(())
    }

    /// Bytes of the keys and values of one cell.
    pub fn cell_bytes(&self) -> Result<usize> {
        let mut sum = 0usize;
        for l in &self.layers {
            let rows = self.type_k.row_bytes(l.head_dim_k)?.checked_add(self.type_v.row_bytes(l.head_dim_v)?);
            let bytes = rows.and_then(|b| b.checked_mul(l.n_head_kv));
            let total = bytes.and_then(|b| sum.checked_add(b));
            sum = total.ok_or_else(|| damaged(format_args!("the sizes of its heads overflow")))?;
        }
        Ok(sum)
    }
}
