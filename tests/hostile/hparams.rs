//! Hyperparameters that are missing, of the wrong type, absurd, or at odds with the tensors.

use crate::file::{self, ARCHS, model};
use crate::{Case, case};

/// Integers of `{arch}.`: the key, and what a value that is a size but not this model's leads to, if that
/// is wrong.
fn sizes(arch: &str) -> Vec<(&'static str, &'static str)> {
    let mut sizes = vec![
        ("context_length", ""),
        ("embedding_length", "token_embd.weight|rope.dimension_count"),
        ("block_count", "blk.1."),
        ("attention.head_count", "attn_q|head"),
        ("attention.head_count_kv", "attn_k|attn_qkv|head"),
        ("attention.key_length", "attn_q|rope.dimension_count"),
        ("attention.value_length", "attn_v|attn_qkv"),
        ("rope.dimension_count", "rope.dimension_count"),
    ];
    sizes.extend(match file::has_experts(arch) {
        false => vec![("feed_forward_length", "ffn_")],
        true => vec![
            ("expert_count", "ffn_gate_inp"),
            ("expert_used_count", ""),
            ("expert_feed_forward_length", "_exps"),
        ],
    });
    sizes
}

/// Those that a file must have.
fn needed(arch: &str) -> Vec<&'static str> {
    let mut needed = vec!["context_length", "embedding_length", "block_count", "attention.head_count"];
    needed.extend(match arch {
        "qwen3moe" => vec!["expert_count", "expert_used_count"],
        "mixtral" => vec!["expert_used_count"],
        _ => vec!["feed_forward_length"],
    });
    needed
}

const FLOATS: &[&str] = &[
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
];

