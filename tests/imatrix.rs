//! Importance data from strangers, in both formats: whatever is wrong in a file is an error that names
//! the tensor or the part, and costs no more memory than the file's size.

#[path = "gguf/alloc.rs"]
mod alloc;
#[path = "hostile/file.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod file;

use std::path::Path;

use file::{ARRAY, Parts, model, strings, u32s};
use rocmforge::Result;
use rocmforge::quant::GgmlType::{F16, F32};
use rocmforge::quantize::{Imatrix, Mixture, QuantizeParams, quantize};

const ATTN: &str = "blk.0.attn_q.weight";
const EXPERTS: &str = "blk.0.ffn_up_exps.weight";

/// Beside the file: names, messages, a node of the table.
const MARGIN: usize = 2 << 10;

struct Case {
    name: String,
    /// Parts of the message.
    want: Vec<&'static str>,
    bytes: Vec<u8>,
}

fn case(name: impl Into<String>, want: &[&'static str], bytes: Vec<u8>) -> Case {
    Case { name: name.into(), want: want.to_vec(), bytes }
}

/// The file with the bytes at `at` replaced.
fn with(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn int(n: i32) -> [u8; 4] {
    n.to_le_bytes()
}

/// One entry of a `.dat` file.
fn entry(name: &[u8], n_calls: i32, values: &[f32]) -> Vec<u8> {
    let mut out = [&int(name.len() as i32), name, &int(n_calls), &int(values.len() as i32)].concat();
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

fn dat(entries: &[Vec<u8>]) -> Vec<u8> {
    [&int(entries.len() as i32)[..], &entries.concat(), &int(7), &int(4), b"text"].concat()
}

/// A valid one: a matrix of 32 columns and four experts of 32.
fn good_dat() -> Vec<u8> {
    dat(&[entry(ATTN.as_bytes(), 2, &[1.0; 32]), entry(EXPERTS.as_bytes(), 2, &[1.0; 128])])
}

fn dat_cases() -> Vec<Case> {
    // Where the parts of the first entry lie, and the end of the entries.
    let name = 8;
    let calls = name + ATTN.len();
    let (count, values) = (calls + 4, calls + 8);
    let second = values + 4 * 32;
    let end = second + 12 + EXPERTS.len() + 4 * 128;
    let good = good_dat;
    let cut = |what: &'static str, at: usize, want: &[&'static str]| {
        case(format!("dat cut in {what}"), want, good()[..at].to_vec())
    };
    let mut cases = vec![
        case("empty file", &["number of entries", "truncated"], Vec::new()),
        cut("the number of entries", 3, &["number of entries", "truncated"]),
        cut("a length of a name", 6, &["entry 0 of 2", "length of its name", "truncated"]),
        cut("a name", 12, &["entry 0 of 2", "its name", "truncated"]),
        cut("a number of calls", calls + 2, &[ATTN, "number of calls", "truncated"]),
        cut("a number of values", count + 2, &[ATTN, "number of values", "truncated"]),
        cut("the values", values + 50, &[ATTN, "values", "128 bytes wanted, 50 left"]),
        cut("front of the second entry", second, &["entry 1 of 2", "truncated"]),
        cut("the number of chunks", end + 2, &["number of chunks", "truncated"]),
        cut("the length of the text's name", end + 7, &["length of the text's name", "truncated"]),
        cut("the text's name", end + 10, &["the text's name", "4 bytes wanted, 2 left"]),
        case("dat without entries", &["no importance data"], dat(&[])),
        case("dat with one entry too few", &["text's name"], with(good(), 0, &int(1))),
        case("dat with one entry too many", &["number of calls", "truncated"], with(good(), 0, &int(3))),
        case(
            "dat with 2^31-1 entries",
            &["entry 2 of 2147483647", "truncated"],
            with(good()[..end].to_vec(), 0, &int(i32::MAX)),
        ),
        case("dat with text behind", &["2 bytes follow"], [&good()[..], b"xx"].concat()),
        case("text", &["neither GGUF nor an imatrix"], b"Once upon a time".to_vec()),
        case("name of 2 GB", &["entry 0", "2147483647 bytes wanted"], with(good(), 4, &int(i32::MAX))),
        case("name without bytes", &["entry 0", "its name", "empty"], dat(&[entry(b"", 1, &[1.0])])),
        case("name of zeros", &["entry 0", "empty"], dat(&[entry(b"\0\0", 1, &[1.0])])),
        case("name not UTF-8", &["entry 0", "its name", "UTF-8"], with(good(), name, b"\xff")),
        case(
            "a name twice",
            &[ATTN, "twice"],
            dat(&[entry(ATTN.as_bytes(), 1, &[1.0]), entry(ATTN.as_bytes(), 1, &[1.0])]),
        ),
        case("values for 8 GB", &[ATTN, "values", "bytes wanted"], with(good(), count, &int(i32::MAX))),
        case("no values", &[ATTN, "no values"], dat(&[entry(ATTN.as_bytes(), 1, &[])])),
    ];
    for (what, at, want) in [
        ("number of entries", 0, "number of entries"),
        ("length of a name", 4, "length of its name"),
        ("number of calls", calls, "number of calls"),
        ("number of values", count, "number of values"),
        ("number of chunks", end, "number of chunks"),
        ("length of the text's name", end + 4, "length of the text's name"),
    ] {
        cases.push(case(format!("negative {what}"), &[want, "negative"], with(good(), at, &int(-1))));
    }
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        let bytes = with(good(), values + 40, &value.to_le_bytes());
        cases.push(case(format!("dat with the value {value}"), &[ATTN, "want 0 or more"], bytes));
    }
    cases
}

/// With a tensor of these values.
fn floats(parts: Parts, name: &str, dims: &[u64], values: &[f32]) -> Parts {
    parts.tensor(name, dims, F32).with(|p| {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        p.tensors.iter_mut().find(|t| t.name == name.as_bytes()).expect("just added").data = data;
    })
}

fn sums(name: &str) -> String {
    format!("{name}.in_sum2")
}

fn counts(name: &str) -> String {
    format!("{name}.counts")
}

/// What [`good_dat`] says, as GGUF.
fn good_gguf() -> Parts {
    let head = Parts::new().str("general.type", "imatrix").u32("imatrix.chunk_count", 7).set(
        "imatrix.datasets",
        ARRAY,
        strings(&["text"]),
    );
    let p = floats(head, &sums(ATTN), &[32, 1], &[2.0; 32]);
    let p = floats(p, &counts(ATTN), &[1, 1], &[2.0]);
    let p = floats(p, &sums(EXPERTS), &[32, 4], &[2.0; 128]);
    floats(p, &counts(EXPERTS), &[1, 4], &[2.0; 4])
}

fn gguf_cases() -> Vec<Case> {
    let good = good_gguf;
    let (bytes, fields) = good().build();
    let mut cases = vec![
        case("GGUF without tensors", &["no importance data"], good().with(|p| p.tensors.clear()).bytes()),
        case("a model", &["no importance data"], model("llama").bytes()),
        case("no counts", &[ATTN, "counts are missing"], good().without_tensor(&counts(ATTN)).bytes()),
        case("no sums", &[ATTN, "in_sum2", "missing"], good().without_tensor(&sums(ATTN)).bytes()),
        case("sums of f16", &[ATTN, "f32"], good().tensor(&sums(ATTN), &[32, 1], F16).bytes()),
        case("counts of f16", &[ATTN, "f32"], good().tensor(&counts(ATTN), &[1, 1], F16).bytes()),
        case(
            "a count too few",
            &[EXPERTS, "4 rows of sums do not go with 3 counts"],
            floats(good(), &counts(EXPERTS), &[1, 3], &[2.0; 3]).bytes(),
        ),
        case(
            "a count too many",
            &[ATTN, "2 counts"],
            floats(good(), &counts(ATTN), &[1, 2], &[2.0; 2]).bytes(),
        ),
        case(
            "sums twice",
            &["blk.0.attn_q.weight.in_sum2", "twice"],
            good()
                .with(|p| {
                    let again = p.tensors[0].clone();
                    p.tensors.push(again);
                })
                .bytes(),
        ),
        case(
            "a name not UTF-8",
            &["tensor table entry 0", "UTF-8"],
            good().with(|p| p.tensors[0].name[0] = 0xff).bytes(),
        ),
        case("chunks as text", &["imatrix.chunk_count"], good().str("imatrix.chunk_count", "7").bytes()),
        case(
            "datasets as numbers",
            &["imatrix.datasets"],
            good().set("imatrix.datasets", ARRAY, u32s(&[1])).bytes(),
        ),
        case(
            "a table of 2^60 tensors",
            &["tensor count"],
            good().with(|p| p.n_tensors = Some(1 << 60)).bytes(),
        ),
        case(
            "a row of 2^40 columns",
            &["blk.0.attn_q.weight.in_sum2"],
            good().with(|p| p.tensors[0].dims[0] = 1 << 40).bytes(),
        ),
        case(
            "dimensions that overflow",
            &["blk.0.attn_q.weight.in_sum2"],
            good().with(|p| p.tensors[0].dims = vec![1 << 40, 1 << 40]).bytes(),
        ),
        case(
            "no columns",
            &["blk.0.attn_q.weight.in_sum2", "zero"],
            good().with(|p| p.tensors[0].dims[0] = 0).bytes(),
        ),
    ];
    for count in [f32::NAN, f32::INFINITY, -1.0] {
        let bytes = floats(good(), &counts(EXPERTS), &[1, 4], &[2.0, 2.0, count, 2.0]).bytes();
        cases.push(case(format!("a count of {count}"), &[EXPERTS, "count", "want 0 or more"], bytes));
    }
    for sum in [f32::NAN, f32::INFINITY, -1.0] {
        let bytes = floats(good(), &sums(ATTN), &[32, 1], &[&[1.0; 31][..], &[sum]].concat()).bytes();
        cases.push(case(format!("a sum of {sum}"), &[ATTN, "importance"], bytes));
    }
    for f in fields.iter().filter(|f| !f.range.is_empty()) {
        let name = format!("GGUF cut in {} {}", f.place, f.name);
        cases.push(case(name, &[], bytes[..f.range.end - 1].to_vec()));
    }
    cases
}

fn open(bytes: &[u8]) -> Result<Imatrix> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("imatrix");
    std::fs::write(&path, bytes).expect("a file");
    Imatrix::open(&path)
}

