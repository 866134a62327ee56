//! Vocabularies that contradict themselves.

use crate::file::{self, ARRAY, N_VOCAB, Parts, bpe, model, spm};
use crate::{Case, case};

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for arch in ["llama", "qwen2"] {
        let mut add = |name: &str, want: &[&str], p: Parts| {
            cases.push(case(format!("{arch} vocabulary: {name}"), want, p.bytes()));
        };
        let p = || model(arch);
        let tokens = key("tokens");
        add("no kind", &[&key("model")], p().without(&key("model")));
        add("kind of a number", &[&key("model")], p().u32(&key("model"), 1));
        for kind in ["", "bpe", "LLAMA", "nonsense"] {
            add(&format!("kind {kind:?}"), &[&key("model")], p().str(&key("model"), kind));
        }
        add("no tokens", &[&tokens], p().without(&tokens));
        add("tokens a string", &[&tokens], p().str(&tokens, "a"));
        add("tokens of numbers", &[&tokens], p().set(&tokens, ARRAY, file::u32s(&[1, 2, 3])));
        add(
            "tokens of arrays",
            &[&tokens],
            p().set(&tokens, ARRAY, file::array(ARRAY, 1, &file::strings(&["a"]))),
        );
        add(
            "a token twice",
            &[&tokens, "same text"],
            p().set(&tokens, ARRAY, file::strings(&vec!["a"; 259])),
        );
        add(
            "a token that is not UTF-8",
            &[&tokens, "UTF-8"],
            p().set(&tokens, ARRAY, file::strings(&[b"\xff"])),
        );
        let more: Vec<String> = (0..N_VOCAB + 1).map(|i| format!("t{i}")).collect();
        let types = file::i32s(&vec![1; more.len()]);
        let scores = file::f32s(&vec![0.0; more.len()]);
        let larger = p().set(&tokens, ARRAY, file::strings(&more));
        add(
            "more tokens than types",
            &[&key("token_type"), "259 elements for 260"],
            larger.clone().set(&key("scores"), ARRAY, &scores),
        );
        add(
            "more tokens than embeddings",
            &["260 tokens", "token_embd.weight"],
            larger.set(&key("token_type"), ARRAY, &types).set(&key("scores"), ARRAY, &scores),
        );
        for name in ["scores", "token_type"] {
            let k = key(name);
            add(&format!("{name} a number"), &[&k], p().u32(&k, 1));
            add(&format!("{name} of strings"), &[&k], p().set(&k, ARRAY, file::strings(&vec!["1"; 259])));
            add(&format!("{name} empty"), &[&k, "0 elements"], p().set(&k, ARRAY, file::f32s(&[])));
            add(
                &format!("{name} one short"),
                &[&k, "258 elements"],
                p().set(&k, ARRAY, file::i32s(&[1; 258])),
            );
        }
        add(
            "types out of range",
            &[&key("token_type"), "element 0"],
            p().set(&key("token_type"), ARRAY, file::array(file::U32, N_VOCAB, &[0xff; 259 * 4])),
        );
        for name in [
            "bos_token_id",
            "eos_token_id",
            "eot_token_id",
            "eom_token_id",
            "unknown_token_id",
            "padding_token_id",
            "seperator_token_id",
            "mask_token_id",
            "fim_pre_token_id",
            "fim_suf_token_id",
            "fim_mid_token_id",
            "fim_pad_token_id",
            "fim_rep_token_id",
            "fim_sep_token_id",
        ] {
            let k = key(name);
            add(&format!("{name} a string"), &[&k], p().str(&k, "1"));
            add(&format!("{name} negative"), &[&k, "-1"], p().set(&k, file::I32, (-1i32).to_le_bytes()));
        }
        for name in ["add_bos_token", "add_eos_token", "add_space_prefix"] {
            let k = key(name);
            add(&format!("{name} a number"), &[&k], p().u32(&k, 1));
            add(&format!("{name} 2"), &[&k, "boolean is 2"], p().set(&k, file::BOOL, [2]));
        }
    }
    cases.extend(normalized());
    let merges = key("merges");
    let p = || model("qwen2");
    let mut add = |name: &str, want: &[&str], p: Parts| {
        cases.push(case(format!("byte-level: {name}"), want, p.bytes()));
    };
    add("no merges", &[&merges], p().without(&merges));
    add("merges a string", &[&merges], p().str(&merges, "h e"));
    add("merges of numbers", &[&merges], p().set(&merges, ARRAY, file::u32s(&[1])));
    add(
        "merges of pairs",
        &[&merges],
        p().set(&merges, ARRAY, file::array(ARRAY, 1, &file::strings(&["h", "e"]))),
    );
    for pre in ["nonsense", "GPT-2", "gpt-2 "] {
        add(&format!("pre-tokenizer {pre:?}"), &[&key("pre")], p().str(&key("pre"), pre));
    }
    add("pre-tokenizer of a number", &[&key("pre")], p().u32(&key("pre"), 1));
    // Characters outside the byte code are spelled out with the whole token each time.
    let long: Vec<String> = (0..259).map(|i| format!("{i}{}", "\u{4e00}".repeat(3000))).collect();
    add(
        "tokens that spell out to a thousand times their size",
        &[&key("tokens"), "too long"],
        p().set(&key("tokens"), ARRAY, file::strings(&long)),
    );
    let many: Vec<String> = (0..259).map(|i| format!("{i}{}", "\u{4e00}".repeat(80))).collect();
    add(
        "tokens that spell out to a hundred times their size",
        &[&key("tokens"), "print"],
        p().set(&key("tokens"), ARRAY, file::strings(&many)),
    );
    cases
}

