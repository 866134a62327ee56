//! A GGUF file in parts, each of which can be made wrong, and small valid models to start from.

use std::ops::Range;

use rocmforge::quant::GgmlType;

/// Numbers of value types, as in the specification.
pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STR: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;

pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

pub fn array(elem: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [&elem.to_le_bytes()[..], &len.to_le_bytes(), elements].concat()
}

pub fn strings<T: AsRef<[u8]>>(texts: &[T]) -> Vec<u8> {
    array(STR, texts.len() as u64, &texts.iter().flat_map(string).collect::<Vec<_>>())
}

pub fn u32s(numbers: &[u32]) -> Vec<u8> {
    array(U32, numbers.len() as u64, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

pub fn i32s(numbers: &[i32]) -> Vec<u8> {
    array(I32, numbers.len() as u64, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

pub fn f32s(numbers: &[f32]) -> Vec<u8> {
    array(F32, numbers.len() as u64, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

/// One metadata entry: the value as it lies in the file.
#[derive(Clone)]
pub struct Entry {
    pub key: Vec<u8>,
    pub ty: u32,
    pub value: Vec<u8>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub dims: Vec<u64>,
    pub ty: u32,
    /// Instead of where the data lies.
    pub offset: Option<u64>,
    pub data: Vec<u8>,
}

/// The parts of a file. What is `None` is as it should be.
#[derive(Clone)]
pub struct Parts {
    pub magic: [u8; 4],
    pub version: u32,
    pub n_tensors: Option<u64>,
    pub n_entries: Option<u64>,
    pub entries: Vec<Entry>,
    pub tensors: Vec<Tensor>,
}

/// A field of a file: what it is, what messages about it name, and where it lies.
pub struct Field {
    pub name: String,
    pub place: String,
    pub range: Range<usize>,
    /// A length, count, type or the like, for which all ones cannot be right.
    pub is_number: bool,
}

impl Parts {
    pub fn new() -> Parts {
        let (entries, tensors) = (Vec::new(), Vec::new());
        Parts { magic: *b"GGUF", version: 3, n_tensors: None, n_entries: None, entries, tensors }
    }

    /// With `key` set, in place of what it was.
    pub fn set(mut self, key: &str, ty: u32, value: impl AsRef<[u8]>) -> Parts {
        let new = Entry { key: key.into(), ty, value: value.as_ref().to_vec() };
        match self.entries.iter_mut().find(|e| e.key == key.as_bytes()) {
            Some(old) => *old = new,
            None => self.entries.push(new),
        }
        self
    }

    pub fn str(self, key: &str, text: &str) -> Parts {
        self.set(key, STR, string(text))
    }

    pub fn u32(self, key: &str, n: u32) -> Parts {
        self.set(key, U32, n.to_le_bytes())
    }

    pub fn f32(self, key: &str, n: f32) -> Parts {
        self.set(key, F32, n.to_le_bytes())
    }

    pub fn bool(self, key: &str, b: bool) -> Parts {
        self.set(key, BOOL, [u8::from(b)])
    }

    pub fn without(mut self, key: &str) -> Parts {
        let n = self.entries.len();
        self.entries.retain(|e| e.key != key.as_bytes());
        assert!(self.entries.len() < n, "there is no {key}");
        self
    }

    /// With a tensor of small numbers, in place of one of its name.
    pub fn tensor(mut self, name: &str, dims: &[u64], ty: GgmlType) -> Parts {
        let row = ty.row_bytes(dims[0] as usize).expect("a row of whole blocks");
        let len = row * dims[1..].iter().product::<u64>() as usize;
        let data = match ty {
            GgmlType::F32 => (0..len / 4).flat_map(|i| ((i % 7) as f32 / 8.0).to_le_bytes()).collect(),
            _ => vec![1; len],
        };
        let new = Tensor { name: name.into(), dims: dims.to_vec(), ty: ty as u32, offset: None, data };
        match self.tensors.iter_mut().find(|t| t.name == name.as_bytes()) {
            Some(old) => *old = new,
            None => self.tensors.push(new),
        }
        self
    }

    pub fn without_tensor(mut self, name: &str) -> Parts {
        let n = self.tensors.len();
        self.tensors.retain(|t| t.name != name.as_bytes());
        assert!(self.tensors.len() < n, "there is no {name}");
        self
    }

    /// Changed by `f`.
    pub fn with(mut self, f: impl FnOnce(&mut Parts)) -> Parts {
        f(&mut self);
        self
    }

    /// The bytes, with data aligned to 32.
    pub fn bytes(&self) -> Vec<u8> {
        self.build().0
    }

    /// The bytes and their fields in order; `place` is the key, the tensor or the section.
    pub fn build(&self) -> (Vec<u8>, Vec<Field>) {
        let mut out = Out { bytes: Vec::new(), fields: Vec::new(), place: "header".into() };
        out.field("magic", false, &self.magic);
        out.field("version", true, &self.version.to_le_bytes());
        out.field("tensor count", true, &self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.field("metadata count", true, &self.n_entries.unwrap_or(self.entries.len() as u64).to_le_bytes());
        for (i, e) in self.entries.iter().enumerate() {
            out.place = format!("metadata entry {i}");
            out.string("key", &e.key);
            out.place = format!("{:?}", String::from_utf8_lossy(&e.key));
            out.field("value type", true, &e.ty.to_le_bytes());
            match e.ty {
                STR if e.value.starts_with(&(e.value.len() as u64 - 8).to_le_bytes()) => {
                    out.string("value", &e.value[8..]);
                }
                ARRAY if e.value.len() >= 12 => {
                    out.field("element type", true, &e.value[..4]);
                    out.field("array length", true, &e.value[4..12]);
                    out.field("elements", false, &e.value[12..]);
                }
                _ => out.field("value", false, &e.value),
            }
        }
        let mut offset = 0;
        for (i, t) in self.tensors.iter().enumerate() {
            out.place = format!("tensor table entry {i}");
            out.string("name", &t.name);
            out.place = format!("{:?}", String::from_utf8_lossy(&t.name));
            out.field("dimension count", true, &(t.dims.len() as u32).to_le_bytes());
            for (d, n) in t.dims.iter().enumerate() {
                out.field(&format!("dimension {d}"), true, &n.to_le_bytes());
            }
            out.field("type", true, &t.ty.to_le_bytes());
            out.field("offset", true, &t.offset.unwrap_or(offset as u64).to_le_bytes());
            offset = (offset + t.data.len()).next_multiple_of(32);
        }
        for t in &self.tensors {
            let padding = out.bytes.len().next_multiple_of(32);
            out.bytes.resize(padding, 0);
            out.place = format!("{:?}", String::from_utf8_lossy(&t.name));
            out.field("data", false, &t.data);
        }
        (out.bytes, out.fields)
    }
}

struct Out {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    place: String,
}

impl Out {
    fn field(&mut self, name: &str, is_number: bool, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend(bytes);
        let (name, place) = (name.to_owned(), self.place.clone());
        self.fields.push(Field { name, place, range: start..self.bytes.len(), is_number });
    }

    fn string(&mut self, name: &str, text: &[u8]) {
        self.field(&format!("{name} length"), true, &(text.len() as u64).to_le_bytes());
        self.field(name, false, text);
    }
}

pub const N_VOCAB: u64 = 259;
pub const N_EMBD: u64 = 32;
pub const N_FF: u64 = 64;
pub const N_HEAD: u64 = 4;
pub const N_HEAD_KV: u64 = 2;
pub const HEAD_DIM: u64 = 8;
pub const N_EXPERT: u64 = 4;

/// The SentencePiece vocabulary of `<unk>`, `<s>`, `</s>` and the 256 bytes.
pub fn spm(parts: Parts) -> Parts {
    let texts: Vec<String> = ["<unk>", "<s>", "</s>"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..256).map(|b| format!("<0x{b:02X}>")))
        .collect();
    let types: Vec<i32> = [2, 3, 3].into_iter().chain([6; 256]).collect();
    parts
        .str("tokenizer.ggml.model", "llama")
        .set("tokenizer.ggml.tokens", ARRAY, strings(&texts))
        .set("tokenizer.ggml.scores", ARRAY, f32s(&vec![0.0; texts.len()]))
        .set("tokenizer.ggml.token_type", ARRAY, i32s(&types))
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .u32("tokenizer.ggml.unknown_token_id", 0)
        .bool("tokenizer.ggml.add_bos_token", true)
        .bool("tokenizer.ggml.add_eos_token", false)
        .bool("tokenizer.ggml.add_space_prefix", true)
}

/// A byte-level vocabulary: the 256 bytes, two merges, one control token.
pub fn bpe(parts: Parts) -> Parts {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut shifted = 0x100;
    let mut texts: Vec<String> = (0..256)
        .map(|b| {
            shifted += u32::from(!printable(b));
            let c = if printable(b) { b } else { shifted - 1 };
            char::from_u32(c).unwrap().to_string()
        })
        .collect();
    texts.extend(["he".into(), "hel".into(), "<|endoftext|>".into()]);
    let types: Vec<i32> = [1; 258].into_iter().chain([3]).collect();
    parts
        .str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", ARRAY, strings(&texts))
        .set("tokenizer.ggml.token_type", ARRAY, i32s(&types))
        .set("tokenizer.ggml.merges", ARRAY, strings(&["h e", "he l"]))
        .u32("tokenizer.ggml.eos_token_id", 258)
}

/// A model of one layer that loads and computes. `arch` is one of [`ARCHS`].
pub fn model(arch: &str) -> Parts {
    let (name, experts) = match arch {
        "mixtral" => ("llama", true),
        "qwen3moe" => ("qwen3moe", true),
        name => (name, false),
    };
    let glm = matches!(name, "chatglm" | "glm4");
    let key = |part: &str| format!("{name}.{part}");
    let mut p = Parts::new().str("general.architecture", name);
    for (part, n) in [
        ("context_length", 64),
        ("embedding_length", N_EMBD),
        ("block_count", 1),
        ("attention.head_count", N_HEAD),
        ("attention.head_count_kv", N_HEAD_KV),
        ("attention.key_length", HEAD_DIM),
        ("attention.value_length", HEAD_DIM),
        ("rope.dimension_count", HEAD_DIM),
    ] {
        p = p.u32(&key(part), n as u32);
    }
    p = p.f32(&key("rope.freq_base"), 10000.0).f32(&key("attention.layer_norm_rms_epsilon"), 1e-5);
    p = if experts {
        p.u32(&key("expert_count"), N_EXPERT as u32)
            .u32(&key("expert_used_count"), 2)
            .u32(&key("expert_feed_forward_length"), N_FF as u32)
    } else {
        p.u32(&key("feed_forward_length"), N_FF as u32)
    };
    p = if name == "llama" { spm(p) } else { bpe(p) };

    let (q, kv) = (N_HEAD * HEAD_DIM, N_HEAD_KV * HEAD_DIM);
    let mut tensors: Vec<(&str, Vec<u64>)> = vec![
        ("token_embd.weight", vec![N_EMBD, N_VOCAB]),
        ("output_norm.weight", vec![N_EMBD]),
        ("output.weight", vec![N_EMBD, N_VOCAB]),
        ("blk.0.attn_norm.weight", vec![N_EMBD]),
        ("blk.0.attn_output.weight", vec![q, N_EMBD]),
        ("blk.0.ffn_norm.weight", vec![N_EMBD]),
    ];
    tensors.extend(match name {
        "chatglm" => {
            vec![
                ("blk.0.attn_qkv.weight", vec![N_EMBD, q + 2 * kv]),
                ("blk.0.attn_qkv.bias", vec![q + 2 * kv]),
            ]
        }
        _ => vec![
            ("blk.0.attn_q.weight", vec![N_EMBD, q]),
            ("blk.0.attn_k.weight", vec![N_EMBD, kv]),
            ("blk.0.attn_v.weight", vec![N_EMBD, kv]),
        ],
    });
    tensors.extend(match name {
        "qwen2" => vec![
            ("blk.0.attn_q.bias", vec![q]),
            ("blk.0.attn_k.bias", vec![kv]),
            ("blk.0.attn_v.bias", vec![kv]),
        ],
        "qwen3" | "qwen3moe" => {
            vec![("blk.0.attn_q_norm.weight", vec![HEAD_DIM]), ("blk.0.attn_k_norm.weight", vec![HEAD_DIM])]
        }
        "glm4" => vec![
            ("blk.0.post_attention_norm.weight", vec![N_EMBD]),
            ("blk.0.post_ffw_norm.weight", vec![N_EMBD]),
        ],
        _ => vec![],
    });
    tensors.extend(match () {
        () if experts => vec![
            ("blk.0.ffn_gate_inp.weight", vec![N_EMBD, N_EXPERT]),
            ("blk.0.ffn_gate_exps.weight", vec![N_EMBD, N_FF, N_EXPERT]),
            ("blk.0.ffn_up_exps.weight", vec![N_EMBD, N_FF, N_EXPERT]),
            ("blk.0.ffn_down_exps.weight", vec![N_FF, N_EMBD, N_EXPERT]),
        ],
        () if glm => {
            vec![
                ("blk.0.ffn_up.weight", vec![N_EMBD, 2 * N_FF]),
                ("blk.0.ffn_down.weight", vec![N_FF, N_EMBD]),
            ]
        }
        () => vec![
            ("blk.0.ffn_gate.weight", vec![N_EMBD, N_FF]),
            ("blk.0.ffn_up.weight", vec![N_EMBD, N_FF]),
            ("blk.0.ffn_down.weight", vec![N_FF, N_EMBD]),
        ],
    });
    tensors.into_iter().fold(p, |p, (name, dims)| p.tensor(name, &dims, GgmlType::F32))
}

/// The architectures of [`model`], and Mixtral, which is `llama` with experts.
pub const ARCHS: &[&str] = &["llama", "qwen2", "qwen3", "chatglm", "glm4", "qwen3moe", "mixtral"];

/// What `general.architecture` calls one of [`ARCHS`].
pub fn prefix(arch: &str) -> &str {
    if arch == "mixtral" { "llama" } else { arch }
}

/// Whether one of [`ARCHS`] has experts.
pub fn has_experts(arch: &str) -> bool {
    matches!(arch, "qwen3moe" | "mixtral")
}