#[test]
fn what_the_cases_start_from_is_fine() {
    for bytes in [good_dat(), good_gguf().bytes()] {
        let imatrix = open(&bytes).unwrap();
        assert_eq!(imatrix.len(), 2);
        assert_eq!(imatrix.get(ATTN).unwrap().len(), 32);
        assert_eq!(imatrix.get(EXPERTS).unwrap().len(), 128);
    }
}

#[test]
fn every_case_is_refused() {
    let mut wrong = Vec::new();
    let (dat, gguf) = (dat_cases(), gguf_cases());
    let n = dat.len() + gguf.len();
    assert!(dat.len() >= 30 && gguf.len() >= 30, "{} and {} cases", dat.len(), gguf.len());
    for Case { name, want, bytes } in dat.into_iter().chain(gguf) {
        let limit = bytes.len() + MARGIN;
        let (result, size) = alloc::largest(|| std::panic::catch_unwind(|| open(&bytes)));
        match result {
            Err(_) => wrong.push(format!("{name}: panics")),
            Ok(Ok(_)) => wrong.push(format!("{name}: accepted")),
            Ok(Err(e)) => {
                let message = e.to_string();
                let lacks = want.iter().find(|w| !message.contains(*w));
                wrong.extend(lacks.map(|w| format!("{name}: {message:?} lacks {w:?}")));
            }
        }
        if size > limit {
            wrong.push(format!("{name}: {size} bytes were allocated at once, limit {limit}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {n} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Many tiny entries: what is made of them is no larger than they are in the file.
#[test]
fn many_entries_cost_no_large_allocation() {
    let entries: Vec<_> = (0..20_000).map(|i| entry(format!("{i}").as_bytes(), 1, &[1.0])).collect();
    let bytes = dat(&entries);
    let (imatrix, size) = alloc::largest(|| open(&bytes));
    assert_eq!(imatrix.unwrap().len(), entries.len());
    assert!(size <= bytes.len() + MARGIN, "{size} bytes were allocated at once for {}", bytes.len());
}

/// Good data, but of another model.
#[test]
fn another_models_data_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = |arch: &str, tensor: &str, n: usize| {
        let (path, out) = (dir.path().join("model.gguf"), dir.path().join("out.gguf"));
        std::fs::write(&path, model(arch).bytes()).expect("a file");
        let mut imatrix = Imatrix::default();
        imatrix.insert(tensor, vec![1.0; n]).unwrap();
        let params = QuantizeParams { imatrix: Some(&imatrix), ..QuantizeParams::new(Mixture::Q4_0) };
        let done = quantize(&path, &out, &params, None);
        assert!(done.is_ok() || !Path::new(&out).exists());
        done.map(drop)
    };
    let refused = |arch, tensor, n, want: &[&str]| {
        let message = run(arch, tensor, n).expect_err(tensor).to_string();
        assert!(want.iter().all(|w| message.contains(w)), "{message}");
        assert!(message.contains("another model"), "{message}");
    };
    refused("llama", ATTN, 31, &[ATTN, "32 columns", "31"]);
    refused("llama", ATTN, 64, &[ATTN, "32 columns", "64"]);
    refused("mixtral", EXPERTS, 32, &[EXPERTS, "128 columns", "32"]);
    refused("mixtral", EXPERTS, 5 * 32, &[EXPERTS, "128 columns", "160"]);
    refused("llama", EXPERTS, 128, &["none of the tensors"]);
    refused("llama", "blk.1.attn_q.weight", 32, &["none of the tensors"]);
    run("llama", ATTN, 32).unwrap();
    run("mixtral", EXPERTS, 128).unwrap();
}
