//! Files like those with which other readers of GGUF were broken, by the number of the advisory.

use rocmforge::quant::GgmlType;

use crate::file::{self, Parts, Tensor, bpe, model, spm};
use crate::{Case, case};

fn tensor(name: &str, dims: &[u64], ty: GgmlType, offset: Option<u64>) -> Tensor {
    Tensor { name: name.into(), dims: dims.to_vec(), ty: ty as u32, offset, data: vec![0; 256] }
}

fn tensors(list: Vec<Tensor>) -> Vec<u8> {
    model("llama").with(|p| p.tensors.extend(list)).bytes()
}

fn entry(ty: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    model("llama").set("general.description", ty, value).bytes()
}

fn long(n: u64) -> Vec<u8> {
    [&n.to_le_bytes()[..], b"text"].concat()
}

fn vocab(change: impl FnOnce(Parts) -> Parts) -> Vec<u8> {
    change(model("llama")).bytes()
}

pub fn cases() -> Vec<Case> {
    let f32 = GgmlType::F32;
    let byte_token = |text: &str| {
        let texts: Vec<&str> = ["<unk>", "<s>", "</s>", text].into();
        vocab(|p| {
            p.set("tokenizer.ggml.tokens", file::ARRAY, file::strings(&texts))
                .set("tokenizer.ggml.token_type", file::ARRAY, file::i32s(&[2, 3, 3, 6]))
                .set("tokenizer.ggml.scores", file::ARRAY, file::f32s(&[0.0; 4]))
        })
    };
    let narrow = |key: &str, ty: u32| {
        let key = format!("tokenizer.ggml.{key}");
        vocab(|p| p.set(&key, file::ARRAY, file::array(ty, file::N_VOCAB, &[0; 259])))
    };
    vec![
        // Dimensions are written past the four that there is room for.
        case(
            "CVE-2024-21802 five dimensions",
            &["\"t\"", "5 dimensions"],
            tensors(vec![tensor("t", &[1; 5], f32, None)]),
        ),
        case(
            "CVE-2024-21802 a thousand dimensions",
            &["\"t\"", "1000 dimensions"],
            tensors(vec![tensor("t", &[1; 1000], f32, None)]),
        ),
        // The bytes of an array wrap when its length is multiplied.
        case(
            "CVE-2024-21825 strings of 2^61+1",
            &["general.description", "array length"],
            entry(file::ARRAY, file::array(file::STR, (1 << 61) + 1, &file::string("a"))),
        ),
        case(
            "CVE-2024-21825 strings of 2^60",
            &["general.description", "array length"],
            entry(file::ARRAY, file::array(file::STR, 1 << 60, &file::string("a"))),
        ),
        case(
            "CVE-2024-21825 u64 of 2^61+1",
            &["general.description", "array length"],
            entry(file::ARRAY, file::array(file::U64, (1 << 61) + 1, &[0; 8])),
        ),
        // The size of the tensor table wraps.
        case(
            "CVE-2024-21836 2^64/tensor+1 tensors",
            &["header: tensor count"],
            model("llama").with(|p| p.n_tensors = Some(u64::MAX / 88 + 2)).bytes(),
        ),
        case(
            "CVE-2024-21836 2^58 tensors",
            &["header: tensor count"],
            model("llama").with(|p| p.n_tensors = Some(1 << 58)).bytes(),
        ),
        // A string's length plus its end is 0.
        case(
            "CVE-2024-23496 string of 2^64-1",
            &["general.description", "string length"],
            entry(file::STR, long(u64::MAX)),
        ),
        case("CVE-2024-23496 key of 2^64-1", &["metadata entry 0: key", "string length"], {
            let mut bytes = model("llama").bytes();
            bytes[24..32].fill(0xff);
            bytes
        }),
        case("CVE-2024-23496 tensor name of 2^64-1", &["tensor table entry 0: name"], {
            let (mut bytes, fields) = model("llama").build();
            let name = fields.iter().find(|f| f.place == "tensor table entry 0" && f.name == "name length");
            bytes[name.unwrap().range.clone()].fill(0xff);
            bytes
        }),
        // The size of the metadata table wraps.
        case(
            "CVE-2024-23605 2^64/entry+1 entries",
            &["header: metadata count"],
            model("llama").with(|p| p.n_entries = Some(u64::MAX / 48 + 2)).bytes(),
        ),
        case(
            "CVE-2024-23605 2^59 entries",
            &["header: metadata count"],
            model("llama").with(|p| p.n_entries = Some(1 << 59)).bytes(),
        ),
        // Entries that were announced and are not there are used all the same.
        case(
            "CVE-2024-41130 more tensors than the table has",
            &["tensor table entry|header|not inside"],
            model("llama").with(|p| p.n_tensors = Some(p.tensors.len() as u64 + 1)).bytes(),
        ),
        // The sum of the tensors' sizes wraps.
        case(
            "CVE-2025-53630 sizes that add up to 2^64",
            &["\"a\"", "not inside the file|overflow"],
            tensors(vec![tensor("a", &[1 << 60, 2], f32, None), tensor("b", &[1 << 60, 2], f32, None)]),
        ),
        case(
            "CVE-2025-53630 one more byte than 2^64",
            &["\"a\"", "not inside the file|overflow"],
            tensors(vec![
                tensor("a", &[(1 << 61) - 8], f32, None),
                tensor("b", &[(1 << 61) + 16], f32, None),
            ]),
        ),
        // The same sum, wrapped by the padding between tensors and by the table's own size.
        case(
            "CVE-2026-27940 padding past 2^64",
            &["\"a\"", "not inside the file|overflow"],
            tensors(vec![tensor("a", &[u64::MAX >> 2], GgmlType::I8, None)]),
        ),
        case(
            "CVE-2026-27940 data that ends at 2^64",
            &["\"a\"", "not inside the file"],
            tensors(vec![tensor("a", &[64], GgmlType::I8, Some(u64::MAX - 63))]),
        ),
        // Bytes of a tensor wrap although its elements do not.
        case(
            "GHSA-vgg9-87g3-85w8 2^62+1 rows of 4 bytes",
            &["\"a\"", "overflow"],
            tensors(vec![tensor("a", &[1, (1 << 62) + 1], f32, None)]),
        ),
        case(
            "GHSA-vgg9-87g3-85w8 embedding of 2^42+1 rows",
            &["token_embd.weight", "not inside the file|overflow"],
            model("llama").with(|p| p.tensors[0].dims[1] = (1 << 42) + 1).bytes(),
        ),
        case(
            "GHSA-vgg9-87g3-85w8 rows wrap to nothing",
            &["\"a\"", "overflow"],
            tensors(vec![tensor("a", &[32, 1 << 60], GgmlType::F64, None)]),
        ),
        // The type of a tensor is an index, and taken for a signed one.
        case(
            "negative tensor type",
            &["\"a\"", "tensor type id 4294967295"],
            tensors(vec![Tensor { ty: u32::MAX, ..tensor("a", &[1], f32, None) }]),
        ),
        case(
            "removed tensor type",
            &["\"a\"", "tensor type id 5"],
            tensors(vec![Tensor { ty: 5, ..tensor("a", &[32], f32, None) }]),
        ),
        // An alignment wraps what is rounded up to it.
        case(
            "GHSA-96jg-mvhq-q7q7 alignment 2^31",
            &["token_embd.weight", "alignment|not inside the file"],
            model("llama").u32("general.alignment", 1 << 31).bytes(),
        ),
        case(
            "GHSA-96jg-mvhq-q7q7 alignment 0",
            &["general.alignment", "is 0"],
            model("llama").u32("general.alignment", 0).bytes(),
        ),
        case(
            "alignment of the wrong type",
            &["general.alignment", "u64"],
            model("llama").set("general.alignment", file::U64, 32u64.to_le_bytes()).bytes(),
        ),
        // A tensor's data is read from behind the file's end.
        case(
            "CVE-2026-7482 more data than the file has",
            &["blk.0.ffn_down.weight", "not inside the file"],
            {
                let mut bytes = model("llama").bytes();
                bytes.truncate(bytes.len() - 1);
                bytes
            },
        ),
        // A vocabulary's arrays are read as wider numbers than they hold, or past their end.
        case("scores of u8", &["tokenizer.ggml.scores", "u8"], narrow("scores", file::U8)),
        case("types of booleans", &["tokenizer.ggml.token_type", "bool"], narrow("token_type", file::BOOL)),
        case(
            "fewer scores than tokens",
            &["tokenizer.ggml.scores", "1 elements for 259"],
            vocab(|p| p.set("tokenizer.ggml.scores", file::ARRAY, file::f32s(&[0.0]))),
        ),
        case(
            "fewer types than tokens",
            &["tokenizer.ggml.token_type", "1 elements for 259"],
            vocab(|p| p.set("tokenizer.ggml.token_type", file::ARRAY, file::i32s(&[1]))),
        ),
        // The two characters of a byte token are an index.
        case("byte token <0x-1>", &["tokenizer.ggml.tokens", "<0x-1>"], byte_token("<0x-1>")),
        case("byte token <0x+1>", &["tokenizer.ggml.tokens", "<0x+1>"], byte_token("<0x+1>")),
        case("byte token <0xZZ>", &["tokenizer.ggml.tokens", "<0xZZ>"], byte_token("<0xZZ>")),
        case("byte token <0x>", &["tokenizer.ggml.tokens", "<0x>"], byte_token("<0x>")),
        case("byte token without a byte", &["tokenizer.ggml.tokens", "[EMPTY_3]|\"\""], byte_token("")),
        // A model without a vocabulary names its size, for which memory is taken.
        case(
            "vocabulary of 2^32-1 tokens that has none",
            &["token|vocab"],
            bpe(spm(model("llama")))
                .str("tokenizer.ggml.model", "none")
                .u32("llama.vocab_size", u32::MAX)
                .bytes(),
        ),
        case(
            "vocabulary without a size",
            &["llama.vocab_size"],
            model("llama").str("tokenizer.ggml.model", "none").bytes(),
        ),
    ]
}