/// WordPiece, and Unigram with its table of replacements.
fn normalized() -> Vec<Case> {
    let mut cases = Vec::new();
    let map = key("precompiled_charsmap");
    let bytes = |bytes: &[u8]| file::array(file::U8, bytes.len() as u64, bytes);
    let t5 = || model("llama").str(&key("model"), "t5").set(&map, ARRAY, bytes(&[4, 0, 0, 0, 0, 0, 0, 0, 0]));
    let mut add = |name: &str, want: &[&str], p: Parts| {
        cases.push(case(format!("replacements: {name}"), want, p.bytes()));
    };
    for n in 0..4 {
        add(&format!("{n} bytes"), &[&map], t5().set(&map, ARRAY, bytes(&vec![0; n])));
    }
    for (name, table) in [
        ("an array of 2^32-1 bytes", &[255, 255, 255, 255, 0, 0][..]),
        ("an array one byte too long", &[3, 0, 0, 0, 0, 0]),
        ("no end", &[0, 0, 0, 0, b'a']),
        ("nothing behind the array", &[4, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        add(name, &[&map], t5().set(&map, ARRAY, bytes(table)));
    }
    add("a string", &[&map], t5().str(&map, "abc"));
    add("numbers", &[&map], t5().set(&map, ARRAY, file::u32s(&[4, 0])));
    add("strings", &[&map], t5().set(&map, ARRAY, file::strings(&["a"])));
    let spaces = key("remove_extra_whitespaces");
    add("spaces of a number", &[&spaces], t5().u32(&spaces, 1));
    let bert = || model("llama").str(&key("model"), "bert");
    for name in ["normalizer.lowercase", "normalizer.strip_accents"] {
        add(name, &[name], bert().u32(&key(name), 1));
    }
    for kind in ["bert", "t5", "gemma4"] {
        let p = || model("llama").str(&key("model"), kind);
        add(&format!("{kind} without tokens"), &[&key("tokens")], p().without(&key("tokens")));
        add(
            &format!("{kind} with a token twice"),
            &["same text"],
            p().set(&key("tokens"), ARRAY, file::strings(&vec!["a"; 259])),
        );
        add(
            &format!("{kind} with few scores"),
            &[&key("scores")],
            p().set(&key("scores"), ARRAY, file::f32s(&[0.0])),
        );
    }
    cases
}

/// What is odd but does no harm.
pub fn allowed() -> Vec<(String, Vec<u8>)> {
    let scores = key("scores");
    let types = key("token_type");
    let table = |nodes: &[u32]| {
        let mut bytes = (nodes.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(nodes.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(b"x\0");
        file::array(file::U8, bytes.len() as u64, &bytes)
    };
    let t5 = |nodes: &[u32]| {
        model("llama").str(&key("model"), "t5").set(&key("precompiled_charsmap"), ARRAY, table(nodes))
    };
    let mut odd = vec![
        ("replacements that lead in circles", t5(&[0; 300])),
        ("replacements that lead out of the table", t5(&[u32::MAX; 300])),
        (
            "replacements that end everywhere",
            t5(&std::array::from_fn::<u32, 300, _>(|i| i as u32 & 0xff | 0x100)),
        ),
        ("words of bytes", model("llama").str(&key("model"), "bert")),
        ("scores that are no numbers", model("llama").set(&scores, ARRAY, file::f32s(&[f32::NAN; 259]))),
        ("scores without end", model("llama").set(&scores, ARRAY, file::f32s(&[f32::INFINITY; 259]))),
        ("types that nobody knows", model("llama").set(&types, ARRAY, file::i32s(&[i32::MIN; 259]))),
        ("all tokens control tokens", model("llama").set(&types, ARRAY, file::i32s(&[3; 259]))),
        ("all tokens user-defined", model("qwen2").set(&types, ARRAY, file::i32s(&[4; 259]))),
        (
            "merges of nothing",
            model("qwen2").set(
                &key("merges"),
                ARRAY,
                file::strings(&["", " ", "  ", "a", "a ", " a", "h e", "h e"]),
            ),
        ),
        (
            "merges of unknown texts",
            model("qwen2").set(&key("merges"), ARRAY, file::strings(&["水 火", "ab cd", "h h"])),
        ),
        ("two vocabularies", spm(bpe(model("llama")))),
        (
            "an empty token",
            model("llama").with(|p| {
                let tokens = p.entries.iter_mut().find(|e| e.key == key("tokens").as_bytes()).unwrap();
                let mut texts: Vec<String> = ["<unk>", "", "</s>"].map(str::to_owned).into();
                texts.extend((0..256).map(|b| format!("<0x{b:02X}>")));
                tokens.value = file::strings(&texts);
            }),
        ),
    ];
    for role in ["bos_token_id", "eos_token_id", "padding_token_id", "fim_sep_token_id"] {
        odd.push(("a role out of range", model("llama").u32(&key(role), u32::MAX)));
    }
    odd.into_iter().enumerate().map(|(i, (name, p))| (format!("{i} {name}"), p.bytes())).collect()
}
