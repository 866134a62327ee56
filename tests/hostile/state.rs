//! Saved states that are damaged, foreign or made up, with sums that are right: each is refused, and
//! the context stays as it was.

use std::sync::Arc;

use rocmforge::gguf::File;
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Model};

use crate::alloc::largest;
use crate::file::{self, model};
use crate::{allowed, load};

const N_SEQ: usize = 2;

fn context(model: &Arc<Model>, n_ctx: usize) -> Context {
    let params = ContextParams {
        n_ctx,
        n_seq_max: N_SEQ,
        n_threads: 1,
        n_threads_batch: 1,
        type_k: GgmlType::F16,
        type_v: GgmlType::F16,
        ..Default::default()
    };
    Context::new(model.clone(), params).unwrap()
}

/// A context with three tokens of one sequence and two of another.
fn used(model: &Arc<Model>) -> Context {
    let mut context = context(model, 64);
    let mut batch = Batch::new(8, 1).unwrap();
    for (token, pos, seq) in [(1, 0, 0), (70, 1, 0), (80, 2, 0), (1, 0, 1), (90, 1, 1)] {
        batch.add(token, pos, &[seq], seq == 1).unwrap();
    }
    context.decode(&batch).unwrap();
    context
}

fn saved(context: &mut Context) -> Vec<u8> {
    let mut out = vec![0; context.state_size().unwrap()];
    assert_eq!(context.state_get(&mut out).unwrap(), out.len());
    out
}

