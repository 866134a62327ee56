//! Files of nothing but the smallest entries, where an index of them weighs most; each ends in an error.

use rocmforge::quant::GgmlType;

use crate::file::{ARRAY, Parts, STR, Tensor, U8, array, i32s, model, spm, strings};
use crate::{Case, case};

const MANY: usize = 30_000;

/// The shortest names that differ.
fn short(i: usize) -> Vec<u8> {
    const CHARS: &[u8] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut name = vec![CHARS[i % 32]];
    let mut rest = i / 32;
    while rest > 0 {
        name.push(CHARS[rest % 32]);
        rest /= 32;
    }
    name
}

fn keys(p: &mut Parts) {
    p.entries.extend((0..MANY).map(|i| crate::file::Entry { key: short(i), ty: U8, value: vec![1] }));
}

fn tensors(p: &mut Parts) {
    let tensor =
        |i| Tensor { name: short(i), dims: vec![1], ty: GgmlType::I8 as u32, offset: None, data: vec![1] };
    p.tensors.extend((0..MANY).map(tensor));
}

/// A vocabulary of these tokens and no attributes but those.
fn vocab(texts: &[Vec<u8>]) -> Parts {
    model("llama")
        .set("tokenizer.ggml.tokens", ARRAY, strings(texts))
        .set("tokenizer.ggml.scores", ARRAY, array(6, texts.len() as u64, &vec![0; 4 * texts.len()]))
        .set("tokenizer.ggml.token_type", ARRAY, i32s(&vec![1; texts.len()]))
}

/// Texts of user-defined tokens that each begin as one before, and end otherwise after some bytes.
fn branches() -> Vec<Vec<u8>> {
    let text = |i: usize| [&b"abcdefgh".repeat(40)[..8 * (i / 32 % 40) + 1], &short(i)].concat();
    (0..2000).map(text).collect()
}

pub fn cases() -> Vec<Case> {
    let texts: Vec<Vec<u8>> = (0..MANY).map(short).collect();
    let merges: Vec<Vec<u8>> = texts.iter().map(|t| [&t[..], b" a"].concat()).collect();
    let bpe = |tokens: &[Vec<u8>], merges: &[Vec<u8>]| {
        crate::file::bpe(model("qwen2"))
            .set("tokenizer.ggml.tokens", ARRAY, strings(tokens))
            .set("tokenizer.ggml.token_type", ARRAY, i32s(&vec![1; tokens.len()]))
            .set("tokenizer.ggml.merges", ARRAY, strings(merges))
    };
    // Letters of three bytes in an order that repeats no pair.
    let letters: String = (0..40_000u32)
        .map(|i| char::from_u32(0x4e00 + i.wrapping_mul(i / 97 + 7919) % 20_000).unwrap())
        .collect();
    let long: Vec<Vec<u8>> = (0..40).map(|i| [&short(i)[..], letters.as_bytes()].concat()).collect();
    let lie = |count: u64| {
        Parts::new().with(|p| p.n_entries = Some(count)).bytes().into_iter().chain(vec![0xff; 14 * MANY])
    };
    vec![
        case("many keys", &["tokenizer.ggml.model"], Parts::new().with(keys).bytes()),
        case("many keys that are not there", &["metadata entry 0"], lie(MANY as u64).collect()),
        case("many tensors", &["output_norm.weight"], {
            model("llama").without_tensor("output_norm.weight").with(tensors).bytes()
        }),
        case("many tensors that are not there", &["tensor table entry"], {
            let head = Parts::new().with(|p| p.n_tensors = Some(MANY as u64)).bytes();
            head.into_iter().chain(vec![0xff; 33 * MANY]).collect()
        }),
        case("many tokens", &["token_embd.weight"], vocab(&texts).bytes()),
        case("many user-defined tokens", &["token_embd.weight"], {
            vocab(&texts).set("tokenizer.ggml.token_type", ARRAY, i32s(&vec![4; MANY])).bytes()
        }),
        case("many tokens and nothing else", &["token_embd.weight"], {
            let p = vocab(&texts).without("tokenizer.ggml.scores").without("tokenizer.ggml.token_type");
            p.bytes()
        }),
        case("many tokens without text", &["no text"], vocab(&vec![Vec::new(); MANY]).bytes()),
        case("long tokens", &["token_embd.weight"], {
            vocab(&long).without_tensor("token_embd.weight").bytes()
        }),
        case("long user-defined tokens", &["token_embd.weight"], {
            let p = vocab(&long).set("tokenizer.ggml.token_type", ARRAY, i32s(&vec![4; long.len()]));
            p.without_tensor("token_embd.weight").bytes()
        }),
        case("user-defined tokens that part late", &["token_embd.weight"], {
            let texts = branches();
            vocab(&texts).set("tokenizer.ggml.token_type", ARRAY, i32s(&vec![4; texts.len()])).bytes()
        }),
        case("many merges", &["no tokens of the vocabulary"], bpe(&texts[..10], &merges).bytes()),
        case("many merges of tokens", &["token_embd.weight"], bpe(&texts, &merges).bytes()),
        case("one merge many times", &["token_embd.weight"], {
            bpe(&texts[..300], &vec![b"a b".to_vec(); MANY]).bytes()
        }),
        case("many merges of nothing", &["token_embd.weight"], {
            bpe(&texts[..300], &vec![Vec::new(); MANY]).bytes()
        }),
        case("many texts of an array", &["general.architecture"], {
            spm(Parts::new()).set("a", ARRAY, array(STR, MANY as u64, &vec![0; 8 * MANY])).bytes()
        }),
    ]
}
