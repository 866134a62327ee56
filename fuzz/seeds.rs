//! Writes the inputs that the targets start from: `fuzz/corpus/TARGET/seed-NAME`.

use std::path::Path;
use std::sync::Arc;

use rocmforge::gguf::File;
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Model, ModelParams};

#[path = "../tests/hostile/file.rs"]
#[allow(dead_code)]
mod file;

use file::{ARRAY, Parts, model, strings};

/// `model(arch)` made small: blocks of 8 bits and no output matrix.
fn small(arch: &str) -> Parts {
    let full = model(arch).without_tensor("output.weight");
    let matrices: Vec<_> = full.tensors.iter().filter(|t| t.dims.len() > 1).cloned().collect();
    matrices
        .into_iter()
        .fold(full, |p, t| p.tensor(std::str::from_utf8(&t.name).expect("a name"), &t.dims, GgmlType::Q8_0))
}

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: Vec<u8>| {
        let dir = root.join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(format!("seed-{name}")), bytes)
    };
    for arch in ["llama", "qwen2"] {
        write("gguf", arch, small(arch).bytes())?;
    }
    for arch in file::ARCHS {
        let tiny = small(arch)
            .str("tokenizer.ggml.model", "none")
            .u32(&format!("{}.vocab_size", file::prefix(arch)), 4)
            .without("tokenizer.ggml.tokens")
            .without("tokenizer.ggml.token_type")
            .with(|p| {
                p.entries.retain(|e| e.key != b"tokenizer.ggml.scores" && e.key != b"tokenizer.ggml.merges")
            })
            .tensor("token_embd.weight", &[file::N_EMBD, 4], GgmlType::Q8_0);
        write("gguf", &format!("{arch}-without-vocabulary"), tiny.bytes())?;
    }
    let words = Parts::new().str("general.architecture", "llama").str("tokenizer.ggml.model", "llama").set(
        "tokenizer.ggml.tokens",
        ARRAY,
        strings(&["<unk>", "<s>", "</s>", "a", "b", "ab", "\u{2581}a"]),
    );
    write("gguf", "vocabulary", words.bytes())?;

    // Two tokens of the model that the target restores to, as one sequence and as a whole context.
    let file = File::from_bytes(model("llama").bytes()).expect("a file");
    let model = Arc::new(Model::from_gguf(Arc::new(file), ModelParams::default()).expect("a model"));
    let params = ContextParams { n_ctx: 64, n_threads: 1, n_threads_batch: 1, ..Default::default() };
    let mut context = Context::new(model, params).expect("a context");
    let mut batch = Batch::new(2, 1).expect("a batch");
    for pos in 0..2 {
        batch.add(70 + pos, pos, &[0], pos == 1).expect("room for two tokens");
    }
    context.decode(&batch).expect("a decode");
    let mut whole = vec![0; context.state_size().expect("a size")];
    context.state_get(&mut whole).expect("a state");
    let mut one = vec![0; context.state_seq_size(0).expect("a size")];
    context.state_seq_get(0, &mut one).expect("a state");
    // The target reads them without their sums.
    for (name, state) in [("whole", whole), ("sequence", one)] {
        write("state", name, state[..state.len() - 4].to_vec())?;
    }

    let templates = [
        (
            "chatml",
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ),
        (
            "namespace",
            "{% set ns = namespace(n=0) %}{% for m in messages[1:] %}{% set ns.n = ns.n + 1 %}{{ loop.index0 ~ m['role'] }}{% if m.content is string %}{{ m.content.split('x')[-1].strip() }}{% else %}{{ raise_exception('no') }}{% endif %}{% endfor %}",
        ),
        (
            "tools",
            "{%- macro f(x, y=[]) -%}{{ x | tojson(indent=2) }}{%- endmacro -%}{% for t in tools or [] %}{{ f(t) }}{% endfor %}{% generation %}{{ bos_token + eos_token }}{% endgeneration %}{{ strftime_now('%Y') }}{{ {'a': (1, 2.5, none, true)} }}",
        ),
    ];
    for (name, source) in templates {
        // Behind what the target reads first: no messages.
        write("chat", name, [&[0u8; 3][..], source.as_bytes()].concat())?;
    }
    write("tokenizer", "text", b"\x01\x01\x00the quick brown fox\x00\x01hello world, it's 2024!".to_vec())?;
    write("capi", "zeros", vec![0; 64])?;
    write("capi", "count", (0..=255).collect())
}