pub fn cases(arch: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let prefix = file::prefix(arch);
    for name in needed(arch) {
        let key = format!("{prefix}.{name}");
        // Without experts there would have to be a dense network.
        let want = if name == "expert_count" { "feed_forward_length" } else { name };
        cases.push(case(format!("{arch}: {key} missing"), &[want], model(arch).without(&key).bytes()));
    }
    for (name, mismatch) in sizes(arch) {
        let key = format!("{prefix}.{name}");
        let absurd = format!("{key}|{mismatch}");
        let want = [absurd.trim_end_matches('|')];
        // No experts at all is what zero of them means; for some architectures that is wrong.
        let zero = if name == "expert_count" { (1 << 24) - 1 } else { 0 };
        for (what, value) in
            [("zero", zero), ("2^24+1", (1 << 24) + 1), ("2^31", 1 << 31), ("2^32-1", u32::MAX)]
        {
            cases.push(case(format!("{arch}: {key} {what}"), &want, model(arch).u32(&key, value).bytes()));
        }
        for (what, ty, value) in [
            ("-1", file::I32, (-1i32).to_le_bytes().to_vec()),
            ("2^64-1", file::U64, u64::MAX.to_le_bytes().to_vec()),
            ("a float", file::F32, 32f32.to_le_bytes().to_vec()),
            ("a string", file::STR, file::string("32")),
            ("a boolean", file::BOOL, vec![1]),
            ("an empty array", file::ARRAY, file::u32s(&[])),
            ("an array of two", file::ARRAY, file::u32s(&[8, 8])),
            ("an array of strings", file::ARRAY, file::strings(&["8"])),
            ("an array with zero", file::ARRAY, file::u32s(&[0])),
        ] {
            cases.push(case(
                format!("{arch}: {key} is {what}"),
                &[&key],
                model(arch).set(&key, ty, value).bytes(),
            ));
        }
        if !mismatch.is_empty() {
            for (what, value) in [("one too many", 1), ("seven too many", 7)] {
                let old = model(arch).entries.into_iter().find(|e| e.key == key.as_bytes()).unwrap().value;
                let old = u32::from_le_bytes(old.try_into().unwrap());
                let bytes = model(arch).u32(&key, old + value).bytes();
                cases.push(case(format!("{arch}: {key} {what}"), &[mismatch], bytes));
            }
        }
    }
    for name in FLOATS {
        let key = format!("{prefix}.{name}");
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
            cases.push(case(
                format!("{arch}: {key} is {value}"),
                &[&key],
                model(arch).f32(&key, value).bytes(),
            ));
        }
        for (what, ty, value) in [
            ("an integer", file::U32, vec![1, 0, 0, 0]),
            ("a string", file::STR, file::string("1.0")),
            ("an array", file::ARRAY, file::f32s(&[1.0])),
        ] {
            cases.push(case(
                format!("{arch}: {key} is {what}"),
                &[&key],
                model(arch).set(&key, ty, value).bytes(),
            ));
        }
    }
    cases.push(case(
        format!("{arch} general.type of a number"),
        &["general.type"],
        model(arch).u32("general.type", 1).bytes(),
    ));
    let scaling = format!("{prefix}.rope.scaling.type");
    for kind in ["", "linear ", "dynamic", "LINEAR"] {
        cases.push(case(
            format!("{arch}: {scaling} {kind:?}"),
            &[&scaling],
            model(arch).str(&scaling, kind).bytes(),
        ));
    }
    cases.push(case(
        format!("{arch}: {scaling} of a number"),
        &[&scaling],
        model(arch).u32(&scaling, 1).bytes(),
    ));
    for base in [0.0, 0.5, 1.0] {
        let key = format!("{prefix}.rope.freq_base");
        cases.push(case(format!("{arch}: {key} {base}"), &[&key], model(arch).f32(&key, base).bytes()));
    }
    let orig = format!("{prefix}.rope.scaling.original_context_length");
    cases.push(case(format!("{arch}: {orig} 0"), &[&orig], model(arch).u32(&orig, 0).bytes()));
    for (what, ty, value) in [
        ("4", file::U32, 4u32.to_le_bytes().to_vec()),
        ("2^32-1", file::U32, u32::MAX.to_le_bytes().to_vec()),
        ("-1", file::I32, (-1i32).to_le_bytes().to_vec()),
        ("a string", file::STR, file::string("mean")),
    ] {
        let key = format!("{prefix}.pooling_type");
        let bytes = model(arch).set(&key, ty, value).bytes();
        cases.push(case(format!("{arch}: {key} {what}"), &["pooling_type"], bytes));
    }
    let sections = format!("{prefix}.rope.dimension_sections");
    let bytes = model(arch).set(&sections, file::ARRAY, file::u32s(&[2, 2, 2, 2])).bytes();
    cases.push(case(format!("{arch}: {sections}"), &[&sections], bytes));
    let bytes = model(arch).str(&scaling, "longrope").bytes();
    cases.push(case(format!("{arch}: longrope without factors"), &["rope_factors_short.weight"], bytes));
    let nextn = format!("{prefix}.nextn_predict_layers");
    cases.push(case(format!("{arch}: {nextn}"), &[&nextn], model(arch).u32(&nextn, u32::MAX).bytes()));
    if file::has_experts(arch) {
        let key = |name: &str| format!("{prefix}.{name}");
        for (name, value) in [("expert_count", 1025), ("expert_used_count", 5), ("expert_group_count", 2)] {
            let bytes = model(arch).u32(&key(name), value).bytes();
            cases.push(case(format!("{arch}: {name} {value}"), &[&key(name)], bytes));
        }
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            let name = "expert_weights_scale";
            let bytes = model(arch).f32(&key(name), value).bytes();
            cases.push(case(format!("{arch}: {name} {value}"), &[&key(name)], bytes));
        }
        let none = model(arch).u32(&key("expert_count"), 0).bytes();
        let want = "expert_count|ffn_gate.weight|feed_forward_length";
        cases.push(case(format!("{arch}: no experts"), &[want], none));
    }
    cases.push(case(
        format!("{arch} is another architecture's"),
        &["block_count|embedding_length|context_length"],
        model(arch).str("general.architecture", if prefix == "llama" { "qwen2" } else { "llama" }).bytes(),
    ));
    if arch == ARCHS[0] {
        cases.extend(files_that_are_no_models());
    }
    cases
}

