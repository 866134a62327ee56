//! Saved states: what is restored continues bit for bit, and nothing else is accepted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocmforge::kv::state::{Kind, Snapshot};
use rocmforge::quant::GgmlType;
use rocmforge::{Batch, Context, ContextParams, Error, Model, ModelParams};

fn demo() -> Arc<Model> {
    static MODEL: std::sync::OnceLock<Arc<Model>> = std::sync::OnceLock::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo.gguf");
    MODEL.get_or_init(|| Arc::new(Model::load(&path, ModelParams::default()).unwrap())).clone()
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    std::fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

fn context_with(change: impl FnOnce(&mut ContextParams)) -> Context {
    let mut params = ContextParams {
        n_ctx: 256,
        n_ubatch: 64,
        n_seq_max: 4,
        n_threads: 1,
        n_threads_batch: 1,
        ..ContextParams::default()
    };
    change(&mut params);
    Context::new(demo(), params).unwrap()
}

fn context() -> Context {
    context_with(|_| {})
}

fn decode(c: &mut Context, seq: i32, pos: i32, ids: &[i32]) {
    let mut batch = Batch::new(256, 1).unwrap();
    for (&id, pos) in ids.iter().zip(pos..) {
        batch.add(id, pos, &[seq], true).unwrap();
    }
    c.decode(&batch).unwrap();
}

fn ids(n: i32, seed: i32) -> Vec<i32> {
    (0..n).map(|i| (i * 37 + seed * 101) % 1900 + 3).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The logits of five more tokens of a sequence.
fn go_on(c: &mut Context, seq: i32) -> Vec<u32> {
    let mut out = Vec::new();
    for i in 0..5 {
        let pos = c.cells().seq_range(seq).unwrap().unwrap().1 + 1;
        decode(c, seq, pos, &[200 + i]);
        out.extend(bits(c.logits(-1).unwrap()));
    }
    out
}

fn saved(c: &mut Context) -> Vec<u8> {
    let mut data = vec![0xEE; c.state_size().unwrap() + 3];
    let n = c.state_get(&mut data).unwrap();
    assert_eq!(data.split_off(n), [0xEE; 3], "nothing is written past the end");
    data
}

fn saved_seq(c: &mut Context, seq: i32) -> Vec<u8> {
    let mut data = vec![0; c.state_seq_size(seq).unwrap()];
    assert_eq!(c.state_seq_get(seq, &mut data).unwrap(), data.len());
    data
}

/// Three sequences, one of them sharing cells, with gaps: 0 has a hole, 1 is short, 3 is a copy.
fn lived_in(c: &mut Context) {
    decode(c, 0, 0, &ids(90, 1));
    decode(c, 1, 0, &ids(30, 2));
    c.seq_cp(0, 3, 0..20).unwrap();
    c.seq_rm(0, 40..50).unwrap();
    c.seq_add(0, 50..i32::MAX, -10).unwrap();
}

#[test]
fn a_restored_context_continues_bit_for_bit() {
    let types = [GgmlType::F16, GgmlType::Q8_0, GgmlType::BF16, GgmlType::F32];
    for (type_k, type_v) in
        types.into_iter().zip([GgmlType::F16, GgmlType::F32, GgmlType::Q8_0, GgmlType::BF16])
    {
        let make = || context_with(|p| (p.type_k, p.type_v) = (type_k, type_v));
        let mut a = make();
        lived_in(&mut a);
        let data = saved(&mut a);
        let (last, rows) = (bits(a.all_logits()), bits(a.logits(3).unwrap()));
        let mut b = make();
        decode(&mut b, 2, 0, &ids(10, 9));
        assert_eq!(b.state_set(&data).unwrap(), data.len());
        assert!(bits(b.all_logits()) == last && bits(b.logits(3).unwrap()) == rows, "the last logits");
        for seq in 0..4 {
            assert_eq!(a.cells().seq_range(seq).unwrap(), b.cells().seq_range(seq).unwrap());
        }
        assert_eq!(a.cells().n_used(), b.cells().n_used());
        for seq in [0, 1, 3] {
            assert!(go_on(&mut a, seq) == go_on(&mut b, seq), "sequence {seq}, {type_k:?} {type_v:?}");
        }
        assert!(saved(&mut a) == saved(&mut b), "and is saved as the same");
    }
}

#[test]
fn contexts_of_other_sizes() {
    let mut a = context();
    decode(&mut a, 0, 0, &ids(150, 1));
    a.seq_rm(0, 100..120).unwrap();
    a.seq_add(0, 120..i32::MAX, -20).unwrap();
    let data = saved(&mut a);
    let want = go_on(&mut a, 0);
    let mut large = context_with(|p| (p.n_ctx, p.n_seq_max) = (512, 9));
    large.state_set(&data).unwrap();
    assert!(go_on(&mut large, 0) == want, "a larger context");
    // The cells that were used do not exist here, but there is room for as many.
    let mut small = context_with(|p| p.n_ctx = 140);
    small.state_set(&data).unwrap();
    assert_eq!((small.cells().n_used(), small.cells().seq_range(0).unwrap()), (130, Some((0, 129))));
    let error = |x: &[u32], y: &[u32]| {
        let pairs = x.iter().zip(y).map(|(&x, &y)| (f32::from_bits(x) - f32::from_bits(y)).abs());
        pairs.fold(0.0, f32::max)
    };
    assert!(error(&go_on(&mut small, 0), &want) < 1e-3, "in other cells, but for rounding");

    let mut tight = context_with(|p| p.n_ctx = 128);
    decode(&mut tight, 0, 0, &ids(7, 5));
    let e = tight.state_set(&data).unwrap_err();
    assert!(
        matches!(&e, Error::KvFull(m) if m.contains("130") && m.contains("128") && m.contains("n_ctx")),
        "{e}"
    );
    assert_eq!(tight.cells().seq_range(0).unwrap(), Some((0, 6)), "it is as it was");
}

#[test]
fn sequences_move_between_places() {
    let mut a = context();
    lived_in(&mut a);
    let data = saved_seq(&mut a, 0);
    assert!(data.len() < saved(&mut a).len());
    // Into another sequence of a context that has others, fragmented.
    let mut b = context();
    decode(&mut b, 1, 0, &ids(60, 4));
    decode(&mut b, 2, 0, &ids(20, 5));
    b.seq_rm(1, 3..30).unwrap();
    let before = b.cells().seq_range(2).unwrap();
    b.state_seq_set(2, &data).unwrap();
    assert_ne!(before, b.cells().seq_range(2).unwrap());
    assert_eq!(a.cells().seq_range(0).unwrap(), b.cells().seq_range(2).unwrap());
    assert_eq!(b.cells().seq_range(1).unwrap(), Some((0, 59)), "others stay");
    // Saved again from other cells it is the same.
    assert!(saved_seq(&mut b, 2) == data);
    // In an empty context it lies as in the first place, and continues as it did there.
    let mut first = context();
    first.state_seq_set(0, &data).unwrap();
    let mut second = context();
    second.state_seq_set(3, &data).unwrap();
    assert!(go_on(&mut first, 0) == go_on(&mut second, 3));
    // Over itself, where the cells that it frees are needed.
    let mut full = context_with(|p| p.n_ctx = 90);
    decode(&mut full, 0, 0, &ids(85, 1));
    full.state_seq_set(0, &data).unwrap();
    assert_eq!(full.cells().seq_range(0).unwrap(), Some((0, 79)));
    decode(&mut full, 1, 0, &ids(5, 1));
    let e = full.state_seq_set(2, &data).unwrap_err();
    assert!(matches!(&e, Error::KvFull(m) if m.contains("80") && m.contains('5')), "{e}");
    assert!(full.state_seq_set(7, &data).is_err() && full.state_seq_set(-1, &data).is_err());
    assert_eq!(full.cells().seq_range(0).unwrap(), Some((0, 79)), "it is as it was");
}

#[test]
fn embeddings_come_back() {
    let mut a = context_with(|p| p.embeddings = true);
    decode(&mut a, 0, 0, &ids(6, 1));
    let data = saved(&mut a);
    let mut b = context_with(|p| p.embeddings = true);
    b.state_set(&data).unwrap();
    assert!(!a.all_embeddings().is_empty() && bits(a.all_embeddings()) == bits(b.all_embeddings()));
    assert!(bits(a.embedding(2).unwrap()) == bits(b.embedding(2).unwrap()));
    let mut without = context();
    without.state_set(&data).unwrap();
    assert!(without.embedding(2).is_err() && bits(a.all_logits()) == bits(without.all_logits()));
}

#[test]
fn an_empty_state() {
    let mut a = context();
    let (data, seq) = (saved(&mut a), saved_seq(&mut a, 2));
    let mut b = context();
    lived_in(&mut b);
    b.state_seq_set(0, &seq).unwrap();
    assert_eq!(b.cells().seq_range(0).unwrap(), None);
    b.state_set(&data).unwrap();
    assert!(b.cells().is_empty() && b.all_logits().is_empty());
    decode(&mut b, 0, 0, &ids(4, 1));
}

#[test]
fn files_hold_the_tokens_too() {
    let tokens = ids(50, 3);
    let mut a = context();
    decode(&mut a, 0, 0, &tokens);
    let (path, seq_path) = (scratch("whole"), scratch("sequence"));
    a.state_save_file(&path, &tokens).unwrap();
    a.state_seq_save_file(&seq_path, 0, &tokens[..7]).unwrap();
    let want = go_on(&mut a, 0);

    let mut b = context();
    assert_eq!(b.state_load_file(&path, |_| Ok(())).unwrap(), tokens);
    assert!(go_on(&mut b, 0) == want);
    b.clear();
    assert_eq!(b.state_seq_load_file(&seq_path, 2, |_| Ok(())).unwrap(), tokens[..7]);
    assert!(go_on(&mut b, 2) == want);

    // A reader that has too little room gets nothing.
    b.clear();
    let refuse = |n: usize| if n > 49 { Err(Error::InvalidArgument("no room".into())) } else { Ok(()) };
    assert!(b.state_load_file(&path, refuse).is_err() && b.cells().is_empty());

    for (what, part) in [("no-such-file", "No such file"), (".", "regular")] {
        let e = b.state_load_file(&scratch(what), |_| Ok(())).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
    for (bytes, part) in
        [(&b""[..], "no saved state"), (b"GGUF", "no saved state"), (b"RFSTATE\0", "ends after 8")]
    {
        let path = scratch("short");
        std::fs::write(&path, bytes).unwrap();
        let e = b.state_load_file(&path, |_| Ok(())).unwrap_err().to_string();
        assert!(e.contains(part) && e.contains("short"), "{e}");
    }
    // Nothing is left of a file that could not be written.
    let dir = scratch("a-folder");
    std::fs::create_dir_all(dir.join("in-the-way")).unwrap();
    assert!(matches!(a.state_save_file(&dir, &tokens), Err(Error::Io { .. })));
    let left = std::fs::read_dir(scratch(""))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0);
}

#[test]
fn what_does_not_fit_says_what_differs() {
    let mut a = context();
    decode(&mut a, 3, 0, &ids(5, 1));
    let data = saved(&mut a);
    let refused = |c: &mut Context, data: &[u8], parts: &[&str]| {
        let e = c.state_set(data).unwrap_err().to_string();
        assert!(parts.iter().all(|p| e.contains(p)), "{e}");
        assert!(c.cells().is_empty(), "nothing was applied");
    };
    refused(
        &mut context_with(|p| p.type_k = GgmlType::F32),
        &data,
        &["type_k f16", "has f32", "make the context"],
    );
    refused(&mut context_with(|p| p.type_v = GgmlType::Q8_0), &data, &["type_v f16", "has q8_0"]);
    refused(&mut context_with(|p| p.n_seq_max = 3), &data, &["sequence 3", "n_seq_max"]);
    let seq = saved_seq(&mut a, 3);
    refused(&mut context(), &seq, &["one sequence"]);
    let e = context().state_seq_set(0, &data).unwrap_err().to_string();
    assert!(e.contains("a whole context"), "{e}");

    let mut newer = data.clone();
    newer[8] = 2;
    refused(&mut context(), &newer, &["version 2", "version 1", "save it again"]);

    // Another model: of another shape, and of the same with other weights.
    let other = rocmforge_testkit::scratch("state-other.gguf");
    let model = |shape: &str, seed| {
        use rocmforge_testkit::synth::{self, Options, Recipe, Shape};
        let recipe = Recipe::named("Q8_0").unwrap();
        let options = Options { recipe, seed, vocab_from: None };
        synth::write(&other, Shape::named(shape).unwrap(), &options).unwrap();
        Arc::new(Model::load(&other, ModelParams::default()).unwrap())
    };
    let params = || ContextParams { n_ctx: 64, n_threads: 1, ..ContextParams::default() };
    let mut llama = Context::new(model("tiny-llama", 1), params()).unwrap();
    refused(&mut llama, &data, &["another model", "restore it"]);
    let mut qwen = Context::new(model("tiny-qwen2", 1), params()).unwrap();
    decode(&mut llama, 0, 0, &[1, 2, 3]);
    let data = saved(&mut llama);
    refused(&mut qwen, &data, &["architecture is llama, this one's qwen2"]);
    refused(&mut Context::new(model("tiny-llama", 2), params()).unwrap(), &data, &["other weights"]);
    refused(&mut Context::new(model("tiny-llama-linear", 1), params()).unwrap(), &data, &["other metadata"]);
}

/// Cut anywhere and with any byte changed, a state is refused for what it is.
#[test]
fn damage_is_found() {
    let mut a = context_with(|p| p.n_ctx = 64);
    decode(&mut a, 0, 0, &ids(3, 1));
    let mut b = context_with(|p| p.n_ctx = 64);
    for (data, kind) in [(saved(&mut a), Kind::Context), (saved_seq(&mut a, 0), Kind::Sequence)] {
        let mut refused = |data: &[u8]| {
            let outcome = match kind {
                Kind::Context => b.state_set(data),
                Kind::Sequence => b.state_seq_set(0, data),
            };
            let e = outcome.unwrap_err();
            assert!(matches!(e, Error::Format(_) | Error::Unsupported(_)), "{e}");
            assert!(b.cells().is_empty());
        };
        let step = data.len() / 700 + 1;
        for n in (0..400).chain((400..data.len()).step_by(step)).filter(|&n| n < data.len()) {
            refused(&data[..n]);
            let mut flipped = data.clone();
            flipped[n] ^= 1 << (n % 8);
            refused(&flipped);
        }
        refused(&[&data[..], &[0]].concat());
        refused(&[]);
    }
    decode(&mut b, 0, 0, &ids(3, 1));
}

/// Behind the checksum nothing is believed either: every number of the structure, made absurd.
#[test]
fn structure_is_checked_without_the_sum() {
    let mut a = context_with(|p| p.n_ctx = 64);
    decode(&mut a, 0, 0, &ids(3, 1));
    decode(&mut a, 1, 0, &ids(3, 1));
    let mut b = context_with(|p| p.n_ctx = 64);
    let mut n_refused = 0;
    for data in [saved(&mut a), saved_seq(&mut a, 0)] {
        let body = &data[..data.len() - 4];
        assert!(Snapshot::parse_unsummed(body).is_ok());
        for n in 0..body.len().min(2000) {
            assert!(Snapshot::parse_unsummed(&body[..n]).is_err(), "cut after {n}");
        }
        // Where logits and keys begin, anything goes.
        for at in 12..body.len().min(700) {
            for value in [0u8, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = body.to_vec();
                changed[at] = value;
                let Ok(snapshot) = Snapshot::parse_unsummed(&changed) else {
                    n_refused += 1;
                    continue;
                };
                // Sound in itself; a context takes it or says why not, and works on.
                let _ = match snapshot.kind {
                    Kind::Context => b.restore(&snapshot),
                    Kind::Sequence => b.restore_seq(&snapshot, 1),
                };
                let _ = b.state_size().unwrap();
            }
        }
    }
    assert!(n_refused > 500, "{n_refused}");
    b.clear();
    decode(&mut b, 0, 0, &ids(3, 1));
}

/// Keys that wait to be moved are moved before they are saved.
#[test]
fn pending_shifts_are_saved_as_done() {
    let shifted = |c: &mut Context| {
        decode(c, 0, 0, &ids(60, 1));
        c.seq_rm(0, 5..15).unwrap();
        c.seq_add(0, 15..i32::MAX, -10).unwrap();
    };
    let (mut a, mut b) = (context(), context());
    shifted(&mut a);
    let data = saved(&mut a);
    b.state_set(&data).unwrap();
    let mut plain = context();
    shifted(&mut plain);
    let want = go_on(&mut plain, 0);
    assert!(go_on(&mut a, 0) == want && go_on(&mut b, 0) == want);
}