/// The CRC-32 of zip, a bit at a time.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A state in its parts.
#[derive(Clone)]
struct Parts {
    magic: [u8; 8],
    version: u32,
    kind: u32,
    /// Instead of the length that it has.
    len: Option<u64>,
    /// Tag, length if not the right one, bytes.
    sections: Vec<([u8; 4], Option<u64>, Vec<u8>)>,
    /// What follows the sections.
    tail: Vec<u8>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Parts {
    fn of(state: &[u8]) -> Parts {
        let mut sections = Vec::new();
        let mut at = 24;
        while at < state.len() - 4 {
            let len = u64::from_le_bytes(state[at + 4..at + 12].try_into().unwrap()) as usize;
            sections.push((state[at..at + 4].try_into().unwrap(), None, state[at + 12..][..len].to_vec()));
            at += 12 + len;
        }
        let (magic, version, kind) = (state[..8].try_into().unwrap(), u32_at(state, 8), u32_at(state, 12));
        let parts = Parts { magic, version, kind, len: None, sections, tail: Vec::new() };
        assert_eq!(parts.bytes(), state, "taken apart and put together");
        parts
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (tag, len, bytes) in &self.sections {
            body.extend(tag);
            body.extend(len.unwrap_or(bytes.len() as u64).to_le_bytes());
            body.extend(bytes);
        }
        body.extend(&self.tail);
        let len = self.len.unwrap_or(24 + body.len() as u64 + 4);
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.kind.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(body);
        out.extend(crc(&out).to_le_bytes());
        out
    }

    fn with(&self, f: impl FnOnce(&mut Parts)) -> Vec<u8> {
        let mut parts = self.clone();
        f(&mut parts);
        parts.bytes()
    }

    fn section(&mut self, tag: &[u8; 4]) -> &mut ([u8; 4], Option<u64>, Vec<u8>) {
        self.sections.iter_mut().find(|s| &s.0 == tag).unwrap()
    }

    /// With a number of a section replaced.
    fn number(&self, tag: &[u8; 4], at: usize, value: u32) -> Vec<u8> {
        self.with(|p| p.section(tag).2[at..at + 4].copy_from_slice(&value.to_le_bytes()))
    }
}

type Case = (String, &'static str, Vec<u8>);

fn cases(whole: &[u8]) -> Vec<Case> {
    let p = Parts::of(whole);
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name: &str, want: &'static str, bytes: Vec<u8>| cases.push((name.into(), want, bytes));

    add("nothing", "no saved state", vec![]);
    add("a model", "no saved state", model("llama").bytes());
    add("zeros", "no saved state", vec![0; 4096]);
    add("another magic", "no saved state", p.with(|p| p.magic[0] ^= 1));
    for version in [0, 2, u32::MAX] {
        add(&format!("version {version}"), "version", p.with(|p| p.version = version));
    }
    add("one sequence by its kind", "damaged|one sequence", p.with(|p| p.kind = 1));
    for kind in [2, u32::MAX] {
        add(&format!("kind {kind}"), "kind", p.with(|p| p.kind = kind));
    }
    for len in [0, 1, whole.len() as u64 - 1, whole.len() as u64 + 1, 1 << 63, u64::MAX] {
        add(&format!("length {len}"), "bytes", p.with(|p| p.len = Some(len)));
    }
    add("a wrong sum", "checksum", {
        let mut bytes = whole.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    });
    for at in [40, whole.len() / 2, whole.len() - 5] {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        add(&format!("a bit turned at {at}"), "checksum", bytes);
    }
    for cut in
        (0..whole.len()).step_by(97).chain([1, 8, 12, 16, 24, 28, 36, whole.len() - 4, whole.len() - 1])
    {
        let name = format!("cut at {cut}");
        if !cases.iter().any(|c| c.0 == name) {
            cases.push((name, "state", whole[..cut].to_vec()));
        }
    }
    let mut add = |name: &str, want: &'static str, bytes: Vec<u8>| cases.push((name.into(), want, bytes));
    for i in 0..p.sections.len() {
        let tag = String::from_utf8(p.sections[i].0.to_vec()).unwrap();
        let len = p.sections[i].2.len() as u64;
        add(&format!("{tag} of another name"), "section", p.with(|p| p.sections[i].0 = *b"NONE"));
        add(&format!("{tag} missing"), "damaged", p.with(|p| drop(p.sections.remove(i))));
        add(&format!("{tag} twice"), "damaged", p.with(|p| p.sections.insert(i, p.sections[i].clone())));
        add(
            &format!("{tag} last"),
            "damaged|bytes",
            p.with(|p| {
                let section = p.sections.remove(i);
                let at = if i + 1 == p.sections.len() + 1 { 0 } else { p.sections.len() };
                p.sections.insert(at, section);
            }),
        );
        for (what, len) in [
            ("one more", len + 1),
            ("2^32", 1 << 32),
            ("2^63", 1 << 63),
            ("2^64-1", u64::MAX),
            ("2^64-12", u64::MAX - 11),
        ] {
            add(
                &format!("{tag} {what} bytes by its length"),
                "damaged",
                p.with(|p| p.sections[i].1 = Some(len)),
            );
        }
        if tag != "MODL" {
            add(
                &format!("{tag} a byte longer"),
                "damaged|another model",
                p.with(|p| p.sections[i].2.push(0)),
            );
        }
        if len > 0 {
            add(
                &format!("{tag} a byte shorter"),
                "damaged|another model",
                p.with(|p| p.sections[i].2.truncate(len as usize - 1)),
            );
            if tag != "LOGI" && tag != "TOKS" {
                add(&format!("{tag} empty"), "damaged", p.with(|p| p.sections[i].2.clear()));
            }
        }
    }
    add("something behind", "follow", p.with(|p| p.tail = vec![0; 12]));
    add("one more section behind", "follow", p.with(|p| p.tail = b"MORE\0\0\0\0\0\0\0\0".to_vec()));

    // The model: embedding length, vocabulary, types, sums of metadata and weights, layers, heads.
    let fields = [
        "n_embd",
        "n_vocab",
        "type_k",
        "type_v",
        "hparams",
        "weights",
        "n_layer",
        "n_head_kv",
        "dim_k",
        "dim_v",
    ];
    for (i, field) in fields.iter().enumerate() {
        for value in [0, 1 << 31, u32::MAX] {
            let want = "another model|the same shape|damaged|type_k|type_v";
            add(&format!("{field} {value}"), want, p.number(b"MODL", 4 * i, value));
        }
    }
    for at in [8, 12] {
        add(&format!("cache of q4_K ({at})"), "damaged|type_|block", p.number(b"MODL", at, 12));
        add(&format!("cache of f32 ({at})"), "damaged|type_", p.number(b"MODL", at, 0));
        add(&format!("cache of type 4 ({at})"), "type 4", p.number(b"MODL", at, 4));
    }
    add("another architecture", "architecture", p.with(|p| p.section(b"MODL").2.push(b'x')));
    add(
        "an architecture that is not UTF-8",
        "UTF-8",
        p.with(|p| *p.section(b"MODL").2.last_mut().unwrap() = 0xff),
    );

    // Cells: index, position, sequences.
    for value in [u32::MAX, 1 << 31, i32::MAX as u32] {
        add(&format!("position {value}"), "position", p.number(b"CELL", 4, value));
    }
    add("cells out of order", "order", p.number(b"CELL", 0, 3));
    add("two cells in one place", "order", p.number(b"CELL", 40, 0));
    add("cell 2^32-1", "order|damaged", p.number(b"CELL", 4 * 40, u32::MAX));
    add("a cell of no sequence", "no sequence", p.number(b"CELL", 8, 0));
    add("a cell of sequence 2", "sequence", p.number(b"CELL", 8, 4));
    add("a cell of sequence 255", "sequence", p.number(b"CELL", 36, 1 << 31));
    add(
        "more cells than keys",
        "do not fit",
        p.with(|p| {
            let cell = p.section(b"CELL").2[4 * 40..].to_vec();
            p.section(b"CELL").2.extend(cell);
        }),
    );

    // Rows of logits.
    for row in [1, 7, i32::MAX as u32, -2i32 as u32] {
        add(&format!("row {row} first"), "row", p.number(b"OUTS", 12, row));
    }
    add(
        "a row of logits less",
        "logits",
        p.with(|p| {
            let logits = &mut p.section(b"LOGI").2;
            logits.truncate(logits.len() - 4 * file::N_VOCAB as usize);
        }),
    );
    cases
}

#[test]
fn states() {
    let model = Arc::new(load(model("llama").bytes()).unwrap());
    let mut context = used(&model);
    let before = saved(&mut context);
    context.state_set(&before).unwrap();
    let mut wrong = Vec::new();
    let cases = cases(&before);
    for (name, want, bytes) in &cases {
        let (result, size) = largest(|| context.state_set(bytes));
        match result {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(e) => {
                let m = e.to_string();
                if !want.split('|').any(|w| m.contains(w)) {
                    wrong.push(format!("{name}: {m:?} lacks {want:?}"));
                }
            }
        }
        if size > allowed(bytes.len()) {
            wrong.push(format!("{name}: {size} bytes were allocated at once"));
        }
        if saved(&mut context) != before {
            wrong.push(format!("{name}: the context has changed"));
            context.state_set(&before).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.len() > 100);
    println!("{} malformed states", cases.len());
    assert!(File::from_bytes(before).unwrap_err().to_string().contains("not a GGUF file"));
}

#[test]
fn states_of_a_sequence() {
    let model = Arc::new(load(model("llama").bytes()).unwrap());
    let mut context = used(&model);
    let before = saved(&mut context);
    let mut one = vec![0; context.state_seq_size(0).unwrap()];
    context.state_seq_get(0, &mut one).unwrap();
    let p = Parts::of(&one);
    let many = p.with(|p| {
        let (cell, kv) = (p.section(b"CELL").2[..4].to_vec(), p.section(b"KEYV").2.clone());
        p.section(b"CELL").2 = cell.repeat(90);
        p.section(b"KEYV").2 = kv.repeat(30);
    });
    for (name, want, bytes) in [
        ("a whole context", "whole context", before.clone()),
        ("a whole context by its kind", "damaged|whole context", p.with(|p| p.kind = 0)),
        ("position -1", "position", p.number(b"CELL", 0, u32::MAX)),
        ("position 2^31-1", "position", p.number(b"CELL", 0, i32::MAX as u32)),
        ("more cells than the cache has", "free cells", many),
        ("another model", "another model", p.number(b"MODL", 0, 64)),
        ("cells without keys", "do not fit", p.with(|p| p.section(b"KEYV").2.clear())),
        ("logits", "section|follow|damaged", p.with(|p| p.sections.push((*b"LOGI", None, vec![])))),
    ] {
        let m = context.state_seq_set(1, &bytes).expect_err(name).to_string();
        assert!(want.split('|').any(|w| m.contains(w)), "{name}: {m:?} lacks {want:?}");
        assert!(saved(&mut context) == before, "{name}: the context has changed");
    }
    for seq in [-1, N_SEQ as i32, i32::MAX, i32::MIN] {
        assert!(context.state_seq_set(seq, &one).unwrap_err().to_string().contains("sequence"), "{seq}");
    }
    assert!(context.state_set(&one).unwrap_err().to_string().contains("one sequence"));
    context.state_seq_set(1, &one).unwrap();
}