fn files_that_are_no_models() -> Vec<Case> {
    let key = "general.architecture";
    let mut cases = vec![
        case("no architecture", &[key], model("llama").without(key).bytes()),
        case("architecture of a number", &[key], model("llama").u32(key, 1).bytes()),
        case(
            "nothing but a header",
            &["tokenizer.ggml.model|general.architecture"],
            file::Parts::new().bytes(),
        ),
    ];
    for arch in ["", "Llama", "llama\0", "clip", "nonsense", "../llama"] {
        cases.push(case(format!("architecture {arch:?}"), &[key], model("llama").str(key, arch).bytes()));
    }
    // What is no model at all says what it is.
    for (ty, want) in [("adapter", "LoRA adapter"), ("imatrix", "importance matrix"), ("mmproj", "projector")]
    {
        let typed = model("llama").str("general.type", ty);
        cases.push(case(format!("a whole model called {ty}"), &["general.type", want], typed.bytes()));
    }
    let lora = file::Parts::new()
        .str("general.type", "adapter")
        .str("general.architecture", "llama")
        .str("adapter.type", "lora")
        .f32("adapter.lora.alpha", 16.0)
        .tensor("blk.0.attn_q.weight.lora_a", &[32, 4], rocmforge::quant::GgmlType::F32)
        .tensor("blk.0.attn_q.weight.lora_b", &[4, 32], rocmforge::quant::GgmlType::F32);
    cases.push(case("a LoRA adapter", &["general.type", "adapter"], lora.bytes()));
    let imatrix = file::Parts::new()
        .str("general.type", "imatrix")
        .set("imatrix.datasets", file::ARRAY, file::strings(&["wiki"]))
        .u32("imatrix.chunk_count", 10)
        .u32("imatrix.chunk_size", 512)
        .tensor("blk.0.attn_q.weight.in_sum2", &[32], rocmforge::quant::GgmlType::F32)
        .tensor("blk.0.attn_q.weight.counts", &[1], rocmforge::quant::GgmlType::F32);
    cases.push(case("an importance matrix", &["general.type", "importance matrix"], imatrix.bytes()));
    cases
}

/// Values that are odd but computed with.
pub fn allowed() -> Vec<(String, Vec<u8>)> {
    let mut odd = Vec::new();
    for arch in ARCHS {
        let key = |name: &str| format!("{}.{name}", file::prefix(arch));
        odd.push(("eps 0", model(arch).f32(&key("attention.layer_norm_rms_epsilon"), 0.0)));
        odd.push(("eps huge", model(arch).f32(&key("attention.layer_norm_rms_epsilon"), f32::MAX)));
        odd.push(("base huge", model(arch).f32(&key("rope.freq_base"), f32::MAX)));
        odd.push(("base just above 1", model(arch).f32(&key("rope.freq_base"), 1.0 + f32::EPSILON)));
        for kind in ["none", "linear", "yarn"] {
            for factor in [0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX] {
                let p = model(arch).str(&key("rope.scaling.type"), kind);
                odd.push(("scaling", p.f32(&key("rope.scaling.factor"), factor)));
            }
        }
        for beta in [0.0, f32::MIN_POSITIVE, f32::MAX] {
            let p = model(arch).str(&key("rope.scaling.type"), "yarn").f32(&key("rope.scaling.factor"), 4.0);
            odd.push(("beta fast", p.clone().f32(&key("rope.scaling.yarn_beta_fast"), beta)));
            odd.push(("beta slow", p.clone().f32(&key("rope.scaling.yarn_beta_slow"), beta)));
            odd.push(("attn factor", p.f32(&key("rope.scaling.attn_factor"), beta)));
        }
        for value in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE / 2.0, 0.0] {
            odd.push((
                "weights",
                model(arch).with(|p| {
                    let fill = |data: &mut Vec<u8>| {
                        data.chunks_exact_mut(4).for_each(|c| c.copy_from_slice(&value.to_le_bytes()))
                    };
                    p.tensors.iter_mut().for_each(|t| fill(&mut t.data));
                }),
            ));
        }
        odd.push(("context of 1", model(arch).u32(&key("context_length"), 1)));
        odd.push(("context of 2^24", model(arch).u32(&key("context_length"), 1 << 24)));
        odd.push(("rotating two", model(arch).u32(&key("rope.dimension_count"), 2)));
        odd.push((
            "heads by layer",
            model(arch).set(&key("attention.head_count"), file::ARRAY, file::u32s(&[4])),
        ));
    }
    odd.into_iter().enumerate().map(|(i, (name, p))| (format!("{i} {name}"), p.bytes())).collect()
}
