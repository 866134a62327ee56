//! Adapters (LoRA) and what is left of them, given as models.

use rocmforge::quant::GgmlType;

use crate::file::{self, ARCHS, N_EMBD, Parts, model};
use crate::{Case, case};

const F32: GgmlType = GgmlType::F32;
const RANK: u64 = 4;
const A: &str = "blk.0.attn_q.weight.lora_a";
const B: &str = "blk.0.attn_q.weight.lora_b";

/// What is in an adapter besides its tensors.
fn head(arch: &str) -> Parts {
    Parts::new()
        .str("general.type", "adapter")
        .str("general.architecture", file::prefix(arch))
        .str("adapter.type", "lora")
        .f32("adapter.lora.alpha", 8.0)
}

/// An adapter of one matrix.
fn adapter(arch: &str) -> Parts {
    head(arch).tensor(A, &[N_EMBD, RANK], F32).tensor(B, &[RANK, N_EMBD], F32)
}

pub fn cases() -> Vec<Case> {
    let lora = || adapter("llama");
    let mut cases: Vec<Case> = ARCHS
        .iter()
        .map(|arch| case(format!("adapter of {arch}"), &["LoRA adapter"], adapter(arch).bytes()))
        .collect();
    for (name, parts) in [
        ("without tensors", head("llama")),
        ("without lora_a", lora().without_tensor(A)),
        ("without lora_b", lora().without_tensor(B)),
        ("of two ranks", lora().tensor(B, &[RANK + 1, N_EMBD], F32)),
        ("of another width", lora().tensor(A, &[N_EMBD * 2, RANK], F32)),
        ("transposed", lora().tensor(A, &[RANK, N_EMBD], F32)),
        ("of no rank of its own", lora().tensor(A, &[N_EMBD], F32)),
        ("of integers", lora().tensor(A, &[N_EMBD, RANK], GgmlType::I32)),
        ("of a matrix that no model has", lora().tensor("blk.9.other.weight.lora_a", &[2, 2], F32)),
        ("of a foreign architecture", lora().str("general.architecture", "mamba")),
        ("without an architecture", lora().without("general.architecture")),
        ("without alpha", lora().without("adapter.lora.alpha")),
        ("with alpha as text", lora().str("adapter.lora.alpha", "8")),
        ("without a type of adapter", lora().without("adapter.type")),
        ("of an unknown type of adapter", lora().str("adapter.type", "dora")),
        ("that says nowhere else what it is", lora().without("general.type")),
        ("with a vocabulary", file::spm(lora())),
    ] {
        cases.push(case(format!("adapter {name}"), &["LoRA adapter"], parts.bytes()));
    }
    // What is wrong with the file comes before what it is.
    for (name, want, parts) in [
        ("of rank 0", &[A, "zero"][..], lora().with(|p| p.tensors[0].dims[1] = 0)),
        ("with lora_a twice", &[A, "twice"], lora().with(|p| p.tensors[1].name = A.into())),
        ("with data cut off", &[B, "not inside the file"], lora().with(|p| p.tensors[1].data.clear())),
        ("of rank 2^40", &[A, "not inside the file"], lora().with(|p| p.tensors[0].dims[1] = 1 << 40)),
        ("with a type that is a number", &["general.type"], lora().u32("general.type", 1)),
    ] {
        cases.push(case(format!("adapter {name}"), want, parts.bytes()));
    }
    // Adapters that pass for models: what they lack is named.
    let disguised = || lora().without("adapter.type").str("general.type", "model");
    for (name, want, parts) in [
        ("called a model", "tokenizer.ggml.model", disguised()),
        ("called a model, with a vocabulary", "block_count|context_length|embedding_length|head_count", {
            file::spm(disguised())
        }),
        ("in place of a model's matrix", "blk.0.attn_q.weight", {
            let pair = model("llama").without_tensor("blk.0.attn_q.weight");
            pair.tensor(A, &[N_EMBD, RANK], F32).tensor(B, &[RANK, N_EMBD], F32)
        }),
        ("in place of a model's tensors", "token_embd.weight", {
            let none = model("llama").with(|p| p.tensors.clear());
            none.tensor(A, &[N_EMBD, RANK], F32).tensor(B, &[RANK, N_EMBD], F32)
        }),
    ] {
        cases.push(case(format!("adapter {name}"), &[want], parts.bytes()));
    }
    cases
}
