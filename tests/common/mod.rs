//! What the tests of the C ABI share: the header's list of functions, the shared library, models.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocmforge::gguf::{ArrayBuf, ValueType, Writer};
use rocmforge::quant::GgmlType;

/// The repository; the package in `fuzz/` builds these tests too.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = package.ancestors().find(|dir| dir.join("include/rocmforge.h").is_file());
    found.expect("the header is in the repository")
}

/// A folder of this test program's own.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).expect("the target directory can be written");
    dir
}

/// Every function that the header declares.
pub fn header_functions() -> BTreeSet<String> {
    let header = std::fs::read_to_string(root().join("include/rocmforge.h")).expect("the header");
    let code: String =
        header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices('(') {
        let name = code[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if name.starts_with("rf_") {
            names.insert(name.to_owned());
        }
    }
    assert!(names.len() > 50, "the header declares {} functions", names.len());
    names
}

/// `librocmforge.so`, which cargo builds beside this test program.
pub fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    let path = exe.with_file_name(format!(
        "{}rocmforge{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    assert!(path.is_file(), "{} is not there: cargo builds it along with this test", path.display());
    path
}

/// A model with weights that are nearly random: a byte-level BPE vocabulary of the 256 bytes and three
/// control tokens, two layers, a context of 64. Small enough for any number of tests.
pub fn model() -> PathBuf {
    let path = scratch("capi").join(format!("tiny-{}.gguf", std::process::id()));
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| write_model(&path));
    path
}

pub const N_VOCAB: usize = 259;
pub const BOS: i32 = 256;
pub const EOS: i32 = 257;
const N_EMBD: usize = 64;
const N_FF: usize = 128;

/// The character by which a byte-level vocabulary writes `byte`.
fn byte_char(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return byte.into();
    }
    let n = (0..byte).filter(|&b| !printable(b)).count();
    char::from_u32(256 + n as u32).expect("below the surrogates")
}

fn write_model(path: &Path) {
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![N_EMBD, N_VOCAB]),
        ("output_norm.weight".to_owned(), vec![N_EMBD]),
    ];
    for il in 0..2 {
        for (name, dims) in [
            ("attn_norm", vec![N_EMBD]),
            ("attn_q", vec![N_EMBD, N_EMBD]),
            ("attn_k", vec![N_EMBD, N_EMBD / 2]),
            ("attn_v", vec![N_EMBD, N_EMBD / 2]),
            ("attn_output", vec![N_EMBD, N_EMBD]),
            ("ffn_norm", vec![N_EMBD]),
            ("ffn_gate", vec![N_EMBD, N_FF]),
            ("ffn_up", vec![N_EMBD, N_FF]),
            ("ffn_down", vec![N_FF, N_EMBD]),
        ] {
            tensors.push((format!("blk.{il}.{name}.weight"), dims));
        }
    }
    let mut state = 1u64;
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dims)| {
            let n: usize = dims.iter().product();
            let value = |_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let x = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
                if dims.len() == 1 { 1.0 + 0.1 * x } else { 0.3 * x }
            };
            (0..n).map(value).flat_map(f32::to_le_bytes).collect()
        })
        .collect();

    let mut w = Writer::new();
    let mut set = |key: &str, value: rocmforge::gguf::Value<'_>| w.set(key, value).unwrap();
    set("general.architecture", "llama".into());
    set("general.name", "tiny".into());
    for (key, n) in [
        ("context_length", 64),
        ("embedding_length", N_EMBD),
        ("block_count", 2),
        ("feed_forward_length", N_FF),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
    ] {
        set(&format!("llama.{key}"), (n as u32).into());
    }
    set("llama.attention.layer_norm_rms_epsilon", 1e-5f32.into());
    set("test.flag", true.into());
    set("test.negative", (-7i32).into());
    set("test.double", 0.5f64.into());
    set("tokenizer.ggml.model", "gpt2".into());
    set("tokenizer.ggml.pre", "gpt-2".into());
    set("tokenizer.ggml.bos_token_id", (BOS as u32).into());
    set("tokenizer.ggml.eos_token_id", (EOS as u32).into());
    set("tokenizer.ggml.add_bos_token", true.into());
    set(
        "tokenizer.chat_template",
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}".into(),
    );
    let mut tokens = ArrayBuf::new(ValueType::Str);
    let mut types = ArrayBuf::new(ValueType::I32);
    for byte in 0..=255u8 {
        tokens.push(&*byte_char(byte).to_string()).unwrap();
        types.push(1i32).unwrap();
    }
    for control in ["<bos>", "<eos>", "<pad>"] {
        tokens.push(control).unwrap();
        types.push(3i32).unwrap();
    }
    set("tokenizer.ggml.tokens", (&tokens).into());
    set("tokenizer.ggml.token_type", (&types).into());
    set("tokenizer.ggml.merges", (&ArrayBuf::new(ValueType::Str)).into());

    for ((name, dims), data) in tensors.iter().zip(&data) {
        let dims: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
        w.tensor(name, &dims, GgmlType::F32, data).unwrap();
    }
    w.write(path).unwrap();
}
